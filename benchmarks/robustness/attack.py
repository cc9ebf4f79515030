"""Inputs of a door, one after another in a process of their own; a process that does not answer is ended."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from .doors import Door, command, doors, prepare
from .guard import LONGEST_S, answered, quiet_environment, verdict
from .shrink import shortest

PATIENCE_S = 12 * LONGEST_S  # of the parent: compiled code hears no alarm
PREPARED_S = 600.0  # good samples are answered first, which compiles kernels and imports libraries
FATAL = "the process died"


@dataclass
class Tally:
    """What became of the inputs of one door."""

    inputs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    first: dict[str, int] = field(default_factory=dict)
    detail: dict[str, str] = field(default_factory=dict)


def attack(name: str, numbers: range, seed: int, *, keep: Path | None, show: Callable[[str], None]) -> Tally:
    """Try inputs of one door.

    Parameters
    ----------
    name : str
        A door of `doors`.
    numbers : range
        Which inputs; each is made from the seed, the door's name and its number alone.
    seed : int
    keep : Path or None
        Folder for the shortest input of every kind of failure.
    show : callable
        Told of every new kind of failure.
    """
    tally, todo = Tally(), list(numbers)
    while todo:
        done = _in_a_process(name, todo, seed, tally, keep, show)
        todo = todo[done:]
    return tally


def _in_a_process(
    name: str, todo: list[int], seed: int, tally: Tally, keep: Path | None, show: Callable[[str], None]
) -> int:
    """Try inputs until they are through or the process is gone; return how many were tried."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_worker, args=(theirs, name, todo, seed, keep), daemon=True)
    process.start()
    theirs.close()
    done = 0
    if not ours.poll(PREPARED_S) or _begun(ours):
        raise RuntimeError("the good samples cannot be answered: see above")
    try:
        while done < len(todo):
            if not ours.poll(PATIENCE_S):
                raise EOFError
            code, wrong, seconds, detail = ours.recv()
            _count(tally, todo[done], code, wrong, seconds, detail, name, show)
            done += 1
    except EOFError:
        _count(tally, todo[done], None, FATAL, PATIENCE_S, "", name, show)
        done += 1
    finally:
        process.kill()
        process.join()
    return done


def _begun(pipe: Connection) -> bool:
    """Whether the process said anything but that it is ready."""
    try:
        return pipe.recv() is not None
    except EOFError:
        return True


def _count(
    tally: Tally,
    number: int,
    code: int | None,
    wrong: str,
    seconds: float,
    detail: str,
    name: str,
    show: Callable[[str], None],
) -> None:
    tally.inputs += 1
    tally.slowest_s = max(tally.slowest_s, seconds)
    if code is not None:
        tally.codes[code] += 1
    if wrong:
        tally.wrong[wrong] += 1
        if detail not in tally.detail.values():
            tally.first.setdefault(wrong, number)
            tally.detail[f"{wrong} {number}"] = detail
            show(f"{name} {number}: {wrong}: {detail}")


def input_of(door: Door, name: str, number: int, seed: int) -> tuple[tuple[str, ...], bytes]:
    """The command line and the input of a number."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    line = door.lines[int(rng.integers(len(door.lines)))]
    return line, door.make(rng, line)


def _worker(pipe: Connection, name: str, todo: list[int], seed: int, keep: Path | None) -> None:
    quiet_environment()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        door = doors(prepare(Path()))[name]
        pipe.send(None)  # ready
        kept: set[str] = set()
        for number in todo:
            line, raw = input_of(door, name, number, seed)
            wrong, code, seconds, detail = tried(door, line, raw)
            if wrong and keep is not None and detail not in kept:
                kept.add(detail)
                raw = shortest(raw, partial(_fails, door, line, wrong))
                _keep(keep, f"{name}-{seed}-{number}", line, raw)
            pipe.send((code, wrong, seconds, detail))
        os.chdir("/")


def tried(door: Door, line: tuple[str, ...], raw: bytes) -> tuple[str, int | None, float, str]:
    """Verdict, exit code, seconds and the end of the message of one input."""
    Path(door.file).write_bytes(raw)
    words = command(door, line, raw)
    answer = answered(words)
    name = Path(door.file).parts[0]  # of a folder, the folder is named too
    wrong = verdict(answer, file=name if door.named else "", as_json="--json" in words)
    message = answer.err if wrong else ""
    return wrong, answer.code, answer.seconds, f"{' '.join(line)} | {message.strip()[-160:]!r}" if wrong else ""


def _fails(door: Door, line: tuple[str, ...], wrong: str, raw: bytes) -> bool:
    return tried(door, line, raw)[0] == wrong


def _keep(folder: Path, name: str, line: tuple[str, ...], raw: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.input").write_bytes(raw)
    (folder / f"{name}.txt").write_text(" ".join(line) + "\n", encoding="utf-8")
