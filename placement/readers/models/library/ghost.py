"""Running a module without data: tensors are on the meta device, and what depends on their values is assumed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

aten = torch.ops.aten
_ITEM = aten._local_scalar_dense.default
_ANSWERS: dict[Any, Callable[..., Any]] = {
    _ITEM: lambda tensor: {torch.bool: True}.get(tensor.dtype, 1.0 if tensor.dtype.is_floating_point else 1),
    aten.equal.default: lambda *_: True,
    aten.nonzero.default: lambda tensor: tensor.new_empty((tensor.numel(), tensor.dim()), dtype=torch.int64),
    aten.masked_select.default: lambda tensor, _mask: tensor.new_empty((tensor.numel(),)),
    aten.bincount.default: lambda tensor, weights=None, minlength=0: tensor.new_empty(
        (max(1, minlength),), dtype=torch.int64
    ),
}
"""What is answered where the values of a tensor decide: true, one, and every entry chosen."""


@contextlib.contextmanager
def lists_of_ones() -> Iterator[None]:
    """Answer with ones, inside of the context, where a tensor without data is asked for its values as a list."""
    inherited: Any = torch.Tensor.tolist

    def tolist(self: torch.Tensor) -> Any:
        return inherited(torch.ones(self.shape, dtype=self.dtype, device="cpu") if self.is_meta else self)

    torch.Tensor.tolist = tolist  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del torch.Tensor.tolist


_MAKERS = frozenset({aten._to_copy.default, aten.empty_like.default, aten.zeros_like.default, aten.ones_like.default})
_INDEXED = frozenset({aten.index.Tensor, aten.index_put_.default, aten.index_put.default})


class OverdueError(Exception):
    """A module took longer than the time that it was given."""


class Ghost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations on shapes alone.

    Parameters
    ----------
    deadline_s : float
        Seconds after which an operation raises `OverdueError`: no file of a user may hang a command.
    watch : callable, optional
        Called with the operation, its arguments and its result.
    """

    def __init__(self, deadline_s: float = 120.0, watch: Callable[[Any, Any, Any], None] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._until = time.monotonic() + deadline_s
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func` on meta tensors."""
        if time.monotonic() > self._until:
            raise OverdueError
        kwargs = kwargs or {}
        result = _run(func, args, kwargs)
        if self._watch is not None:
            self._watch(func, (args, kwargs), result)
        return result


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    answer = _ANSWERS.get(func)
    if answer is not None and args[0].is_meta:
        return answer(*args, **kwargs)
    metas, others = _places(args, kwargs)
    if metas:
        if func in _MAKERS:
            kwargs = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
        if func is aten.copy_.default and not args[0].is_meta:
            return args[0]
        if others:
            args, kwargs = tree_map_only(torch.Tensor, _as_meta, (args, kwargs))
        if func in _INDEXED:
            args = (args[0], _chosen(args[1]), *args[2:])
            if func is not aten.index.Tensor:
                return args[0]
    return func(*args, **kwargs)


def _places(args: Any, kwargs: dict[str, Any]) -> tuple[bool, bool]:
    """Tell whether tensors are on the meta device, and whether others are not."""
    metas = others = False
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            metas, others = metas or value.is_meta, others or not value.is_meta
        elif isinstance(value, tuple | list):
            for entry in value:
                if isinstance(entry, torch.Tensor):
                    metas, others = metas or entry.is_meta, others or not entry.is_meta
    return metas, others


def _as_meta(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_meta else torch.empty_like(tensor, device="meta")


def _chosen(indices: Any) -> list[Any]:
    """Return indices in which a mask chooses every entry: how many it would choose is not known without data."""
    found: list[Any] = []
    for index in indices:
        if isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8):
            found += [index.new_empty((index.numel(),), dtype=torch.int64) for _ in range(index.dim())]
        else:
            found.append(index)
    return found
