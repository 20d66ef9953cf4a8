"""Every notebook runs from its first cell to its last, defines nothing, and is committed without outputs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_they_are_numbered():
    assert NAMES == ["01_look_at_the_data", "02_results"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_defines_no_logic_and_has_no_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, "clear the outputs before committing"
            defined = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
            assert not defined, f"line {defined[0].lineno} of {cell.id} defines logic; put it into a module and import it"


def executed(path: Path) -> list:
    """The outputs of the code cells, run from the root of the repository."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
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
