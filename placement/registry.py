"""Solvers and objectives by name: the built-in ones, and those that other packages register as entry points.

Entry point groups: ``placement.solvers`` (a class or function that makes a solver), ``placement.objectives``
(a plain function of `objectives.terms.Terms`) and ``placement.exporters`` (a class or function that makes a `Runtime`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from objectives.combine import TERMS
from objectives.terms import Terms

from .errors import InputError, nearest
from .export import RUNTIMES
from .solvers import SOLVERS

if TYPE_CHECKING:
    from .export.base import Runtime
    from .solvers.base import Solver


@cache
def plugins(group: str, taken: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points of a group by name; a name that is taken already is warned about and left out."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in taken or point.name in found:
            warnings.warn(f"{group}: '{point.name}' of {point.value} is already taken; it is ignored", stacklevel=2)
            continue
        found[point.name] = point
    return found


def solver_names() -> list[str]:
    """Names of all solvers that can be asked for."""
    return [*SOLVERS, *plugins("placement.solvers", tuple(SOLVERS))]


def make_solver(name: str) -> Solver:
    """Make a solver by name; raise `InputError` with the nearest name for an unknown one."""
    if name in SOLVERS:
        return SOLVERS[name].make()
    point = plugins("placement.solvers", tuple(SOLVERS)).get(name)
    if point is None:
        raise InputError(f"unknown solver '{name}'{nearest(name, solver_names())} (known: {', '.join(solver_names())})")
    return _load(point)()  # type: ignore[return-value]


def is_yardstick(solver: object) -> bool:
    """Return whether `solver` names one of today's splits, which must show its own value and no better one."""
    return isinstance(solver, str) and solver in SOLVERS and SOLVERS[solver].role == "yardstick"


def custom_objective(name: str) -> Callable[[Terms], float] | None:
    """Return the registered custom objective of that name, or None when there is none."""
    point = plugins("placement.objectives", TERMS).get(name)
    return _load(point) if point is not None else None  # type: ignore[return-value]


def runtime_names() -> list[str]:
    """Names of all runtimes that a plan can be written for."""
    return [*RUNTIMES, *plugins("placement.exporters", tuple(RUNTIMES))]


def make_runtime(name: str) -> Runtime:
    """Make the exporter of a runtime; raise `InputError` with the nearest name for an unknown one."""
    if name in RUNTIMES:
        return RUNTIMES[name].make()
    point = plugins("placement.exporters", tuple(RUNTIMES)).get(name)
    if point is None:
        known = runtime_names()
        raise InputError(f"unknown runtime '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    return _load(point)()  # type: ignore[return-value]


def _load(point: EntryPoint) -> Callable[..., object]:
    try:
        loaded: Callable[..., object] = point.load()
    except Exception as error:
        raise InputError(f"the plugin '{point.name}' ({point.value}) failed to load: {error}") from error
    return loaded
