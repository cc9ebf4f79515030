"""The cache that a model makes of a prompt: which block fills it, and how it grows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

_UPDATES = ("update", "update_conv_state", "update_recurrent_state", "update_indexer")
_LENGTHS: Mapping[str, Callable[..., Any]] = {
    "get_seq_length": lambda *_args, **_more: 0,
    "get_mask_sizes": lambda query, *_args, **_more: (query, 0),
}
_NOT_CACHED = frozenset({"_sliding_window_tensor"})


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """What one layer of a cache keeps of one sequence.

    Attributes
    ----------
    values : float
        Numbers per token of keys and values.
    window : int or None
        Tokens of which they are kept; None: all.
    index : float
        Numbers per token of the keys of an index, kept for all tokens.
    state_bytes : float
        Bytes that do not grow.
    odd : tuple of str
        Tensors that are none of these: how they grow has to be measured.
    """

    values: float = 0.0
    window: int | None = None
    index: float = 0.0
    state_bytes: float = 0.0
    odd: tuple[str, ...] = ()


@dataclass(slots=True)
class Fills:
    """Who filled which layer of a cache: the calls, by number of the layer, with the update that was made.

    Not every model hands its cache out; `holder` is the one that was filled first.
    """

    calls: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    holder: Any = None


@contextlib.contextmanager
def watched(now: Callable[[], int]) -> Iterator[Fills]:
    """Note each update of a cache with the call that runs, which `now` tells."""
    from transformers.cache_utils import Cache

    fills = Fills()
    before = {name: getattr(Cache, name) for name in (*_UPDATES, *_LENGTHS) if hasattr(Cache, name)}
    try:
        for name, method in before.items():
            wrapped = _safe(method, _LENGTHS[name]) if name in _LENGTHS else _noting(fills, name, method, now)
            setattr(Cache, name, wrapped)
        yield fills
    finally:
        for name, method in before.items():
            setattr(Cache, name, method)


def _noting(fills: Fills, name: str, method: Callable[..., Any], now: Callable[[], int]) -> Callable[..., Any]:
    def update(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = kwargs.get("layer_idx", next((value for value in args if type(value) is int), 0))
        fills.holder = self if fills.holder is None else fills.holder
        fills.calls.setdefault(int(place), []).append((now(), name))
        return method(self, *args, **kwargs)

    return update


def _safe(method: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method with an answer for a cache without attention, of which `transformers` knows no length."""

    def lengths(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except ValueError:
            return answer(*args, **kwargs)

    return lengths


def kept_by(layer: Any, tokens: int, others: int = 0) -> CacheLayer:
    """Return what a layer of a `transformers` cache keeps after a prompt.

    Parameters
    ----------
    layer : object
        Layer of a cache.
    tokens : int
        Length of the prompt.
    others : int
        Length of what is no text: keys and values of that length are those of an image, and not counted.
    """
    values = index = state = 0.0
    odd: list[str] = []
    seen: set[int] = set()
    for name, tensor in stored(layer):
        key = tensor.untyped_storage()._cdata
        if key in seen:  # values that are the keys are held once
            continue
        seen.add(key)
        root = name.partition("[")[0]
        if root in ("keys", "values"):
            length = max(1, int(tensor.shape[-2]))
            if others and length == others:
                continue
            values += tensor.numel() / length
            state += max(0, length - tokens) * tensor.numel() / length * tensor.element_size()
        elif root == "indexer_keys":
            index += tensor.numel() / max(1, int(tensor.shape[1]))
        elif root in ("conv_states", "recurrent_states"):
            state += tensor.numel() * tensor.element_size()
        elif root != "indexer_position_ids":
            odd.append(name)
    window = getattr(layer, "sliding_window", None)
    window = int(window) if isinstance(window, int) and not isinstance(window, bool) and window > 0 else None
    return CacheLayer(values, window if values else None, index, state, tuple(odd))


def stored(holder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors that an object holds, by the name of the attribute and the place in it."""
    for name, value in vars(holder).items():
        if name not in _NOT_CACHED:
            yield from _inside(name, value)


def _inside(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        if value.numel():
            yield name, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _inside(f"{name}[{key}]", entry)
    elif isinstance(value, list | tuple):
        for key, entry in enumerate(value):
            yield from _inside(f"{name}[{key}]", entry)


def bytes_by_name(holder: Any) -> dict[str, float]:
    """Return the bytes of the tensors that an object holds."""
    return {name: float(tensor.numel() * tensor.element_size()) for name, tensor in stored(holder)}
