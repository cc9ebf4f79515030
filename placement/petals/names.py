"""Names of Petals that we put our own in place of; one clear error where a release lacks one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import PlacementError

RECIPE = (
    "it needs an environment of its own, with Python 3.11, petals 2.2.0.post1 and tensor_parallel 1.0.23 (both without "
    "their dependencies), hivemind 1.1.12, transformers 4.34.1 and numpy below 2; docs/petals.md has the whole list"
)


def release() -> str:
    """Version of the installed Petals, or an error that says how to install it."""
    try:
        return str(importlib.import_module("petals").__version__)
    except ImportError as error:
        raise PlacementError(f"Petals cannot be imported ({error}); {RECIPE}") from None


def name(version: str, module: str, dotted: str) -> Any:
    """What a module has under a dotted name."""
    try:
        found: Any = importlib.import_module(module)
        for part in dotted.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise PlacementError(
            f"Petals {version} has no {module}.{dotted}, which placement.petals needs; it is known to fit 2.2.0.post1"
        ) from None
    return found


@dataclass
class Patches:
    """Names that were replaced, and what they were."""

    version: str
    before: list[tuple[Any, str, Any]] = field(default_factory=list)

    def put(self, module: str, dotted: str, make: Callable[[Any], Any]) -> None:
        """Replace ``module.dotted`` by what `make` makes of it."""
        outer, _, last = dotted.rpartition(".")
        home = name(self.version, module, outer) if outer else importlib.import_module(module)
        original = name(self.version, module, dotted)
        self.before.append((home, last, original))
        setattr(home, last, make(original))

    def undo(self) -> None:
        """Put everything back."""
        while self.before:
            setattr(*self.before.pop())
