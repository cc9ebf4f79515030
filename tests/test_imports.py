"""The rules of the house: who may import what, and who may print. Read off the sources, not off a run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.sampled import some_quick

ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT) for name in ("objectives", "placement") for path in (ROOT / name).rglob("*.py"))
HEAVY = {
    "torch",
    "numba",
    "deap",
    "pyomo",
    "networkx",
    "pint",
    "pydantic",
    "gguf",
    "safetensors",
    "matplotlib",
    "jinja2",
}
TORCH_HOMES = (
    "placement/run/",
    "placement/profile/",
    "placement/readers/models/library/",
    "placement/readers/models/torch_module.py",
)


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Absolute names of what a module imports, each with whether it is imported when the module is."""
    return tuple(_imports(parsed(path), path.with_suffix("").parts[:-1], True))


def within(*start: str) -> list[Path]:
    """The files whose path begins so."""
    return [path for path in FILES if path.parts[: len(start)] == start]


def _imports(node: ast.AST, package: tuple[str, ...], at_once: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else ()
            name = ".".join((*base, *filter(None, [child.module])))
            yield name, at_once
            yield from ((f"{name}.{alias.name}", at_once) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, package, at_once and not inside)


def top(name: str) -> str:
    """First part of a dotted name."""
    return name.partition(".")[0]


def test_objectives_are_the_ground_floor() -> None:
    """`objectives` imports numpy, numba and the standard library only."""
    allowed = {"numpy", "numba", "objectives"} | sys.stdlib_module_names
    assert not [(path, name) for path in within("objectives") for name, _ in imports(path) if top(name) not in allowed]


def test_the_library_knows_no_floor_above() -> None:
    """Neither package imports benchmarks, examples or tests."""
    above = {"benchmarks", "examples", "tests"}
    assert not [(path, name) for path in FILES for name, _ in imports(path) if top(name) in above]


@pytest.mark.parametrize("path", [p for p in FILES if "solvers" in p.parts or "exact" in p.parts], ids=str)
def test_solvers_know_problems_only(path: Path) -> None:
    """A solver sees problems, objectives and kernels: no clock, no files, no reports; DEAP and pyomo when it runs."""
    own = {
        "placement.search",
        "placement.kinds.pipeline",
        "placement.kinds.replicated",
        "placement.kinds.routes",
        "placement.kinds.sessions",
        "placement.errors",
    }
    for name, at_once in imports(path):
        if top(name) == "placement":
            assert any(name == part or name.startswith(f"{part}.") for part in own), name
            continue
        assert top(name) in {"numpy", "objectives", "deap", "pyomo", "highspy"} | sys.stdlib_module_names, name
        assert top(name) not in {"time", "os", "sys", "pathlib", "subprocess", "io"}, name
        assert not (at_once and top(name) in {"pyomo", "highspy"}), f"{name} is imported with the module"


BELOW_SIMULATIONS = tuple(
    f"placement.{room}."
    for room in ("simulate", "search.kernels", "costs", "question", "plan", "files", "errors", "plugins", "quantities")
)


def test_simulations_know_no_kind() -> None:
    """They stand on objectives, questions, plans, costs and each other, late imports too: kinds may use them."""
    known = {"numpy", "objectives", "placement"} | sys.stdlib_module_names
    for path in within("placement", "simulate"):
        assert {top(name) for name, at_once in imports(path) if at_once} <= known, path
        assert {top(name) for name, _ in imports(path)} <= known | {"matplotlib"}, path  # pictures, when they are drawn
        own = [name for name, _ in imports(path) if top(name) == "placement"]
        assert all(f"{name}.".startswith(BELOW_SIMULATIONS) for name in own), (path, own)


def test_torch_stays_at_home() -> None:
    """torch is imported where real tensors are, and nowhere else."""
    abroad = [path for path in FILES if not path.as_posix().startswith(TORCH_HOMES)]
    assert not [path for path in abroad if "torch" in {top(name) for name, _ in imports(path)}]


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call in a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_nobody_prints() -> None:
    """Only the command line writes to the terminal, and it does not use print()."""
    assert not [(path, line) for path in FILES for line, name in calls(path) if name == "print"]


def test_randomness_is_passed() -> None:
    """No module draws from a global generator; DEAP's use of one is seeded and restored in one place."""
    passed = {"default_rng", "SeedSequence", "Generator", "PCG64"}
    for path in FILES:
        wrapped = {"random.getstate", "random.setstate", "random.seed"} if path.name == "population.py" else set()
        for line, name in calls(path):
            assert name in wrapped or not name.startswith("random."), (path, line, name)
            if name.startswith(("np.random.", "numpy.random.")):
                assert name.rpartition(".")[2] in passed, (path, line, name)


def test_files_are_short() -> None:
    """No file is over 400 lines."""
    assert not [path for path in FILES if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > 400]


def loaded(code: str, *arguments: str) -> set[str]:
    """Top-level modules that are loaded once `code` has run in a process of its own."""
    script = f"import sys\nsys.argv = ['placement', *sys.argv[1:]]\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
    )
    return {top(name) for name in done.stderr.splitlines()[-1].split()}


RUN = "from placement.cli import run\nrun(sys.argv[1:])"


def test_import_is_cheap() -> None:
    """`import placement` loads none of the heavy packages."""
    assert not loaded("import placement") & HEAVY


@pytest.mark.parametrize(
    "before", some_quick(["import placement.optimize", "", "from placement.optimize import judge"], 1)
)
def test_optimize_is_the_function_whatever_was_imported_before(before: str) -> None:
    """The module that it lies in has the same name, and importing it does not hide the function."""
    loaded(f"{before}\nfrom placement import optimize\nassert callable(optimize)")


@pytest.mark.parametrize("words", ["--help", "--version", "catalog devices", "catalog models", "schema"])
def test_small_commands_are_cheap(words: str) -> None:
    """Commands that search nothing load no compiler."""
    assert not loaded(RUN, *words.split()) & (HEAVY - {"pydantic", "pint"})


def test_solve_loads_what_it_needs() -> None:
    """A search by one solver loads neither torch nor the packages of the others."""
    words = "solve examples/home_lab.yaml --solver annealing --time-limit 0.2 --quiet"
    found = loaded(RUN, *words.split())
    assert "numba" in found
    assert not found & {"torch", "deap", "pyomo", "highspy", "networkx", "matplotlib", "jinja2", "transformers", "gguf"}
