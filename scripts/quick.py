"""The method at a glance, without any weights: ``make quick``.

The expert plays the model on twenty requests (the Berkeley leaderboard's where its file is there, otherwise the debug
ones) in four modes; prints the table and writes ``outputs/quick/report.json`` and ``outputs/quick/timeline.png``.
"""

from __future__ import annotations

import subprocess
import sys

from midsentence.assets import MissingAsset, asset_path
from midsentence.ending import program
from midsentence.models import folders

TASKS = 20


def main(_: list[str]) -> int:
    """Replays and reports; gives the first exit status that is not 0."""
    try:
        asset_path("bfcl")
        source = "bfcl"
    except MissingAsset as missing:
        print(f"{missing}\nGoing on with the debug requests, whose figures mean nothing.", file=sys.stderr)
        source = "debug"
    # tokens cost time, so the tokenizer matters: the embedded model's where it is there, else the small committed one
    model = "smollm2" if folders.converted() is not None else "tiny"
    name = f"quick_{source}_{model}"
    replay = [
        f"name={name}",
        f"data.source={source}",
        f"model={model}",
        "eval.backends=[expert]",
        f"eval.expert_tasks={TASKS}",
    ]
    report = ["name=quick", f"runs=[outputs/replay/{name}]"]
    for module, options in (("eval.replay", replay), ("eval.report", report)):
        print(f"python -m {module} {' '.join(options)}", flush=True)
        status = subprocess.run([sys.executable, "-m", module, *options]).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    program(main, __doc__)
