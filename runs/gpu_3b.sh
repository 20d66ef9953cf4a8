#!/usr/bin/env bash
# A 3B model on GPUs, from data to report: this edition's mixture, two rounds of repair. Not run with 3B weights here: there was no GPU.
# Run it from the root of the checkout: GPUS=4 runs/gpu_3b.sh, or with Llama-3.2: RECIPE=llama32_3b MODEL=meta-llama/Llama-3.2-3B-Instruct …
set -euo pipefail
RECIPE="${RECIPE:-qwen25_3b}"
MODEL="${MODEL:-Qwen/Qwen2.5-3B-Instruct}"
GPUS="${GPUS:-1}"
WORKERS="${WORKERS:-8}"    # processes that make data: CPU cores
PLAYERS="${PLAYERS:-2}"    # processes that play for repair, each with the model: what the GPU's memory has room for

# 1. An environment; on a machine with a GPU set_up takes torch's usual build. Liger's kernels make training faster where they can be had.
python3 -m scripts.set_up --extras gpu --assets bfcl
source .venv/bin/activate

# 2. What the run needs before anything is paid for: memory of a device and of the host, tokens, hours at 40% of the peak.
LAUNCHER=single
if [ "$GPUS" -gt 1 ]; then LAUNCHER=ddp; fi
python -m training.plan experiment=$RECIPE launcher=$LAUNCHER gpus=$GPUS

# 3. 8,000 trajectories of the expert from each of six sources, for this tokenizer. The model's files come from the hub, one commit of them.
midsentence fetch --model $MODEL
DATA=""
for source in assistant naturalistic written domains bfcl conversations; do
    python -m data_gen.generate experiment=$RECIPE data=$source out=outputs/data/$RECIPE/$source data.workers=$WORKERS
    python -m data_gen.check path=outputs/data/$RECIPE/$source          # every counter must be 0
    DATA="$DATA,outputs/data/$RECIPE/$source"
done
DATA="${DATA#,}"

# 4. LoRA, one epoch. A run that is cut goes on from its last checkpoint.
accelerate launch --config_file configs/accelerate/$LAUNCHER.yaml --num_processes $GPUS -m training.sft experiment=$RECIPE

# 5. Two rounds of repair: the model plays, the expert says what should have been done; then training goes on, on all there is.
ADAPTER=outputs/train/$RECIPE
for round in 1 2; do
    for source in assistant written domains; do
        python -m training.repair experiment=$RECIPE data=$source model.adapter=$ADAPTER repair.round=$round repair.workers=$PLAYERS \
            out=outputs/repair/$RECIPE/$round/$source
        DATA="$DATA,outputs/repair/$RECIPE/$round/$source"
    done
    accelerate launch --config_file configs/accelerate/$LAUNCHER.yaml --num_processes $GPUS -m training.sft experiment=$RECIPE \
        train.data=[$DATA] train.learning_rate=1e-4 train.max_steps=120 model.adapter=$ADAPTER out=outputs/train/${RECIPE}_repaired_$round
    ADAPTER=outputs/train/${RECIPE}_repaired_$round
done

# 6. The test split, beside the expert; then the report.
python -m eval.replay experiment=$RECIPE model.adapter=$ADAPTER
python -m eval.report name=$RECIPE runs=[outputs/replay/$RECIPE]

# 7. An export that others can load, and for llama.cpp.
python -m training.export path=$ADAPTER out=outputs/export/$RECIPE gguf=true
midsentence serve --model $MODEL --adapter outputs/export/$RECIPE --constrained

# With a vLLM server as the engine (docs/vllm.md), of step 7's export and in the place of the first line of step 6:
#   vllm serve outputs/export/qwen25_3b --enable-prompt-tokens-details --max-model-len 8192
#   python -m eval.replay experiment=qwen25_3b model.adapter=outputs/export/qwen25_3b eval.runtime=vllm eval.batch=64
