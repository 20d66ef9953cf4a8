"""A model that works, or the whole path to one of your own: ``make demo`` and ``make demo-train``.

The first replays the adapter that comes with the code beside the expert. The second makes data of real requests,
fine-tunes the embedded model for a few minutes and replays the expert, the untrained and the trained model. Both end
with a table, a picture and JSON. Each stage is a command of its own, printed before it runs; a stage that is done is
not done again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

from midsentence.ending import program

DEMO = (
    ("Replay the shipped model and the expert", "eval.replay", "experiment=demo"),
    ("Score and report", "eval.report", "experiment=demo"),
)
TRAIN = (
    ("Spoken requests and the expert's trajectories", "data_gen.generate", "experiment=demo_train"),
    ("Fine-tune the embedded model (about six minutes on two cores)", "training.sft", "experiment=demo_train"),
    (
        "Replay the expert on every test request",
        "eval.replay",
        "experiment=demo_train",
        "name=demo_train_expert",
        "eval.backends=[expert]",
    ),
    (
        "Replay the model as it comes and as just trained",
        "eval.replay",
        "experiment=demo_train",
        "eval.backends=[untrained,model]",
    ),
    ("Score and report", "eval.report", "experiment=demo_train"),
)


def main(arguments: list[str]) -> int:
    """Runs the stages in order; gives the first exit status that is not 0."""
    name, stages = ("demo_train", TRAIN) if arguments == ["train"] else ("demo", DEMO)
    begun = time.perf_counter()
    for number, (what, module, *options) in enumerate(stages, start=1):
        words = [sys.executable, "-m", module, *options]
        print(f"\n[{number}/{len(stages)}] {what}\n    python -m {module} {shlex.join(options)}", flush=True)
        status = subprocess.run(words).returncode
        if status:
            again = "make demo" + ("-train" if name != "demo" else "")
            print(
                f"demo: stage {number} ended with status {status}; run `{again}` again to go on from here",
                file=sys.stderr,
            )
            return status
    minutes = (time.perf_counter() - begun) / 60
    print(
        f"\nDone in {minutes:.1f} minutes: outputs/{name}/report.json, outputs/{name}/report.html, outputs/{name}/timeline.png"
    )
    return 0


if __name__ == "__main__":
    program(main, __doc__)
