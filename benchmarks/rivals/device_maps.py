"""`accelerate`'s device maps: a model of dummy modules with the blocks' bytes, mapped, read back as spans.

The library of S. Gugger et al., "Accelerate", Hugging Face, 2022; `get_balanced_memory` and `infer_auto_device_map`.
A module is mapped by its weights; the cache of one sequence is added to them here, so that its plans can be feasible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.spans import Span
from placement.search.solver import NotApplicableError, Proposal

from .adapters import pipeline_of

UNIT = 4096.0  # bytes of the smallest block of memory in which modules are counted


def skeleton(sizes: np.ndarray) -> Any:
    """A module of one child per block, on the meta device, with parameters of these bytes."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self, size: float) -> None:
            super().__init__()
            shape = int(np.ceil(size / UNIT)), int(UNIT)
            self.weight = torch.nn.Parameter(torch.empty(shape, dtype=torch.int8, device="meta"), requires_grad=False)

    model = torch.nn.Module()
    for number, size in enumerate(sizes.tolist()):
        model.add_module(f"b{number}", Block(size))
    return model


@dataclass(frozen=True)
class Sequential:
    """All memory of every node, in file order."""

    balanced: bool = False

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield one plan; blocks that go to the CPU or the disk go to the last node, which cannot hold them."""
        try:
            from accelerate import infer_auto_device_map
            from accelerate.utils import get_balanced_memory
        except ImportError:
            raise NotApplicableError("accelerate and torch are not installed") from None
        tables = pipeline_of(problem).tables
        model = skeleton(tables.weight_bytes + tables.kv_bytes)
        memory: dict[Any, int] = {i: max(0, int(size)) for i, size in enumerate(tables.capacity_bytes.tolist())}
        whole = ["Block"]
        if self.balanced:
            memory = get_balanced_memory(model, max_memory=dict(memory), no_split_module_classes=whole)
        mapped = infer_auto_device_map(model, max_memory={**memory, "cpu": int(1e15)}, no_split_module_classes=whole)
        owner = [mapped.get(f"b{block}", mapped.get("")) for block in range(tables.n_blocks)]
        nodes = [node if isinstance(node, int) else tables.n_nodes - 1 for node in owner]
        spans = [Span(node, block, block + 1) for block, node in enumerate(nodes)]
        yield Proposal(problem.encode(spans)[None, :], 1)


@dataclass(frozen=True)
class Balanced(Sequential):
    """Budgets of an equal share."""

    balanced: bool = True
