"""The run that fits the time: what a phase is made of, and all of it with the tiny model."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from scripts.train_within import PHASES, ROWS, WEIGHTS, Run, main


def test_shares_come_to_all():
    assert set(ROWS) == set(WEIGHTS) and sum(WEIGHTS.values()) == pytest.approx(1)
    assert sum(share for share, _, _ in PHASES.values()) == pytest.approx(1)


def test_a_phase_takes_what_rounds_are_there(tmp_path):
    run = Run(tmp_path, 0.0, 2, 1.0, 2048, 4)
    alone = run.mixture(0.35, (1,))
    assert alone == {str(tmp_path / "data" / name): weight for name, weight in WEIGHTS.items()}
    for turn, source, rows in ((101, "bfcl", 10), (102, "bfcl", 10), (201, "written", 10), (202, "written", 0)):
        folder = tmp_path / "repair" / str(turn) / source
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"counts": {"rows": rows}}))
    (tmp_path / "repair" / "203" / "written").mkdir(parents=True)  # was stopped: it has no manifest
    both = run.mixture(0.35, (1, 2))
    assert sum(both.values()) == pytest.approx(1)
    repaired = {folder.split("repair/")[1]: share for folder, share in both.items() if "repair" in folder}
    assert repaired == pytest.approx({"101/bfcl": 0.1, "102/bfcl": 0.1, "201/written": 0.15})
    assert set(run.mixture(0.35, (1,))) < set(both)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_of_it_with_the_tiny_model(tmp_path, bfcl_wheel):
    out = tmp_path / "run"
    assert (
        main(
            [
                "--minutes",
                "3",
                "--workers",
                "2",
                "--rows",
                "0.0005",
                "--length",
                "2500",
                "--rollouts",
                "3",
                "--out",
                str(out),
                "model=tiny",
                "agent.max_generated_tokens=60",
            ]
        )
        == 0
    )
    assert {path.name for path in (out / "adapters").iterdir()} == set(PHASES)
    (kind,) = {str(tensor.dtype) for tensor in load_file(out / "adapters" / "C" / "adapter_model.safetensors").values()}
    assert kind == "torch.bfloat16"
    assert "training.repair" in (out / "commands.sh").read_text()
    with pytest.raises(SystemExit):
        main(["--out", str(out)])
