#!/usr/bin/env bash
# A 3B model on GPUs, from data to report: the paper's setting for Qwen2.5-3B-Instruct. Not run here: there was no GPU.
# Run it from the root of the checkout: GPUS=4 runs/qwen25_3b.sh
set -euo pipefail
GPUS="${GPUS:-1}"
WORKERS="${WORKERS:-8}"    # processes that make data: CPU cores

# 1. An environment; on a machine with a GPU set_up takes torch's usual build. Liger's kernels make training faster where they can be had.
python3 -m scripts.set_up --extras gpu --assets bfcl
source .venv/bin/activate

# 2. What the run needs before anything is paid for: memory of a device and of the host, tokens, hours at 40% of the peak.
LAUNCHER=single
if [ "$GPUS" -gt 1 ]; then LAUNCHER=ddp; fi
python -m training.plan experiment=qwen25_3b launcher=$LAUNCHER gpus=$GPUS

# 3. 8,000 trajectories of the expert, for this tokenizer. The model's files come from the hub, one commit of them.
midsentence fetch --model Qwen/Qwen2.5-3B-Instruct
python -m data_gen.generate experiment=qwen25_3b out=outputs/data/qwen25_3b data.workers=$WORKERS
python -m data_gen.check path=outputs/data/qwen25_3b          # every counter must be 0

# 4. LoRA, two epochs. A run that is cut goes on from its last checkpoint.
accelerate launch --config_file configs/accelerate/$LAUNCHER.yaml --num_processes $GPUS -m training.sft experiment=qwen25_3b

# 5. The test split, in four modes, beside the expert; then the report.
python -m eval.replay experiment=qwen25_3b eval.backends=[expert,model]
python -m eval.report name=qwen25_3b runs=[outputs/replay/qwen25_3b]

# With a vLLM server as the engine (docs/vllm.md), after step 6 and in the place of the first of these:
#   vllm serve outputs/export/qwen25_3b --enable-prompt-tokens-details --max-model-len 8192
#   python -m eval.replay experiment=qwen25_3b eval.backends=[expert,model] model.adapter=outputs/export/qwen25_3b eval.runtime=vllm eval.batch=64

# 6. An export that others can load, and for llama.cpp.
python -m training.export path=outputs/train/qwen25_3b out=outputs/export/qwen25_3b gguf=true
midsentence serve --model Qwen/Qwen2.5-3B-Instruct --adapter outputs/export/qwen25_3b --constrained
