"""The repository as a whole: which room may import which, what the linter forbids, what a distribution ships."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import midsentence
from scripts import set_up

ROOT = Path(__file__).parent.parent
ROOMS = ("midsentence", "configs", "data_gen", "training", "eval", "scripts")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def ruff(*arguments: str, stdin: str | None = None, verb: str = "check") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", verb, "--no-cache", *arguments]
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


def empty_rooms(folder: Path) -> None:
    """The rooms, and the library's packages, with nothing in them; and the contracts."""
    packages = (path.parent for path in (ROOT / "midsentence").glob("*/__init__.py"))
    for name in (*ROOMS, *(str(path.relative_to(ROOT)) for path in packages)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)


def test_the_rooms_import_in_one_direction():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The direction of the rooms KEPT" in done.stdout
    assert "The core knows nothing that drives it KEPT" in done.stdout
    assert "The models know nothing that drives them KEPT" in done.stdout


@pytest.mark.parametrize("package", ["shells", "rendering", "models"])
def test_the_core_imports_nothing_that_drives_it(tmp_path, package):
    empty_rooms(tmp_path)
    (tmp_path / "midsentence" / "core" / "wrong.py").write_text(f"import midsentence.{package}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"midsentence.core is not allowed to import midsentence.{package}" in done.stdout


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("midsentence", "data_gen"),
        ("data_gen", "eval"),
        ("training", "eval"),
        ("eval", "training"),
        ("eval", "scripts"),
        ("midsentence", "configs"),
        ("configs", "data_gen"),
    ],
)
def test_an_arrow_that_points_up_breaks_the_contract(tmp_path, room, forbidden):
    empty_rooms(tmp_path)
    (tmp_path / room / "wrong.py").write_text(f"import {forbidden}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{room} is not allowed to import {forbidden}" in done.stdout


def test_the_linter_finds_nothing():
    done = ruff("--output-format", "concise", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_is_formatted():
    done = ruff("--check", ".", verb="format")
    assert done.returncode == 0, done.stdout + done.stderr
    marked = [
        path
        for path in sorted(ROOT.glob("*/**/*.py"))
        if re.search(r"# fmt: (skip|off)$", path.read_text("utf-8"), re.M)
    ]
    assert not [path for path in marked if ".venv" not in path.parts and "outputs" not in path.parts]


def test_the_type_checker_finds_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def unread() -> list[str]:
    """The modules that the type checker does not read yet."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["overrides"]
    return [name for override in overrides if override.get("ignore_errors") for name in override["module"]]


def test_what_the_type_checker_does_not_read_is_named_and_grows_no_more():
    names = unread()
    assert all(
        (path := ROOT / name.replace(".", "/")).with_suffix(".py").is_file() or (path / "__init__.py").is_file()
        for name in names
    )
    assert not any(name.startswith("midsentence") for name in names) and names == sorted(set(names)) and len(names) <= 7


def test_the_heart_is_read_strictly(tmp_path):
    """A field that the working state does not declare, or a wrong value in one, is found."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from midsentence.core.transitions import move\nfrom midsentence.core.calls import Call, Input\n"
        "from midsentence.core.state import Draft\n\n\n"
        "def f(draft: Draft, call: Call) -> None:\n    draft.final_hard = True\n    draft.answer = 3\n    move(draft, call, 'hold')\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [line.rpartition("[")[2] for line in done.stdout.splitlines() if ": error:" in line] == [
        "attr-defined]",
        "assignment]",
        "arg-type]",
    ], done.stdout + done.stderr


def test_records_are_read_strictly(tmp_path):
    """A field that a record or a trajectory has not is found before anything runs."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from data_gen.trajectory import Trajectory\nfrom eval.running.records import EpisodeRecord\n\n\n"
        "def f(record: EpisodeRecord, row: Trajectory) -> str:\n    print(record.latency_s)\n    print(row.segments[0].text)\n"
        "    return record.floor_ns\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [line.rpartition("[")[2] for line in done.stdout.splitlines() if ": error:" in line] == [
        "attr-defined]",
        "attr-defined]",
        "return-value]",
    ], done.stdout + done.stderr


@pytest.mark.parametrize(
    "line", ["import time; time.time()", "import datetime as d; d.datetime.now()", "from asyncio import sleep"]
)
@pytest.mark.parametrize(
    ("path", "banned"),
    [
        ("midsentence/core/reducer.py", True),
        ("eval/replay.py", True),
        ("midsentence/shells/live_tools.py", True),
        ("midsentence/shells/live.py", False),
        ("midsentence/shells/inbox.py", False),
    ],
)
def test_clocks_and_waits_are_banned_outside_the_shell(line, path, banned):
    done = ruff("--select", "TID251", "--stdin-filename", path, "-", stdin=line + "\n")
    assert ("TID251" in done.stdout) is banned, done.stdout + done.stderr


@pytest.mark.parametrize("package", ["hydra", "omegaconf", "matplotlib"])
def test_the_library_knows_no_package_of_the_laboratory(tmp_path, package):
    empty_rooms(tmp_path)
    (tmp_path / "midsentence" / "wrong.py").write_text(f"def late():\n    import {package}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"midsentence is not allowed to import {package}" in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of a copy of the tree, built without isolation, so without the network."""
    copy = tmp_path_factory.mktemp("build") / "tree"
    copy.mkdir()
    for name in (*ROOMS, "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "README.md").write_text("readme\n")
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    built = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (copy / "dist").glob("midsentence-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_ships_the_library_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == {"midsentence"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_ships_every_file_of_the_library(wheel):
    files = [path for path in (ROOT / "midsentence").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    kept = {path.relative_to(ROOT).as_posix() for path in files}
    assert {"midsentence/py.typed", "midsentence/models/tiny/model.safetensors"} <= kept
    assert kept <= set(wheel.namelist()), (
        f"add to [tool.setuptools.package-data]: {sorted(kept - set(wheel.namelist()))}"
    )


def test_the_wheel_brings_a_command_and_its_version(wheel):
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert folder == f"midsentence-{midsentence.__version__}.dist-info"
    assert "midsentence = midsentence.cli:run" in wheel.read(f"{folder}/entry_points.txt").decode()


def imported(room: str) -> set[str]:
    """The packages that a room imports, wherever in its files."""
    found = set()
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {*ROOMS}


def test_the_library_asks_for_what_it_imports_and_no_more():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(rows: list[str]) -> set[str]:
        return {re.split(r"[^\w-]", row)[0].replace("-", "_") for row in rows}

    own, lab, more = (
        names(project["dependencies"]),
        names(project["optional-dependencies"]["lab"]),
        project["optional-dependencies"],
    )
    called = {"faker": "faker", "pyyaml": "yaml", "hydra_core": "hydra"}
    behind = names(more["llamacpp"]) | names(more["openai"]) | names(more["page"])  # extras
    behind |= {"mcp", "mcp_types", "pipecat", "livekit", "opentelemetry"}
    assert imported("midsentence") - behind == own - {"gguf", "safetensors"}  # which transformers asks for
    assert not own & lab
    needed = {called.get(name, name) for name in own | lab} | {"omegaconf", "hassil", "home_assistant_intents", "regex"}
    optional = {"bfcl_eval", "flash_attn", "my", "deepspeed", "onnxruntime", "openai", "here"}
    assert set().union(*(imported(room) for room in ("configs", "data_gen", "training", "eval"))) <= needed | optional


def test_what_needs_a_compiler_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = " ".join(project["dependencies"])
    assert {"deepspeed", "llamacpp", "dev", "lab"} <= set(project["optional-dependencies"])
    assert not any(name in required for name in ("deepspeed", "llamacpp"))


@pytest.mark.parametrize(
    ("asked", "have", "installs"),
    [
        ([], None, ["lab"]),
        (["dev"], ["lab"], ["dev", "lab"]),
        ([], ["dev", "lab"], None),
        (["dev"], ["dev"], ["dev", "lab"]),
    ],
)
def test_the_laboratory_is_always_set_up(monkeypatch, asked, have, installs):
    done = []
    monkeypatch.setattr(sys, "argv", ["set_up", "--extras", *asked])
    monkeypatch.setattr(set_up, "installed", lambda key: have)
    monkeypatch.setattr(set_up, "install", lambda extras, key: done.append(extras))
    set_up.main()
    assert done == ([installs] if installs else [])


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
    ("ci", "status", "said"),
    [("true", 1, "under CI=true nothing may be missing: asset 'smollm2'"), ("", 0, "SKIPPED [1]")],
)
def test_a_missing_asset_fails_under_ci_and_skips_elsewhere(tmp_path, ci, status, said):
    environment = os.environ | {"CI": ci, "MIDSENTENCE_CACHE": str(tmp_path)}
    one = ["-p", "no:cacheprovider", "tests/midsentence/models/test_folders.py", "-k", "converted_tokenizer"]
    command = [sys.executable, "-m", "pytest", *one]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert said in done.stdout
    assert "fetch it with: midsentence fetch smollm2" in done.stdout


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
