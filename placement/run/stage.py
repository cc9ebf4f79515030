"""The blocks of one worker as a function: tokens or hidden states in, hidden states or sampled tokens out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from .architecture import Architecture
from .cache import KvCache
from .tensor_group import TensorGroup


class Loaded(Protocol):
    """What a stage asks of its loader."""

    @property
    def arch(self) -> Architecture:
        """The parts of the model."""
        ...

    @property
    def device(self) -> str:
        """Where they are."""
        ...


@dataclass
class Stage:
    """Runs spans of one worker's blocks and keeps the caches of the sequences in flight.

    Attributes
    ----------
    loader : Loaded
        The blocks and their device.
    room : int
        Tokens of context that a new cache makes room for.
    group : TensorGroup or None
        Devices that compute every block together with this one.
    """

    loader: Loaded
    room: int = 64
    caches: dict[int, KvCache] = field(default_factory=dict)
    group: TensorGroup | None = None

    def __post_init__(self) -> None:
        # cuDNN's attention builds a new plan for every length, and a decode step is a new length: milliseconds each.
        torch.backends.cuda.enable_cudnn_sdp(False)

    @torch.inference_mode()
    def run(self, batch: int, start: int, stop: int, position: int, values: torch.Tensor) -> torch.Tensor:
        """Pass a micro-batch through the blocks ``start <= b < stop``.

        Parameters
        ----------
        batch : int
            Number of the micro-batch: names its cache.
        position : int
            Position of the first of the tokens; a prompt starts at 0.
        values : tensor
            Token ids (n, tokens) for block 0, hidden states (n, tokens, size) for others.

        Returns
        -------
        tensor
            Hidden states, or the sampled token ids (n, 1) behind the last block.
        """
        arch = self.loader.arch
        values = values.to(self.loader.device)
        where = torch.arange(position, position + values.shape[1], device=values.device).unsqueeze(0)
        first, last = max(start, 1), min(stop, arch.n_blocks - 1)
        if start == 0:
            ids = values.long()
            values = arch.embed(ids) if self.group is None else self.group.embed(arch.embed, ids)
            if arch.position is not None:
                values = values + arch.position(where)
        if first < last:
            values = self._layers(batch, first, last, position, where, values)
        if stop == arch.n_blocks:
            logits = arch.head(arch.norm(values[:, -1:]))
            values = logits.argmax(dim=-1) if self.group is None else self.group.sample(logits)
        return values

    def warm_up(self, start: int, stop: int, tokens: int) -> None:
        """Pass zeros through a span, as a prompt and as a step: the first pass of a process is slower than others."""
        arch, mark = self.loader.arch, -1
        like = next(arch.modules(start)[0].parameters())
        for position, length in ((0, tokens), (tokens, 1)):
            shape = (1, length) if start == 0 else (1, length, int(arch.config.hidden_size))
            values = torch.zeros(shape, dtype=torch.int64 if start == 0 else like.dtype, device=like.device)
            self.run(mark, start, stop, position, values)
        self.forget(mark)

    def fill(self, batch: int, block: int, sequences: int, tokens: int) -> None:
        """Put random keys and values of `tokens` tokens into the cache of a decoder layer, to measure a step there."""
        config = self.loader.arch.config
        heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        like = next(self.loader.arch.layers[block - 1].parameters())
        values = torch.randn((sequences, heads, tokens, size), device=like.device).to(like.dtype)
        self.caches.setdefault(batch, KvCache(self.room)).update(values, values, block - 1)

    def forget(self, batch: int) -> None:
        """Drop the cache of a micro-batch that has ended."""
        self.caches.pop(batch, None)

    def cache_bytes(self) -> int:
        """Bytes reserved for the caches of all micro-batches."""
        return sum(cache.n_bytes() for cache in self.caches.values())

    def _layers(
        self, batch: int, first: int, last: int, position: int, where: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        arch = self.loader.arch
        cache = self.caches.setdefault(batch, KvCache(self.room))
        words: dict[str, Any] = {arch.cache_word: cache, "position_ids": where, "use_cache": True}
        if arch.rotary is not None:
            words["position_embeddings"] = arch.rotary(values, position_ids=where)
        for block in range(first, last):
            mask = _window_mask(arch.config, block - 1, position, where[0], values)
            out = arch.layers[block - 1](values, attention_mask=mask, **words)
            values = out[0] if isinstance(out, tuple) else out
        return values


def window_of(config: Any, layer: int) -> int | None:
    """Tokens that a layer's sliding window keeps; None for the whole context."""
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if not window or (types and types[layer] != "sliding_attention"):
        return None
    return None if not types and getattr(config, "use_sliding_window", True) is False else int(window)


def _window_mask(
    config: Any, layer: int, position: int, where: torch.Tensor, values: torch.Tensor
) -> torch.Tensor | None:
    """Return a boolean mask (1, 1, queries, keys), or None where the plain causal rule is enough."""
    seen, window = position + len(where), window_of(config, layer)
    if (window is None or seen <= window) and (position == 0 or len(where) == 1):
        return None
    keys = torch.arange(seen, device=values.device)
    mask = keys[None, :] <= where[:, None]
    if window is not None:
        mask &= keys[None, :] > where[:, None] - window
    return mask[None, None]
