"""The whole path on one machine: ``make demo``.

Data of real requests → fine-tuning of the embedded model → replay of the expert, the untrained and the trained model in
three modes → a table, a picture and JSON in ``outputs/demo/``. Each stage is a command of its own, printed before it
runs; a stage that is done is not done again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

STAGES = (
    ("Spoken requests and the expert's trajectories", "data_gen.generate", "experiment=demo"),
    ("Fine-tune the embedded model (about six minutes on two cores)", "training.sft", "experiment=demo"),
    ("Replay the expert on every test request", "eval.replay", "experiment=demo", "name=demo_expert", "eval.backends=[expert]"),
    ("Replay the model as it comes and as just trained", "eval.replay", "experiment=demo", "eval.backends=[untrained,model]"),
    ("Score and report", "eval.report", "experiment=demo"),
)


def main() -> int:
    """Runs the stages in order; gives the first exit status that is not 0."""
    begun = time.perf_counter()
    for number, (what, module, *options) in enumerate(STAGES, start=1):
        words = [sys.executable, "-m", module, *options]
        print(f"\n[{number}/{len(STAGES)}] {what}\n    python -m {module} {shlex.join(options)}", flush=True)
        status = subprocess.run(words).returncode
        if status:
            print(f"demo: stage {number} ended with status {status}; run `make demo` again to go on from here", file=sys.stderr)
            return status
    print(f"\nDone in {(time.perf_counter() - begun) / 60:.1f} minutes: outputs/demo/report.json, outputs/demo/timeline.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
