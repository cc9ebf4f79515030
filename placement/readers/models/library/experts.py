"""Routed experts: which modules hold them, and how many of them a token uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(slots=True)
class Routed:
    """Experts that stand in one module.

    Attributes
    ----------
    count : int
        Number of experts.
    used : int
        How many of them a token uses; 0 as long as nothing is known.
    """

    count: int
    used: int = 0


@dataclass(slots=True)
class Experts:
    """All routed experts of a model, by the name of the module that holds them."""

    found: dict[str, Routed] = field(default_factory=dict)

    def of(self, parameter: str) -> Routed | None:
        """Return the experts that a parameter belongs to."""
        place = parameter
        while place:
            place = place.rpartition(".")[0]
            if place in self.found:
                return self.found[place]
        return None


def find_experts(module: nn.Module) -> Experts:
    """Return the modules whose parameters are stacked by expert, and lists called `experts`."""
    found: dict[str, Routed] = {}
    for path, child in module.named_modules():
        name = path.rpartition(".")[2]
        if "expert" not in name and "Expert" not in type(child).__name__:
            continue
        stacked = [p for p in child.parameters(recurse=False) if p.dim() == 3 and p.shape[0] > 1]
        if isinstance(child, nn.ModuleList | nn.ModuleDict) and len(child) > 1 and name == "experts":
            found[path] = Routed(len(child))
        elif stacked:
            found[path] = Routed(int(stacked[0].shape[0]))
    return Experts(found)


@contextlib.contextmanager
def passed_through(module: nn.Module, experts: Experts) -> Iterator[None]:
    """Let stacked experts hand on what they get: which of them run depends on values, their sizes do not.

    How many a token uses is read off the choice that they are given.
    """
    changed: list[nn.Module] = []
    modules = dict(module.named_modules())
    try:
        for path, routed in experts.found.items():
            child = modules[path]
            if isinstance(child, nn.ModuleList | nn.ModuleDict):
                continue
            child.forward = _handing_on(routed)
            changed.append(child)
        yield
    finally:
        for child in changed:
            del child.forward


def _handing_on(routed: Routed) -> Any:
    def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        for tensor in tensors[1:]:
            if not tensor.dtype.is_floating_point and tensor.dtype != torch.bool and tensor.dim() > 1:
                routed.used = max(routed.used, min(routed.count, int(tensor.shape[-1])))
        return tensors[0] * 1

    return forward
