"""Makes `.venv` fit to run this repository, once: the environment, torch, the project, pinned assets, the model.

Owns the order of installation and the stamp that says what is done; `midsentence.assets` owns what is fetched. Runs on
the system's Python with nothing installed, and is written so that an old one can still read it and say so.

    python3 -m scripts.set_up [--extras dev ...] [--assets NAME ...] [--optional NAME ...] [--model smollm2]
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time

OLDEST = (3, 11)
LABORATORY = "lab"
TORCH = "torch==2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "midsentence-stamp.json")


def say(text):
    """Prints a line at once, marked as the set-up's."""
    print("set-up: " + text, flush=True)


def refuse_old_python():
    """Exits with one clear line on a Python that the project does not run on."""
    if sys.version_info < OLDEST:
        found, wanted = platform.python_version(), ".".join(map(str, OLDEST))
        sys.exit(
            f"set-up: {sys.executable} is Python {found}, but {wanted} or later is needed; "
            "name one, as in: make test PYTHON=python3.12"
        )


def run(command, **kwargs):
    """Runs a command in the repository; its output goes where ours goes. Returns its exit status."""
    return subprocess.run(command, cwd=ROOT, check=False, **kwargs).returncode


def must(command):
    """Runs a command and exits with its status if it fails."""
    status = run(command)
    if status:
        sys.exit(f"set-up: failed (exit status {status}): {' '.join(command)}")


def has_nvidia_gpu():
    """Whether the driver lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def wants_cpu_build(system, gpu):
    """Whether torch's CPU build is asked for: on Linux the usual wheel brings gigabytes that only a GPU can use."""
    return system == "Linux" and not gpu


def key():
    """What the environment depends on, as one hash: the declared dependencies, this script, and the Python."""
    digest = hashlib.sha256(platform.python_version().encode())
    for path in (os.path.join(ROOT, "pyproject.toml"), os.path.abspath(__file__)):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def made_by():
    """The ``(major, minor)`` of the Python that made the environment, or None where there is none."""
    try:
        with open(os.path.join(VENV, "pyvenv.cfg"), encoding="utf-8") as file:
            rows = dict(line.split("=", 1) for line in file if "=" in line)
    except OSError:
        return None
    version = {name.strip(): value.strip() for name, value in rows.items()}.get("version", "")
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def installed(stamp_key):
    """The extras that are installed in an environment made for ``stamp_key``, or None if it has to be made."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return None
    return stamp["extras"] if stamp.get("key") == stamp_key and os.path.exists(PYTHON) else None


def write_stamp(stamp_key, extras):
    """Says that the environment stands; the last thing that an installation does."""
    with open(STAMP + ".new", "w", encoding="utf-8") as file:
        json.dump({"key": stamp_key, "extras": sorted(extras)}, file)
    os.replace(STAMP + ".new", STAMP)


def install_torch(cpu):
    """Installs torch by itself and first, so that the project's own requirement finds it there."""
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    if cpu:
        # without dependencies: this index is for torch alone; what torch needs comes with the project
        fast = ["--no-deps", "--timeout", "10", "--retries", "0", "--index-url", CPU_INDEX]
        if run(pip + fast + [TORCH]) == 0:
            return
        say("the CPU build could not be had; taking the usual one, which may be some 3 GB with its libraries")
    must([*pip, TORCH])


def install(extras, stamp_key):
    """Makes the environment where there is none, and installs torch, the project and its extras into it."""
    cpu = wants_cpu_build(platform.system(), has_nvidia_gpu())
    what = "the CPU build of torch, some 200 MB" if cpu else "torch, some 100 MB on macOS, 3 GB where there is a GPU"
    say(f"installing into .venv: {what}; other packages, some 350 MB; extras: {', '.join(extras)}")
    if not os.path.exists(PYTHON) or made_by() != sys.version_info[:2]:
        # --clear: packages built for another Python are of no use to this one
        must([sys.executable, "-m", "venv", "--clear", VENV])
    install_torch(cpu)
    must(
        [
            PYTHON,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-e",
            f".[{','.join(extras)}]",
        ]
    )
    write_stamp(stamp_key, extras)


def announce_assets(names):
    """Says what fetching will download at most, before it begins."""
    from midsentence.assets import ASSETS

    known = [ASSETS[name] for name in names if name in ASSETS]
    if known:
        listed = ", ".join(f"{asset.spec} ({asset.size_bytes / 1e6:.0f} MB)" for asset in known)
        say("pinned files that are fetched unless the cache has them: " + listed)


def main():
    """Sets up what is asked for; does nothing where it stands already."""
    refuse_old_python()
    parser = argparse.ArgumentParser(prog="python3 -m scripts.set_up")
    parser.add_argument(
        "--extras", nargs="*", default=[], help="extras of pyproject.toml beside lab, which is always installed"
    )
    parser.add_argument("--assets", nargs="*", default=[], help="assets that must be there (midsentence fetch --list)")
    parser.add_argument(
        "--optional", nargs="*", default=[], help="assets without which some tests skip; needed if CI=true"
    )
    parser.add_argument("--model", default=None, help="a model to resolve, such as smollm2")
    asked = parser.parse_args()
    extras = {LABORATORY, *asked.extras}
    began = time.monotonic()
    stamp_key = key()
    have = installed(stamp_key)
    fresh = have is None or not extras <= set(have)
    if fresh or asked.model:
        announce_assets(asked.assets + asked.optional + ([asked.model] if asked.model else []))
    if fresh:
        install(sorted(extras | set(have or [])), stamp_key)
    if asked.assets:
        must([PYTHON, "-m", "midsentence", "fetch", *asked.assets])
    if asked.optional and run([PYTHON, "-m", "midsentence", "fetch", *asked.optional]):
        if os.environ.get("CI") == "true":
            sys.exit("set-up: an asset is missing, and under CI=true none may be")
        say("going on without; the tests that need what is missing will skip and say so")
    if asked.model:
        must([PYTHON, "-m", "midsentence", "fetch", "--model", asked.model])
    say(f"ready after {time.monotonic() - began:.0f} s" + ("" if fresh else "; the environment stood already"))


if __name__ == "__main__":
    main()
