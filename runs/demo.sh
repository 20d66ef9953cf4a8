#!/usr/bin/env bash
# The whole path on two CPU cores, in under 20 minutes after installation: requests, trajectories, a fine-tuned model, a report.
# `make demo-train` is the same with fewer lines. Run it from the root of the checkout; run again, it goes on where it stopped.
set -euo pipefail
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

# 1. An environment in .venv, the requests (2 MB) and the embedded model (93 MB).
python3 -m scripts.set_up --assets bfcl --model smollm2
source .venv/bin/activate

# 2. Real requests, spoken; the expert plays each, in three modes and on devices of many speeds. What it did is the data.
#    configs/experiment/demo_train.yaml has the numbers: how many rows, how long to train, which modes.
python -m data_gen.generate experiment=demo_train
python -m data_gen.show path=outputs/data/demo_train row=3    # one of them, with what the loss counts marked

# 3. A few minutes of LoRA on SmolLM2-135M.
python -m training.sft experiment=demo_train

# 4. The same requests, played by the expert, by the model as it comes and as it is now; on a virtual clock.
python -m eval.replay experiment=demo_train name=demo_train_expert eval.backends=[expert]
python -m eval.replay experiment=demo_train eval.backends=[untrained,model]

# 5. Tables with intervals, pictures, and report.html, a page to look at single requests with.
python -m eval.report experiment=demo_train

# 6. Talk to it: lines in, a full stop ends the request.
echo "what is the phone number of Bob Ray?" | midsentence serve --adapter outputs/train/demo_train --constrained
