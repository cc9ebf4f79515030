"""Blocks with random weights: enough to measure how fast they are, without a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .architecture import Architecture, find
from .stage import Stage


def materialize(model: nn.Module, block: int, device: str) -> Stage:
    """Give one block of a skeleton random weights on a device: enough to measure its speed.

    Returns
    -------
    Stage
        Runs that block only.
    """
    arch = find(model)
    for module in arch.modules(block):
        for name, parameter in list(module.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            flat, tile = values.view(-1), (torch.rand(65_521) * 0.04 - 0.02).to(values)
            # A short pattern, repeated: random numbers for a gigabyte would take longer than the measurement.
            for start in range(0, flat.numel(), 256 * tile.numel()):
                piece = flat[start : start + 256 * tile.numel()]
                piece.copy_(tile.repeat(-(-piece.numel() // tile.numel()))[: piece.numel()])
            module.get_submodule(owner)._parameters[leaf] = nn.Parameter(values, requires_grad=False)
        module.to(device)
    if arch.rotary is not None:
        arch.rotary.to(device)
    return Stage(Blank(arch, device))


@dataclass
class Blank:
    """What a stage needs of a loader when there is no checkpoint."""

    arch: Architecture
    device: str
