"""Each kind of attack, one case at a time, counted.

Owns how a case of each kind is run and judged: command lines, mutated files, kills, full disks. Does not know how the
counts are shown.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from scripts.hostile import faults, lines, mutated
from scripts.hostile.found import Tally, lost, snapshot, wrong_with
from scripts.hostile.warm import forked, line
from scripts.hostile.world import again


def world_of(place: Path, master: Path, kind: str) -> Path:
    """The world that cases of a kind share."""
    return place / kind if (place / kind).exists() else again(master, place / kind)


def command_line(tally: Tally, master: Path, place: Path, seed: int, number: int) -> None:
    """One bad command line, in a world of earlier results."""
    world, out = world_of(place, master, "world"), f"made-{number}"
    case = lines.drawn(seed, number, out)
    before = snapshot(world)
    ended = forked(
        line(case.module, case.arguments), world, stdin=None if case.closed_stdin else b"what is the time?\n"
    )
    wrong = wrong_with(ended, nonsense=case.nonsense)
    if gone := lost(before, snapshot(world), case.out if ended.status == 0 else ""):
        wrong.add("earlier_results_lost")
        again(master, world)
    for name in sorted(snapshot(world).keys() - before.keys()):
        (world / name).unlink()
    tally.add(f"line {number}", "lines", ended, sorted(wrong), f"{case}{f' [{gone[0]}]' if gone else ''}")


def broken_file(tally: Tally, master: Path, place: Path, seed: int, number: int) -> None:
    """One broken file, given to what reads such files."""
    world = world_of(place, master, "files")
    (world / "own.py").write_text(f"from pathlib import Path\nPath({str(world / mutated.RAN)!r}).touch()\n", "utf-8")
    case = mutated.drawn(seed, number, master)
    case.put(world)
    before = snapshot(world)
    ended = forked(mutated.reading(case), world)
    wrong = wrong_with(ended, nonsense=case.refused)
    if (world / mutated.RAN).exists() or case.bad in mutated.used(ended.out):
        wrong.add("accepted_nonsense")
    if case.good - mutated.used(ended.out):
        wrong.add("good_rows_lost")
    if gone := lost(before, snapshot(world)):
        wrong.add("earlier_results_lost")
    restored(master, world, case.file)
    tally.add(
        f"file {number}",
        "files",
        ended,
        sorted(wrong),
        f"{case.reader} {case.file}, {case.how}{f' [{gone[0]}]' if gone else ''}",
    )


def restored(master: Path, world: Path, name: str) -> None:
    """Puts the file back as it was, and takes away what a reader left."""
    path = world / name
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    if (master / name).exists():
        shutil.copy2(master / name, path)
    (world / mutated.RAN).unlink(missing_ok=True)
    shutil.rmtree(world / "rejected", ignore_errors=True)
    for left in world.glob("*.traceback"):
        left.unlink()


def killed(tally: Tally, master: Path, place: Path, seed: int, number: int) -> None:
    """One command, killed once or more and given again until it is done."""
    draw = random.Random(f"kill:{seed}:{number}")
    world = world_of(place, master, "kills")
    name = list(faults.MADE)[number % len(faults.MADE)]
    known = faults.alone(name, world)
    out = world / "killed"
    shutil.rmtree(out, ignore_errors=True)
    before, wrong, how = snapshot(world), set(), []
    body = faults.made_by(name, out.name, world)
    for kill in faults.kills(draw, known):
        ended = forked(faults.counting(body, out, kill.step), world, limit_s=300, kill_after_s=kill.after_s)
        how.append(f"step {kill.step}" if kill.step else f"{kill.after_s:.2f} s")
        if ended.status != -signal.SIGKILL:
            wrong |= wrong_with(ended)
        if changed := {key for key, each in faults.content(name, out).items() if known.content.get(key) != each}:
            wrong.add("bytes_changed")
            how.append(f"half of {min(changed)}")
    wrong |= _done(name, body, world, out, known)
    if gone := lost(before, snapshot(world)):
        wrong.add("earlier_results_lost")
        how.append(gone[0])
    tally.add(f"kill {number}", "kills", ended, sorted(wrong), f"{name}, {', '.join(how)}")


def _done(name: str, body: Callable[[], None], world: Path, out: Path, known: faults.Alone) -> set[str]:
    """Lets a command end what was begun; gives what is wrong then."""
    ended = forked(body, world, limit_s=300)
    wrong = wrong_with(ended, nonsense=False)
    if ended.status or faults.content(name, out) != known.content:
        wrong.add("bytes_changed")
    if [path for path in out.rglob("*") if path.name.endswith((".tmp", ".part")) or path.name == "making.json"]:
        wrong.add("bytes_changed")
    return wrong


def disk_full(tally: Tally, master: Path, place: Path, seed: int, number: int) -> None:
    """One command on a disk that is too small, and again when there is room; a report has an earlier one in its
    place."""
    draw = random.Random(f"disk:{seed}:{number}")
    world = world_of(place, master, "kills")
    name = list(faults.MADE)[number % len(faults.MADE)]
    known = faults.alone(name, world)
    size = int(known.bytes * draw.choice((0.0, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0)) * draw.random()) + 4096 * draw.randrange(
        1, 4
    )
    out, body = world / "small" / "made", faults.made_by(name, "small/made", world)
    before = snapshot(world)
    with faults.small_disk(world / "small", size) as enlarge:
        shutil.rmtree(out, ignore_errors=True)
        earlier = {}
        if name == "report" and size > known.bytes:
            shutil.copytree(master / "report", out)
            earlier = faults.content(name, out)
        ended = forked(body if enlarge else faults.short_files(body, size), world, limit_s=300)
        wrong = wrong_with(ended)
        there = faults.content(name, out)
        if any(each not in (known.content.get(key), earlier.get(key)) for key, each in there.items()):
            wrong.add("bytes_changed")
        if earlier.keys() - there.keys():
            wrong.add("earlier_results_lost")
        if enlarge:
            enlarge()
        wrong |= _done(name, body, world, out, known)
        if lost(before, snapshot(world)):
            wrong.add("earlier_results_lost")
    how = "" if enlarge else ", by the size of files"
    tally.add(f"disk {number}", "disks", ended, sorted(wrong), f"{name}, {size} bytes of {known.bytes}{how}")
