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
            if operation.stores and segment > self.count:
                continue  # a state that is put away at the end stays where it was made
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
    items = list_items(module)
    children = _children(trace)
    found = list(_outermost(0, trace, children, items))
    kept = significant([trace.calls[call].path for call in found if trace.calls[call].path in items], items)
    inner = [at for at, call in enumerate(found) if trace.calls[call].path in kept]
    known = dict(module.named_modules())
    large = SIGNIFICANT * sum(_size(items[path]) for path in kept)

    def belongs(at: int) -> bool:
        call = trace.calls[found[at]]
        if call.path in items or call.path not in known:
            return call.path in kept
        computes = any(operation.flops for operation in trace.operations[call.begin : call.end])
        return computes and _size(known[call.path]) > large and any(True for _ in known[call.path].children())

    calls = [found[at] for at in range(inner[0], inner[-1] + 1) if belongs(at)] if inner else []
    if len(calls) < 2:
        calls = _plain_chain(module, trace, children)
    return Chain(trace, tuple(calls)) if len(calls) > 1 else None


def list_items(module: nn.Module) -> dict[str, nn.Module]:
    """Return the items of all lists of modules that hold parameters, by path.

    A sequence of modules that have modules of their own is a list, and no item of the one that it stands in.
    """
    found = {}
    for path, child in module.named_modules():
        if isinstance(child, nn.ModuleList | nn.ModuleDict | nn.Sequential):
            for key, item in child.named_children():
                if _size(item) and not _is_list_of_wholes(item):
                    found[f"{path}.{key}" if path else key] = item
    return found


def _is_list_of_wholes(module: nn.Module) -> bool:
    if not isinstance(module, nn.ModuleList | nn.ModuleDict | nn.Sequential):
        return False
    return sum(1 for child in module.children() if _size(child) and any(True for _ in child.children())) > 1


def significant(paths: Sequence[str], items: Mapping[str, nn.Module]) -> set[str]:
    """Return the items whose list holds enough to be part of the chain, by the names of those that were found."""
    totals: dict[str, int] = {}
    for path in dict.fromkeys(paths):
        totals[_list_of(path)] = totals.get(_list_of(path), 0) + _size(items[path])
    if len(totals) > 1:
        totals.pop("", None)  # what stands around lists in a sequence is no list
    large = max(totals.values(), default=0) * SIGNIFICANT
    return {path for path in paths if totals.get(_list_of(path), -1) >= large}


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


def _outermost(call: int, trace: Trace, children: Sequence[list[int]], items: Mapping[str, nn.Module]) -> Iterator[int]:
    """Yield the outermost calls of items, and the calls between them that hold no item."""
    for child in children[call]:
        path = trace.calls[child].path
        if path in items or not any(item.startswith(f"{path}.") for item in items):
            yield child
        else:
            yield from _outermost(child, trace, children, items)


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
