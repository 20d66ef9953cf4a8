"""Every notebook runs from its first cell to its last, defines nothing, and is committed with the outputs of such a
run."""

from __future__ import annotations

import ast
import base64
import gc
import io
import re
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread

from configs.palette import MODE_COLOURS, PARTS, SLIP
from midsentence.core.modes import MODES

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_they_are_numbered():
    assert NAMES == ["01_look_at_the_data", "02_results", "03_conversations"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_defines_no_logic(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            defined = [
                node
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)
            ]
            assert not defined, (
                f"line {defined[0].lineno} of {cell.id} defines logic; put it into a module and import it"
            )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_committed_as_it_ran_from_top_to_bottom(path):
    again = f"run it again: jupyter execute --inplace notebooks/{path.name}"
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)], again
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"], again
    assert kinds(outputs).count("image/png") >= 3 and path.stat().st_size < 600_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/home/|/root/|/work/|/tmp/|[A-Z]:\\\\", text), (
        f"it shows a path of somebody's machine; {again}"
    )
    # prose is prose: code in a Markdown cell would never run
    prose = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert not [line for line in prose if re.match(r"(from \S+ )?import |\w+ = |with .*:$|for .*:$", line)]


def committed(name: str) -> list:
    """The outputs that are in the repository."""
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    return [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(outputs: list) -> list[np.ndarray]:
    found = [
        base64.b64decode(output["data"]["image/png"]) for output in outputs if "image/png" in output.get("data", {})
    ]
    return [(imread(io.BytesIO(data))[:, :, :3] * 255).round().astype(int) for data in found]


def has(picture: np.ndarray, colour: str) -> bool:
    return bool((picture == [int(colour[n : n + 2], 16) for n in (1, 3, 5)]).all(axis=2).sum() > 50)


def test_the_data_that_are_shown_have_disfluencies_and_the_colours_of_the_palette():
    outputs = committed("01_look_at_the_data.ipynb")
    said = "".join(output.get("text", "") for output in outputs)
    shares = {name.strip(): float(share) for name, share in re.findall(r"^(.*?) +([\d.]+)%$", said, re.M)}
    assert len(shares) == 7 and all(shares.values()), "of a data set without disfluencies there is nothing to see"
    shown, *timelines = pictures(outputs)
    assert all(
        has(shown, colour) for mode, colour in MODE_COLOURS.items() if not MODES[mode].verified
    )  # which no data is made of
    assert len(timelines) == 2 and all(has(picture, SLIP) and has(picture, PARTS["tool_call"]) for picture in timelines)


def test_the_committed_table_is_what_the_committed_replay_says_today():
    from eval.figures.tables import markdown
    from eval.measures.rows import Terms, rows_of
    from eval.running.results import read_runs

    outputs = committed("02_results.ipynb")
    rows = rows_of(read_runs([str(ROOT / "notebooks/results/replay")]), Terms(resamples=2000))
    assert outputs[0]["data"]["text/markdown"] == markdown(rows), (
        "run it again: jupyter execute --inplace notebooks/02_results.ipynb"
    )
    assert [row["mode"] for row in rows] == ["sequential", "parallel", "eager_end", "speculative"]
    for picture in pictures(outputs)[:3]:
        assert all(has(picture, MODE_COLOURS[row["mode"]]) for row in rows)


def executed(path: Path) -> list:
    """The outputs of the code cells, run from the root of the repository."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    with warnings.catch_warnings(
        action="ignore"
    ):  # a kernel that has not ended yet warns when its client goes: here, in no other test
        gc.collect()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def kinds(outputs: list) -> list[str]:
    shown = [output["data"] for output in outputs if "data" in output]
    return [kind for data in shown for kind in ("image/png", "text/html", "text/markdown") if kind in data]


# the client and the kernel warn of their own event loops
@pytest.mark.filterwarnings("default")
def test_looking_at_the_data(tmp_path, monkeypatch):
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from configs.schema import register
    from data_gen import generate

    register()
    with initialize_config_module("configs", version_base="1.3"):
        few = "data.sizes={train: 12, validation: 1, test: 1}"
        made = compose("config", overrides=["experiment=debug", f"out={tmp_path / 'debug'}", few])
    generate.main(OmegaConf.to_object(made))
    monkeypatch.setenv("MIDSENTENCE_DATA", str(tmp_path / "debug"))
    outputs = executed(ROOT / "notebooks/01_look_at_the_data.ipynb")
    assert kinds(outputs).count("image/png") == 3 and kinds(outputs).count("text/html") == 2
    said = "".join(output.get("text", "") for output in outputs)
    assert "12 trajectories of debug" in said and re.search(r"trajectories with an answer +100\.0%", said)
    page = "".join(output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "#cfe8d8" in page and "&lt;final_query_update&gt;" in page and "<final_query_update>" not in page


@pytest.mark.filterwarnings("default")
def test_the_results(monkeypatch):
    monkeypatch.delenv("MIDSENTENCE_RUNS", raising=False)
    outputs = executed(ROOT / "notebooks/02_results.ipynb")
    assert kinds(outputs) == ["text/markdown"] + ["image/png"] * 5
    table = outputs[0]["data"]["text/markdown"]
    assert "naturalistic, validation, laptop" in table and "speculative" in table


def test_the_committed_conversation_is_what_its_records_say_today():
    from eval.figures.page import transcript
    from eval.figures.turn_tables import turn_by_turn
    from eval.running.results import read_file

    episodes = list(read_file(ROOT / "notebooks/results/conversation.jsonl"))
    outputs = committed("03_conversations.ipynb")
    again = "run it again: jupyter execute --inplace notebooks/03_conversations.ipynb"
    assert outputs[0]["data"]["text/markdown"] == "\n".join(turn_by_turn(episodes).markdown()), again
    said = "".join(output.get("text", "") for output in outputs)
    assert "\n".join(transcript(episodes[-1])) in said and "the user speaks into it" in said, again
    assert all(has(picture, PARTS["tool_call"]) for picture in pictures(outputs)) and len(pictures(outputs)) == len(
        episodes
    )
