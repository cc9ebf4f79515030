"""A KV cache of one micro-batch, for the layers of one worker: room is doubled, never concatenated step by step."""

from __future__ import annotations

from typing import Any

import torch


class KvCache:
    """Keys and values by layer; decoder layers of transformers call `update` as they do on their own caches.

    Parameters
    ----------
    room : int
        Tokens to make room for at first; more are made when needed.
    """

    def __init__(self, room: int = 64) -> None:
        self._room = max(1, room)
        self._stores: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._lengths: dict[int, int] = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values (batch, heads, tokens, size) of a layer; return all of them so far."""
        start = self._lengths.get(layer_idx, 0)
        stop = start + keys.shape[-2]
        stored = self._stores.get(layer_idx)
        if stored is None or stop > stored[0].shape[-2]:
            room = max(self._room, stop if stored is None else 2 * stop)
            grown = tuple(new.new_empty((*new.shape[:-2], room, new.shape[-1])) for new in (keys, values))
            if stored is not None:
                for new, old in zip(grown, stored, strict=True):
                    new[..., :start, :] = old[..., :start, :]
            stored = self._stores[layer_idx] = (grown[0], grown[1])
        stored[0][..., start:stop, :] = keys
        stored[1][..., start:stop, :] = values
        self._lengths[layer_idx] = stop
        return stored[0][..., :stop, :], stored[1][..., :stop, :]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that a layer has seen; 0 for layers of other workers."""
        return self._lengths.get(layer_idx, 0)

    def n_bytes(self) -> int:
        """Bytes reserved."""
        return sum(t.numel() * t.element_size() for pair in self._stores.values() for t in pair)
