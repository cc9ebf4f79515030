"""Entry points of other packages, and the loading of list entries: what the lists of solvers, runtimes and kinds share.

Groups: ``placement.solvers`` (a class or function that makes a solver), ``placement.objectives`` (a plain function of
`objectives.pipeline.terms.Terms`), ``placement.exporters`` (makes a `Runtime`), ``placement.kinds`` (an `Entry` of
`placement.kinds`), ``placement.policies`` (a class of serving policies whose fields are its settings) and
``placement.commands`` (a function ``register(app)``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import InputError, nearest


def attribute(path: str, package: str) -> Any:
    """Import ``module:name``, the module relative to `package` when it begins with a dot."""
    module, name = path.split(":")
    return getattr(import_module(module, package), name)


def exporter(homes: Mapping[str, str], package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names, each with its ``module:name``, are imported when they are used."""

    def imported(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return attribute(homes[name], package)

    return imported


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


def names(group: str, own: Iterable[str]) -> list[str]:
    """Names of a list's own entries, then those of plugins."""
    own = tuple(own)
    return [*own, *plugins(group, own)]


def from_plugin(group: str, own: Iterable[str], name: str, what: str) -> Callable[..., Any]:
    """Load what a plugin registered under a name that is no entry of the list itself.

    Raises
    ------
    InputError
        Nobody registered it (the nearest name is offered), or it failed to load.
    """
    own = tuple(own)
    point = plugins(group, own).get(name)
    if point is None:
        known = names(group, own)
        raise InputError(f"unknown {what} '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    return load(point)


def load(point: EntryPoint) -> Callable[..., Any]:
    """Load an entry point; raise `InputError` that names it when that fails."""
    try:
        loaded: Callable[..., Any] = point.load()
    except Exception as error:
        raise InputError(f"the plugin '{point.name}' ({point.value}) failed to load: {error}") from error
    return loaded
