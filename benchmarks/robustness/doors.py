"""The table of doors: a command line with FILE in the place of the broken input, and what that input is made of."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from placement.cli import run
from placement.report.formats import FORMATS
from tests.inventory import outputs

from .mutate import PIECES, VALUES, broken_text, mutated
from .samples import (
    CHOICES,
    CLUSTER,
    CONFIG,
    COPIES,
    FLEET,
    GOODPUT,
    HELIX,
    INDEX,
    OFFERS,
    REPLICATED,
    RUN,
    RUNTIME_NAMES,
    SERVED,
    SPLITS,
    SWARM,
    TRACES,
    WHATIF,
)

Line = tuple[str, ...]
Make = Callable[[np.random.Generator, Line], bytes]
SHORT = ("--time-limit", "0.05", "--json")


@dataclass(frozen=True, slots=True)
class Door:
    """One way in.

    Attributes
    ----------
    lines : tuple of Line
        Command lines, of which each input gets one; FILE stands for the input's file, TEXT for the input itself.
    make : callable
        Makes an input from a generator.
    file : str
        Name of the input's file.
    named : bool
        Whether a refusal names that file.
    """

    lines: tuple[Line, ...]
    make: Make
    file: str = "input.yaml"
    named: bool = True


def documents(*samples: Any) -> Make:
    """Mutations of any of some documents."""
    return lambda rng, _: mutated(samples[int(rng.integers(len(samples)))], rng)


def json_lines(sample: Any) -> Make:
    """Two to three lines, of which each may be broken."""

    def make(rng: np.random.Generator, _: Line) -> bytes:
        rows = [json.dumps(sample).encode()]
        for _row in range(int(rng.integers(1, 3))):
            rows.append(mutated(sample, rng).replace(b"\n", b" ") if rng.random() < 0.8 else rows[0])
        return b"\n".join(rows)

    return make


def texts(*samples: str) -> Make:
    """Mistakes in any of some texts."""
    return lambda rng, _: broken_text(samples[int(rng.integers(len(samples)))], rng)


def splits(rng: np.random.Generator, line: Line) -> bytes:
    """A broken split of the runtime that the command line names, or of any."""
    names = list(RUNTIME_NAMES) if rng.random() < 0.1 else [name for name in RUNTIME_NAMES if name in line]
    return broken_text(SPLITS[names[int(rng.integers(len(names)))]], rng)


def options(rng: np.random.Generator, _: Line) -> bytes:
    """A value for an option."""
    value = VALUES[int(rng.integers(len(VALUES)))]
    text = value if isinstance(value, str) else json.dumps(value)
    raw = broken_text(text, rng) if rng.random() < 0.5 else text.encode("utf-8", "surrogatepass")
    return raw.replace(b"\0", b"") if rng.random() < 0.9 else raw + PIECES[int(rng.integers(len(PIECES)))]


OPTIONS = (
    ("solve", "--objective"),
    ("solve", "--solver"),
    ("solve", "--seed"),
    ("solve", "--time-limit"),
    ("solve", "--set"),
    ("solve", "--model"),
    ("solve", "--runtime"),
    ("solve", "--edges"),
    ("solve", "--start"),
    ("solve", "--out"),
    ("solve", "--report"),
    ("score", "--spans"),
    ("score", "--plan"),
    ("tables", "--out"),
    ("check", "--set"),
    ("whatif", "--add"),
    ("whatif", "--remove"),
    ("whatif", "--set"),
    ("size", "--budget"),
    ("size", "--from"),
    *(
        ("simulate", option)
        for option in (
            "--policy",
            "--with",
            "--rate",
            "--trace",
            "--duration",
            "--lengths",
            "--prefixes",
            "--engine",
            "--ttft",
            "--warm",
            "--period",
        )
    ),
)
# What a command needs beside its file, where options are tried.
BESIDE: Mapping[str, Line] = {
    "whatif": ("--time-limit", "0.1"),
    "size": ("--target", "tokens_per_s >= 9", "--time-limit", "0.1"),
    "simulate": ("--requests", "4", "--time-limit", "0.05"),
}
OUTPUTS = (
    outputs.listed("NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
    outputs.matrix("NV12 SYS", "SYS"),
    outputs.QUERY,
    outputs.TABLE,
    outputs.TABLE_MIG,
    outputs.LONG,
    outputs.ROCM_JSON,
    outputs.ROCM_TEXT,
    outputs.mac("Apple M2 Ultra", 192),
    outputs.MAC_JSON,
    outputs.LLAMA,
    outputs.RAY,
    outputs.KUBERNETES,
    outputs.EXO,
    outputs.EXO_FIRST,
)


def doors(plans: Mapping[str, Any]) -> dict[str, Door]:
    """All doors; `plans` are good plans by kind, made by `prepare`."""
    plan_lines = [
        ("score", "cluster.json", "--plan", "FILE", *SHORT),
        ("score", "replicated.json", "--plan", "FILE", *SHORT),
        ("replan", "FILE", "cluster.json", "--lost", "b", "--json"),
        ("run", "FILE", "--model", "none"),
        ("solve", "cluster.json", "--start", "FILE", *SHORT),
        ("solve", "replicated.json", "--start", "FILE", *SHORT),
        *(("export", "FILE", "--to", name, "--json") for name in RUNTIME_NAMES),
    ]
    asked = [("solve", "FILE", *SHORT), ("score", "FILE", "--spans", "a=0:4,b=4:8", *SHORT), ("tables", "FILE")]
    pages = [
        ("report", "FILE", "--html", "page.html"),
        ("show", "FILE"),
        ("compare", "FILE", "plan-cluster.json", "--json"),
        ("compare", "plan-replicated.json", "FILE", "--json"),
        *(("show", "FILE", "--format", name, "--out", "picture") for name in FORMATS),
    ]
    questions: list[Line] = [
        ("check", "FILE", "--json"),
        ("whatif", "FILE", "--time-limit", "0.1", "--json"),
        ("size", "FILE", "--target", "tokens_per_s >= 9", "--from", "offers.json", "--time-limit", "0.1", "--json"),
        ("simulate", "FILE", "--concurrency", "2", "--requests", "4", "--time-limit", "0.05", "--json"),
    ]
    left_open: list[Line] = [
        ("solve", "FILE", *SHORT),
        ("whatif", "FILE", "--time-limit", "0.1", "--json"),
        *(("trade", "FILE", "--by", by, *SHORT) for by in ("context", "concurrency", "quantization")),
    ]
    return {
        "cluster": Door(tuple(asked), documents(CLUSTER)),
        "replicated": Door(tuple(asked), documents(REPLICATED)),
        "fleet": Door(tuple(asked), documents(FLEET)),
        "swarm": Door(
            (*asked, ("route", "FILE", "--nsga2", "0", "--json"), ("petals", "advise", "FILE", "--json")),
            documents(SWARM),
        ),
        "helix": Door(tuple(asked), documents(HELIX)),
        "plan": Door(tuple(plan_lines), documents(*plans.values()), "plan.json"),
        "runs": Door((("calibrate", "cluster.json", "FILE", "--json"),), json_lines(RUN), "runs.jsonl"),
        "calibrate": Door((("calibrate", "FILE", "runs.jsonl", "--json"),), documents(CLUSTER)),
        "split": Door(
            tuple(
                ("import", "cluster.json", "--from", name, "--split", "FILE", "--nodes", "a,b", "--json")
                for name in RUNTIME_NAMES
            ),
            splits,
            "split.txt",
            named=False,
        ),
        "config": Door((("solve", "model.yaml", "--model", "FILE", *SHORT),), documents(CONFIG), "config.json"),
        "index": Door(
            (("solve", "model.yaml", "--model", "folder", *SHORT),),
            documents(INDEX),
            "folder/model.safetensors.index.json",
        ),
        "options": Door(
            tuple(
                (command, "cluster.json", f"{option}=TEXT", *BESIDE.get(command, ()), "--json")
                for command, option in OPTIONS
            ),
            options,
            named=False,
        ),
        "question": Door(tuple(questions), documents(CLUSTER, COPIES, REPLICATED)),
        "open": Door(tuple(left_open), documents(CHOICES, GOODPUT)),
        "copies": Door((("solve", "FILE", *SHORT),), documents(COPIES)),
        "pages": Door(tuple(pages), documents(*plans.values()), "plan.json"),
        "beside": Door(
            (
                ("report", "plan-cluster.json", "--html", "page.html", "--whatif", "FILE"),
                ("report", "plan-cluster.json", "--html", "page.html", "--simulated", "FILE"),
            ),
            documents(WHATIF, SERVED),
            "beside.json",
        ),
        "offers": Door(
            (("size", "cluster.json", "--target", "tokens_per_s >= 9", "--from", "FILE", *SHORT),), documents(OFFERS)
        ),
        "inventory": Door((("new", "FILE"), ("new", "FILE", "--node")), texts(*OUTPUTS), "output.txt"),
        "trace": Door(
            (("simulate", "cluster.json", "--trace", "FILE", "--requests", "4", *SHORT),), texts(*TRACES), "trace.txt"
        ),
    }


def prepare(folder: Path) -> dict[str, Any]:
    """Write the good files that command lines name, and return good plans by kind."""
    samples = {"cluster": CLUSTER, "replicated": REPLICATED, "fleet": FLEET, "swarm": SWARM, "helix": HELIX}
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "folder" / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": None}))
    bare = {key: value for key, value in CLUSTER.items() if key not in ("model", "constraints")}
    (folder / "model.yaml").write_text(json.dumps({**bare, "model": "llama-3.2-1b"}))
    (folder / "runs.jsonl").write_text(json.dumps(RUN) + "\n")
    (folder / "offers.json").write_text(json.dumps(OFFERS))
    plans: dict[str, Any] = {}
    for name, sample in samples.items():
        file, out = folder / f"{name}.json", folder / f"plan-{name}.json"
        file.write_text(json.dumps(sample))
        code = run(["solve", str(file), "--time-limit", "0.3", "--quiet", "--out", str(out)])
        if code:
            raise RuntimeError(f"the sample of the door {name} is no good: exit code {code}")
        plans[name] = json.loads(out.read_text())
    _warm(folder)
    return plans


def _warm(folder: Path) -> None:
    """Import and compile before the clock runs: an import that an alarm breaks off cannot be repeated in a process."""
    from placement.readers.models.library.language import read_library  # torch comes with it

    read_library(CONFIG | {"quantization_config": None})  # what was read before is kept in a file, the import is not
    cluster, out = str(folder / "cluster.json"), ("--out", os.devnull)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(["tables", str(folder / "model.yaml"), *out])
        run(["replan", str(folder / "plan-cluster.json"), cluster, "--lost", "b", "--time-limit", "0.2", *out])
        run(["whatif", cluster, "--time-limit", "0.2", "--quiet", *out])
        for name in ("cluster", "replicated", "fleet", "swarm"):  # the parts of a portfolio have their turns later
            for solver in ("annealing", "genetic", "tabu", "pso", "nsga2", *("beam", "exact") * (name == "cluster")):
                line = ["solve", str(folder / f"{name}.json"), "--solver", solver, "--time-limit", "0.05", "--quiet"]
                run([*line, *out])
        run(["simulate", cluster, "--requests", "4", "--time-limit", "0.2", "--quiet"])


def command(door: Door, line: Sequence[str], raw: bytes) -> list[str]:
    """The words of a command line for an input."""
    text = raw.decode("utf-8", "surrogateescape")
    return [word.replace("FILE", door.file).replace("TEXT", text) for word in line]
