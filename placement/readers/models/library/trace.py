"""What a module does in one pass: the calls of its parts in order, what each reads, and its operations.

Operations are counted by the formulas of `torch.utils.flop_counter`, shape by shape; nothing is computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import flop_registry

from .ghost import Ghost, lists_of_ones

aten = torch.ops.aten
_LOOKUPS = frozenset({aten.embedding, aten._embedding_bag, aten.embedding_bag, aten._embedding_bag_forward_only})
_BATCHED = frozenset({aten.bmm, aten.baddbmm})
_ATTENTION = "scaled_dot_product"


class Read(NamedTuple):
    """An operation's argument.

    Attributes
    ----------
    tensor : int
        Number of the tensor that it is, or is a view of.
    place, numbers : int
        Where in that tensor it begins, and how many numbers it has.
    bytes : int
    """

    tensor: int
    place: int
    numbers: int
    bytes: int


class Operation(NamedTuple):
    """One operation of a pass.

    Attributes
    ----------
    call : int
        Number of the innermost call that it belongs to.
    flops : float
    reads : tuple of Read
    lookup : bool
        It looks rows up and multiplies nothing.
    between : bool
        It multiplies activations with activations, as attention scores do.
    stores : bool
        It copies into a tensor that was there before.
    """

    call: int
    flops: float
    reads: tuple[Read, ...]
    lookup: bool
    between: bool
    stores: bool = False


@dataclass(slots=True)
class Made:
    """A tensor of a pass.

    Attributes
    ----------
    operation : int
        The operation that made it; -1: it was there before.
    bytes : int
    data : bool
        It depends on the input or on parameters, and not on positions and masks alone.
    parameter : int or None
        It is this parameter, by `id`.
    """

    operation: int
    bytes: int
    data: bool
    parameter: int | None = None


@dataclass(slots=True)
class Call:
    """One call of a module.

    Attributes
    ----------
    path : str
        Name of the module in the whole; empty for the whole.
    parent : int
        The call that it is part of; -1 for the outermost.
    begin, end : int
        Operations begin <= o < end are done in it.
    output : tuple of int
        Shape of its first result.
    """

    path: str
    parent: int
    begin: int
    end: int = 0
    output: tuple[int, ...] = ()


@dataclass(slots=True)
class Trace:
    """One pass through a module: calls, operations and tensors, in order."""

    calls: list[Call] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    tensors: list[Made] = field(default_factory=list)


class Recorder:
    """Writes a `Trace` while a module runs; `call` is the number of the call that runs now."""

    def __init__(self, module: nn.Module) -> None:
        self.trace = Trace()
        self.stack: list[int] = []
        self.paths: Mapping[int, str] = {id(child): path for path, child in module.named_modules()}
        self._numbers: dict[int, int] = {}
        self._kept: list[torch.Tensor] = []  # ids are those of living tensors
        for parameter in module.parameters():
            self._note(parameter, Made(-1, parameter.numel() * parameter.element_size(), True, id(parameter)))

    @property
    def call(self) -> int:
        """Number of the innermost call that runs now; -1 outside of any."""
        return self.stack[-1] if self.stack else -1

    def given(self, values: Any) -> None:
        """Note the tensors that the pass begins with."""
        for tensor in _tensors(values):
            self._note(tensor, Made(-1, tensor.numel() * tensor.element_size(), True))

    @contextlib.contextmanager
    def running(self, deadline_s: float = 120.0) -> Iterator[None]:
        """Record what runs inside of the context, without data and without gradients."""
        hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one fused operation would hide what it does
        try:
            with torch.no_grad(), lists_of_ones(), Ghost(deadline_s, self._operation):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for hook in hooks:
                hook.remove()

    def _enter(self, module: nn.Module, _args: Any) -> None:
        path = self.paths.get(id(module), "?")
        self.trace.calls.append(Call(path, self.call, len(self.trace.operations)))
        self.stack.append(len(self.trace.calls) - 1)

    def _leave(self, _module: nn.Module, _args: Any, output: Any) -> None:
        call = self.trace.calls[self.stack.pop()]
        call.end = len(self.trace.operations)
        first = next(iter(_tensors(output)), None)
        call.output = tuple(first.shape) if first is not None else ()

    def _operation(self, func: Any, given: Any, result: Any) -> None:
        number = len(self.trace.operations)
        packet = func.overloadpacket
        inputs = list(_tensors(given))
        outputs = list(_tensors(result))
        reads = tuple(self._read(tensor) for tensor in inputs)
        if _is_view(inputs, outputs):
            for tensor in outputs:
                self._same(tensor, reads[0].tensor)
            reads = ()
        else:
            data = any(self.trace.tensors[read.tensor].data for read in reads)
            # A parameter that is scaled in place stays one.
            kept = {id(inputs[0])} if inputs and self.trace.tensors[reads[0].tensor].parameter is not None else set()
            for tensor in outputs:
                if id(tensor) in kept:
                    continue
                self._note(tensor, Made(number, tensor.numel() * tensor.element_size(), data))
        counted = flop_registry.get(packet)
        flops = float(counted(*given[0], **given[1], out_val=result)) if counted and reads else 0.0
        weights = any(self.trace.tensors[read.tensor].parameter is not None for read in reads)
        between = not weights and (packet in _BATCHED or _ATTENTION in str(packet))
        stores = packet is aten.copy_
        self.trace.operations.append(Operation(self.call, flops, reads, packet in _LOOKUPS, between, stores))

    def _read(self, tensor: torch.Tensor) -> Read:
        number = self._numbers.get(id(tensor))
        if number is None:  # made outside of the pass: a buffer or a constant
            number = self._note(tensor, Made(-1, tensor.numel() * tensor.element_size(), False))
        return Read(number, int(tensor.storage_offset()), tensor.numel(), tensor.numel() * tensor.element_size())

    def _note(self, tensor: torch.Tensor, made: Made) -> int:
        self.trace.tensors.append(made)
        return self._same(tensor, len(self.trace.tensors) - 1)

    def _same(self, tensor: torch.Tensor, number: int) -> int:
        self._numbers[id(tensor)] = number
        self._kept.append(tensor)
        return number


def _is_view(inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> bool:
    if not inputs or not outputs or any(output is inputs[0] for output in outputs):
        return False
    storage = inputs[0].untyped_storage()._cdata
    return all(output.untyped_storage()._cdata == storage for output in outputs)


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
