"""What llama.cpp keeps of a sequence in each layer: caches that grow, windows, and states that do not.

The rules are llama.cpp's own (https://github.com/ggml-org/llama.cpp, 2026: src/llama-hparams.cpp, llama-kv-cache.cpp,
llama-memory-recurrent.cpp and the hyper-parameters of src/models), which differ from those of other runtimes: a file of
DeepSeek-V2 or V3 without `key_length_mla` keeps all heads, Phi-3's window is not used, states are in 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from .fields import Fields
from .heads import common_count

PATTERNS: Mapping[str, int] = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "gpt_oss": 2,
    "cohere2": 4,
    "cohere2moe": 4,
    "llama4": 4,
    "exaone4": 4,
    "olmo2": 4,
    "smallthinker": 4,
    "afmoe": 4,
    "plamo3": 8,
    "phi3": 1,
}
"""Every so many layers, one of these architectures attends to the whole context; 1: every layer does."""

_DENSE_FIRST = frozenset({"smallthinker"})
_LLAMA4_CHUNK = 8192
_INTERVALS: Mapping[str, int] = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
_INDEXED = frozenset({"deepseek32", "glm-dsa", "glm_dsa"})
_COMPRESSED = frozenset({"deepseek4", "deepseek41"})
_STATE_TENSORS = ("ssm_", "shortconv", "time_mix_")
_ATTENTION_TENSORS = ("attn_q.", "attn_q_a.", "attn_k.", "attn_kv_a_mqa.")
_STATE_BYTES = 4.0


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps of one sequence.

    Attributes
    ----------
    values : int
        Numbers per token of context.
    window : int or None
        Tokens of a sliding window.
    state_bytes : float
        Bytes that do not grow.
    score_dims : int
        Heads x (query-key + value dimensions): multiply-adds per token and token of context.
    """

    values: int = 0
    window: int | None = None
    state_bytes: float = 0.0
    score_dims: int = 0


@dataclass(frozen=True, slots=True)
class CacheRules:
    """llama.cpp's rules for one file.

    Attributes
    ----------
    keys : Fields
        Metadata under the name of the architecture.
    arch : str
    layers : int
    tensors : mapping of int to set of str
        What follows `blk.N.` in the names of the tensors of each layer.
    """

    keys: Fields
    arch: str
    layers: int
    tensors: Mapping[int, Set[str]]

    def layer(self, at: int) -> LayerCache:
        """Return what layer `at` keeps."""
        recurrent = self._is_recurrent(at)
        state = self._state_values() * _STATE_BYTES if recurrent else 0.0
        attends = not recurrent or any(name.startswith(_ATTENTION_TENSORS) for name in self.tensors[at])
        interval = self._interval()
        if interval and (at + 1) % interval:
            attends = False
        heads = self.per_layer("attention.head_count", at, default=0 if recurrent else None)
        kv_heads = self.per_layer("attention.head_count_kv", at, default=heads)
        if not attends or not heads or not kv_heads:
            return LayerCache(state_bytes=state)
        window = self.window(at)
        values, scores = self._attention(at, heads, kv_heads, window is not None)
        return LayerCache(values, window if values else None, state, scores)

    def window(self, at: int) -> int | None:
        """Return the tokens of the sliding window of layer `at`, or None where it sees everything."""
        window = self.keys.count("attention.sliding_window", default=0, zero=True)
        if not window and self.arch == "llama4":
            window = self.keys.count("attention.chunk_size", default=_LLAMA4_CHUNK)
        pattern = self._pattern()
        if not window or pattern is None:
            return None
        if isinstance(pattern, list):
            return window if pattern[at % len(pattern)] else None
        place = at % pattern if pattern else 0
        slides = place != 0 if self.arch in _DENSE_FIRST else place < pattern - 1
        return window if slides or not pattern else None

    def notes(self) -> tuple[str, ...]:
        """Return what a plan says of the caches."""
        found: list[str] = []
        window = self.keys.count("attention.sliding_window", default=0, zero=True)
        if window and self._pattern() is None:
            found.append(
                f"The sliding window of {window} tokens is not used: the file does not say which layers have it."
            )
        if "attention.kv_lora_rank" in self.keys and not self._is_latent():
            found.append(
                "The file has no attention.key_length_mla: llama.cpp keeps the keys and values of all heads, where it "
                "keeps the latent vector alone of a file converted since May 2025."
            )
        if self.arch in _COMPRESSED:
            found.append(f"The compressed cache of {self.arch} is not known: counted as a full one, which is more.")
        return tuple(found)

    def common(self, key: str) -> int:
        """Return the count under a key that divides those of all layers; 0 where none is stated."""
        value = self.keys.values.get(key)
        return common_count(value if isinstance(value, list) else [value])

    def kv_pieces(self) -> int:
        """Return into how many pieces the cache can be divided; a latent one is whole."""
        heads = self.common("attention.head_count")
        return min(heads, 1) if self._is_latent() else self.common("attention.head_count_kv") or heads

    def per_layer(self, key: str, at: int, default: int | None) -> int:
        """Return a number that the metadata states once, or layer by layer."""
        value = self.keys.values.get(key)
        if isinstance(value, list):
            entry = self.keys.items(key)[at] if at < len(value) else None
            return self.keys.checked_count(entry, f"{self.arch}.{key}[{at}]", zero=True)
        return self.keys.count(key, default=default, zero=True)

    def _attention(self, at: int, heads: int, kv_heads: int, slides: bool) -> tuple[int, int]:
        keys = self.keys
        key, value = self._length("key_length", heads, slides), self._length("value_length", heads, slides)
        if self._is_latent():
            scores = heads * (keys.count("attention.key_length_mla") + keys.count("attention.value_length_mla"))
            index = keys.count("attention.indexer.key_length", default=0, zero=True) if self._is_indexed(at) else 0
            kept = keys.count("attention.kv_lora_rank") + keys.count("rope.dimension_count")
            return (0 if self._shares(at) else kept + index), scores
        return (0 if self._shares(at) else kv_heads * (key + value)), heads * (key + value)

    def _length(self, name: str, heads: int, slides: bool) -> int:
        """Return the numbers per head of keys or values, which layers with a window may have otherwise."""
        width = max(1, self.keys.count("embedding_length") // heads)
        stated = self.keys.count(f"attention.{name}", default=width)
        return self.keys.count(f"attention.{name}_swa", default=stated) if slides else stated

    def _is_latent(self) -> bool:
        return "attention.key_length_mla" in self.keys and "attention.kv_lora_rank" in self.keys

    def _is_indexed(self, at: int) -> bool:
        return self.arch in _INDEXED and any(name.startswith("indexer.") for name in self.tensors[at])

    def _shares(self, at: int) -> bool:
        """Tell whether a layer reads the cache of an earlier one."""
        shared = self.keys.count("attention.shared_kv_layers", default=0, zero=True)
        return at >= self.layers - shared

    def _pattern(self) -> int | list[object] | None:
        stated = self.keys.values.get("attention.sliding_window_pattern")
        if isinstance(stated, list) and stated:
            return stated
        if isinstance(stated, int) and not isinstance(stated, bool) and stated >= 0:
            return stated
        return PATTERNS.get(self.arch)

    def _interval(self) -> int:
        """Return every which layer attends, where the others keep a state; 0 where the file's tensors tell."""
        return self.keys.count("full_attention_interval", default=_INTERVALS.get(self.arch, 0), zero=True)

    def _is_recurrent(self, at: int) -> bool:
        interval = self._interval()
        if interval:
            return (at + 1) % interval != 0
        return any(name.startswith(_STATE_TENSORS) for name in self.tensors[at])

    def _state_values(self) -> int:
        """Return the numbers of the convolution's and the recurrence's state in one layer."""
        keys, hidden = self.keys, self.keys.count("embedding_length")
        wkv = keys.count("wkv.head_size", default=0, zero=True)
        if wkv:
            return hidden * (keys.count("token_shift_count", default=2) + wkv)
        short = keys.count("shortconv.l_cache", default=0, zero=True)
        if short:
            return hidden * (short - 1)
        taps = max(0, keys.count("ssm.conv_kernel", default=0, zero=True) - 1)
        head = keys.count("kda.head_dim", default=0, zero=True)
        if head:
            heads = max(self.per_layer("attention.head_count", at, default=0) for at in range(self.layers))
            return 3 * taps * heads * head + heads * head * head
        inner = keys.count("ssm.inner_size", default=0, zero=True)
        state = keys.count("ssm.state_size", default=0, zero=True)
        groups = keys.count("ssm.group_count", default=0, zero=True)
        return taps * (inner + 2 * groups * state) + state * inner
