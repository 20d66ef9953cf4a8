"""The repository as a whole: which room may import which, what the linter forbids, what a distribution ships."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from scripts import set_up

ROOT = Path(__file__).parent.parent
ROOMS = ("midsentence", "configs", "data_gen", "training", "eval", "scripts")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def ruff(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)


def unsaid_encodings(path: Path) -> list[int]:
    """Lines on which a file is read or written as text in whatever encoding the locale has."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        texts = {"read_text": 1, "write_text": 2}
        if isinstance(node.func, ast.Attribute) and len(node.args) < texts.get(node.func.attr, 0):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_files_of_text_are_utf_8_in_every_locale(room):
    assert {str(path): lines for path in (ROOT / room).rglob("*.py") if (lines := unsaid_encodings(path))} == {}


def test_the_rooms_import_in_one_direction():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The direction of the rooms KEPT" in done.stdout


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [("midsentence", "data_gen"), ("data_gen", "eval"), ("training", "eval"), ("eval", "training"), ("eval", "scripts"),
     ("configs", "midsentence")],  # fmt: skip
)
def test_an_arrow_that_points_up_breaks_the_contract(tmp_path, room, forbidden):
    for name in ROOMS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / room / "wrong.py").write_text(f"import {forbidden}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{room} is not allowed to import {forbidden}" in done.stdout


def test_the_linter_finds_nothing():
    done = ruff("--output-format", "concise", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "line", ["import time; time.time()", "import datetime as d; d.datetime.now()", "from asyncio import sleep"]
)
@pytest.mark.parametrize(("path", "banned"), [("midsentence/core.py", True), ("eval/replay.py", True), ("midsentence/runtime.py", False)])
def test_clocks_and_waits_are_banned_outside_the_shell(line, path, banned):
    done = ruff("--select", "TID251", "--stdin-filename", path, "-", stdin=line + "\n")
    assert ("TID251" in done.stdout) is banned, done.stdout + done.stderr


def test_midsentence_is_importable_without_torch():
    code = "import sys, midsentence.assets, midsentence.models.embedded; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    """The names inside the wheel of a copy of the tree, built without isolation, so without the network."""
    copy = tmp_path_factory.mktemp("build") / "tree"
    copy.mkdir()
    for name in (*ROOMS, "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "README.md").write_text("readme\n")
    (copy / "configs" / "experiment").mkdir(exist_ok=True)
    (copy / "configs" / "experiment" / "packaged.yaml").write_text("# a group's file\n")
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    built = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (copy / "dist").glob("midsentence-*.whl")
    return zipfile.ZipFile(path).namelist()


def test_the_wheel_ships_settings_and_the_tiny_model(wheel):
    assert {"configs/__init__.py", "configs/experiment/packaged.yaml"} <= set(wheel)
    committed = {f"midsentence/models/tiny/{path.name}" for path in (ROOT / "midsentence/models/tiny").iterdir()}
    assert "midsentence/models/tiny/model.safetensors" in committed
    assert committed <= set(wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_ships_no_tests_and_no_scripts(wheel):
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == {"midsentence", "configs", "data_gen", "eval", "training"}


def test_the_wheel_ships_every_data_file_of_the_rooms(wheel):
    for room in ("midsentence", "data_gen", "training", "eval", "configs"):
        files = [path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        kept = {path.relative_to(ROOT).as_posix() for path in files}
        assert kept <= set(wheel), f"add to [tool.setuptools.package-data]: {sorted(kept - set(wheel))}"


def test_what_needs_a_compiler_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = " ".join(project["dependencies"])
    assert {"deepspeed", "vllm", "llamacpp", "dev"} <= set(project["optional-dependencies"])
    assert not any(name in required for name in ("deepspeed", "vllm", "llamacpp"))


@pytest.mark.parametrize(
    ("system", "gpu", "cpu"), [("Linux", False, True), ("Linux", True, False), ("Darwin", False, False)]
)
def test_the_cpu_build_of_torch_is_for_linux_without_a_gpu(system, gpu, cpu):
    assert set_up.wants_cpu_build(system, gpu) is cpu


def test_an_old_python_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    with pytest.raises(SystemExit, match=r"is Python 3\.10\.4, but 3\.11 or later is needed; .*PYTHON=python3\.12$"):
        set_up.refuse_old_python()


@pytest.mark.parametrize(
    ("ci", "status", "said"), [("true", 1, "under CI=true nothing may be missing: asset 'smollm2'"), ("", 0, "SKIPPED [1]")]
)
def test_a_missing_asset_fails_under_ci_and_skips_elsewhere(tmp_path, ci, status, said):
    environment = os.environ | {"CI": ci, "MIDSENTENCE_CACHE": str(tmp_path)}
    one = ["-p", "no:cacheprovider", "tests/midsentence/test_embedded.py", "-k", "converted_tokenizer"]
    command = [sys.executable, "-m", "pytest", *one]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert said in done.stdout
    assert "fetch it with: python -m midsentence.assets fetch smollm2" in done.stdout


def test_the_environment_says_which_python_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(set_up, "VENV", str(tmp_path))
    assert set_up.made_by() is None
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.4\n")
    assert set_up.made_by() == (3, 12)


def test_the_stamp_stands_only_for_what_it_was_written_for(tmp_path, monkeypatch):
    monkeypatch.setattr(set_up, "STAMP", str(tmp_path / "stamp.json"))
    monkeypatch.setattr(set_up, "PYTHON", sys.executable)
    assert set_up.installed("k") is None
    set_up.write_stamp("k", ["dev"])
    assert set_up.installed("k") == ["dev"]
    assert set_up.installed("another pyproject") is None
    monkeypatch.setattr(set_up, "PYTHON", str(tmp_path / "gone"))
    assert set_up.installed("k") is None
    (tmp_path / "stamp.json").write_text('{"key":')
    assert set_up.installed("k") is None
