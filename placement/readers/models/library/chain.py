"""The chain in a trace: its blocks in order of execution, and what passes between them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from .trace import Made, Trace

SIGNIFICANT = 0.05
"""A list of modules is part of the chain when it holds this share of what the largest list holds."""


@dataclass(frozen=True)
class Chain:
    """A pass cut into segments: 0 before the first block, 1 to `count` the blocks, `count + 1` after the last.

    Attributes
    ----------
    trace : Trace
    calls : tuple of int
        The calls of the blocks; a module that runs twice has two.
    """

    trace: Trace
    calls: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.calls)

    @property
    def paths(self) -> tuple[str, ...]:
        """Name of the module of each block."""
        return tuple(self.trace.calls[call].path for call in self.calls)

    @cached_property
    def _edges(self) -> tuple[list[int], list[int]]:
        calls = [self.trace.calls[call] for call in self.calls]
        return [call.begin for call in calls], [call.end for call in calls]

    def segment_at(self, operation: int) -> int:
        """Return the segment of an operation; what runs between two blocks belongs to the next one."""
        begins, ends = self._edges
        started = bisect_right(begins, operation)
        if started == 0:
            return 0
        return started if operation < ends[started - 1] else min(started + 1, self.count + 1)

    @cached_property
    def segments(self) -> list[int]:
        """The segment of every operation."""
        return [self.segment_at(operation) for operation in range(len(self.trace.operations))]

    def readers(self) -> Mapping[int, set[int]]:
        """Return the segments that read each parameter, by its `id`."""
        found: dict[int, set[int]] = {}
        for segment, operation in zip(self.segments, self.trace.operations, strict=True):
            for read in operation.reads:
                parameter = self.trace.tensors[read.tensor].parameter
                if parameter is not None:
                    found.setdefault(parameter, set()).add(segment)
        return found

    def flops(self) -> list[float]:
        """Return the operations of each segment."""
        total = [0.0] * (self.count + 2)
        for segment, operation in zip(self.segments, self.trace.operations, strict=True):
            total[segment] += operation.flops
        return total

    def crossings(self) -> list[float]:
        """Return the bytes that pass each boundary: entry `b` is the one between the segments b and b + 1.

        A tensor passes every boundary between the segment that made it and the last one that reads it; of a tensor
        that is read in slices, only the slices that are still to be read pass. Positions and masks do not count: each
        stage makes them anew.
        """
        slices: dict[int, dict[tuple[int, int], tuple[int, int]]] = {}
        for segment, operation in zip(self.segments, self.trace.operations, strict=True):
            for read in operation.reads:
                made = self.trace.tensors[read.tensor]
                if made.data and made.parameter is None:
                    slices.setdefault(read.tensor, {})[read.place, read.numbers] = (segment, read.bytes)
        passing = [0.0] * (self.count + 1)
        for tensor, parts in slices.items():
            made = self.trace.tensors[tensor]
            for boundary in range(self._source(made), max(last for last, _ in parts.values())):
                left = sum(size for last, size in parts.values() if last > boundary)
                passing[boundary] += min(made.bytes, left)
        return passing

    def _source(self, made: Made) -> int:
        return 0 if made.operation < 0 else self.segments[made.operation]


def find_chain(module: nn.Module, trace: Trace) -> Chain | None:
    """Return the chain of the items of the outermost lists of modules in `module`, or None without such lists."""
    items = dict(_items(module))
    size = {path: _size(child) for path, child in items.items()}
    children = _children(trace)
    found = list(_outermost(0, trace, children, items, size))
    totals: dict[str, int] = {}
    for path in dict.fromkeys(trace.calls[call].path for call in found):
        totals[_list_of(path)] = totals.get(_list_of(path), 0) + size[path]
    large = max(totals.values(), default=0) * SIGNIFICANT
    calls = [call for call in found if totals[_list_of(trace.calls[call].path)] >= large]
    if len(calls) < 2:
        calls = _plain_chain(module, trace, children)
    return Chain(trace, tuple(calls)) if len(calls) > 1 else None


def _items(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, child in module.named_modules():
        if isinstance(child, nn.ModuleList | nn.ModuleDict | nn.Sequential):
            for key, item in child.named_children():
                yield (f"{path}.{key}" if path else key), item


def _list_of(path: str) -> str:
    return path.rpartition(".")[0]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _children(trace: Trace) -> Sequence[list[int]]:
    found: list[list[int]] = [[] for _ in trace.calls]
    for number, call in enumerate(trace.calls):
        if call.parent >= 0:
            found[call.parent].append(number)
    return found


def _outermost(
    call: int, trace: Trace, children: Sequence[list[int]], items: Mapping[str, nn.Module], size: Mapping[str, int]
) -> Iterator[int]:
    for child in children[call]:
        if size.get(trace.calls[child].path):
            yield child
        elif trace.calls[child].path not in items:
            yield from _outermost(child, trace, children, items, size)


def _plain_chain(module: nn.Module, trace: Trace, children: Sequence[list[int]]) -> list[int]:
    """Return the calls of modules that stand side by side without a list: the outermost ones that are several."""
    known = dict(module.named_modules())
    here = 0
    while True:
        inner = [call for call in children[here] if trace.calls[call].path in known]
        held = [call for call in inner if _size(known[trace.calls[call].path])]
        if len(held) != 1:
            return held
        here = held[0]
