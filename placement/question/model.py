"""What is placed: the blocks of a model, with their bytes, floating-point operations and cut constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a block that can lie elsewhere than the rest.

    The figures of a block's parts add up to the block's own.

    Attributes
    ----------
    name : str
        "attention" (with its cache; recurrent layers too), "ffn" (dense or shared) or "experts" (routed).
    weight_bytes : float
    flops_per_token : float
        Floating-point operations per token, attention scores left out.
    attention_flops_per_token : float
        Operations per token *and per token of context* (within the window).
    kv_bytes_per_token, kept_bytes_per_token, state_bytes : float
        Its cache, as a block's.
    handed_on_bytes_per_token : float
        Bytes per token that pass from this part to the next one, and from the last one to the next block.
    """

    name: str
    weight_bytes: float
    flops_per_token: float = 0.0
    attention_flops_per_token: float = 0.0
    kv_bytes_per_token: float = 0.0
    kept_bytes_per_token: float = 0.0
    state_bytes: float = 0.0
    handed_on_bytes_per_token: float = 0.0


@dataclass(frozen=True, slots=True)
class Extra:
    """A module beside the chain that needs a home: a vision tower, an audio tower, a draft head.

    Attributes
    ----------
    name : str
        Of the module.
    kind : str
        "vision", "audio", "draft" or "other".
    weight_bytes : float
    block : int
        The node that holds this block holds it.
    params : int
        Number of parameters, for people.
    kv_bytes_per_token, state_bytes : float
        Bytes of its own cache per sequence: for each token of context, and whatever the context.
    prompt_flops : float
        Operations that a prompt takes in it.
    """

    name: str
    kind: str
    weight_bytes: float
    block: int = 0
    params: int = 0
    kv_bytes_per_token: float = 0.0
    state_bytes: float = 0.0
    prompt_flops: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """The smallest unit that can be placed: an embedding, one decoder layer, the final norm with the LM head.

    Attributes
    ----------
    name : str
        Unique in its model.
    weight_bytes : float
        Bytes of all weights, resident on the node that holds the block.
    kind : str
        Blocks of one kind are alike in structure ("embed", "dense", "moe", "head", ...).
    kv_bytes_per_token : float
        Bytes of KV cache per sequence and token of context.
    kv_window_tokens : int or None
        Tokens that a sliding window keeps; None keeps the whole context.
    state_bytes : float
        Bytes of cache per sequence that do not grow with the context.
    activation_bytes_per_token : float
        Bytes per token of what the block hands to the next one.
    flops_per_token : float
        Floating-point operations per token, attention scores left out.
    attention_flops_per_token : float
        Operations per token *and per token of context* (within the window).
    expert_bytes : float
        The part of `weight_bytes` in routed experts; 0 for a dense block.
    experts, experts_per_token : int
        Number of routed experts, and how many of them one token uses.
    lookup : bool
        The weights are looked up by token and not read as a whole (an embedding).
    last_token_only : bool
        During prefill only the last token of a prompt passes through (an LM head).
    params : int
        Number of parameters, for people; 0 when unknown.
    kept_bytes_per_token : float
        Bytes of cache per sequence and token of context that no window drops, beside `kv_bytes_per_token`.
    parts : tuple of Part
        Its parts in the order in which a token meets them; empty: it is one piece.
    """

    name: str
    weight_bytes: float
    kind: str = "layer"
    kv_bytes_per_token: float = 0.0
    kv_window_tokens: int | None = None
    state_bytes: float = 0.0
    activation_bytes_per_token: float = 0.0
    flops_per_token: float = 0.0
    attention_flops_per_token: float = 0.0
    expert_bytes: float = 0.0
    experts: int = 0
    experts_per_token: int = 0
    lookup: bool = False
    last_token_only: bool = False
    params: int = 0
    kept_bytes_per_token: float = 0.0
    parts: tuple[Part, ...] = ()

    def context_tokens(self, tokens: float) -> float:
        """Tokens of a context of `tokens` that this block keeps."""
        return tokens if self.kv_window_tokens is None else min(tokens, float(self.kv_window_tokens))

    def kv_bytes(self, tokens: float) -> float:
        """Bytes of cache of one sequence whose context has `tokens` tokens."""
        growing = self.kv_bytes_per_token * self.context_tokens(tokens) + self.kept_bytes_per_token * tokens
        return self.state_bytes + growing

    def read_bytes(self, tokens: float) -> float:
        """Weight bytes that one pass over `tokens` tokens reads (all experts that any of them is expected to use)."""
        if self.lookup:
            return self.activation_bytes_per_token * tokens
        if self.experts <= 0:
            return self.weight_bytes
        idle = (1.0 - self.experts_per_token / self.experts) ** tokens
        return float(self.weight_bytes - self.expert_bytes * idle)

    def weighing(self, weight_bytes: float, expert_bytes: float) -> Block:
        """Return the same block with other bytes of weights; its parts share what is not in routed experts as before.

        Parameters
        ----------
        weight_bytes : float
            Bytes of all its weights.
        expert_bytes : float
            Bytes of these in routed experts; counted only where the block has such experts.
        """
        routed = expert_bytes if self.experts else 0.0
        rest = sum(part.weight_bytes for part in self.parts if part.name != "experts")
        others = sum(part.name != "experts" for part in self.parts)
        parts = []
        for part in self.parts:
            share = part.weight_bytes / rest if rest else 1.0 / max(1, others)
            weight = routed if part.name == "experts" else (weight_bytes - routed) * share
            parts.append(replace(part, weight_bytes=weight))
        return replace(self, weight_bytes=weight_bytes, expert_bytes=routed, parts=tuple(parts))


@dataclass(frozen=True, slots=True)
class Tie:
    """Blocks that share a tensor.

    Attributes
    ----------
    blocks : tuple of int
        Indices of the tied blocks.
    copies : bool
        True: each node holds a copy of its own, and the blocks are free. False: all on one node.
    shared_bytes : float
        Bytes held once instead of once per block when `copies` is False.
    """

    blocks: tuple[int, ...]
    copies: bool = True
    shared_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Model:
    """A chain of blocks, and where it may not be cut.

    Attributes
    ----------
    name : str
    blocks : tuple of Block
        In the order in which a token passes them.
    forbidden_cuts : tuple of int
        ``b`` in it: no boundary before block ``b``.
    ties : tuple of Tie
    input_bytes_per_token : float
        Bytes per token from the client to the first block, and of a sampled token back to it.
    weights : str
        Name of the number format or quantization of the weights.
    compute_dtype : str
        Format of the multiplications: picks the peak of a device.
    notes : tuple of str
        What a reader had to assume, in sentences for people.
    extras : tuple of Extra
        Modules beside the chain, in the memory of the node that holds their block.
    everywhere : tuple of int
        Blocks whose weights every node holds: they are in what the nodes reserve, not beside the node's own blocks.
    heads, kv_heads : int
        Attention heads of a layer, and pieces into which its cache can be divided (its KV heads; 1 of a latent cache):
        devices that hold a layer together share them. 0 where they are not known.
    longest_context : int
        Tokens of prompt and output that it was made for; 0 where that is not known.
    """

    name: str
    blocks: tuple[Block, ...]
    forbidden_cuts: tuple[int, ...] = ()
    ties: tuple[Tie, ...] = ()
    input_bytes_per_token: float = 4.0
    weights: str = "bfloat16"
    compute_dtype: str = "bfloat16"
    notes: tuple[str, ...] = field(default=())
    extras: tuple[Extra, ...] = ()
    everywhere: tuple[int, ...] = ()
    heads: int = 0
    kv_heads: int = 0
    longest_context: int = 0

    def __post_init__(self) -> None:
        names = [block.name for block in self.blocks]
        if not names:
            raise InputError("expected at least one block", "model.blocks")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"the block name '{twice}' is used twice", "model.blocks")
        for cut in self.forbidden_cuts:
            if not 0 < cut < len(names):
                raise InputError(
                    f"expected a block number from 1 to {len(names) - 1}, got {cut}", "model.forbidden_cuts"
                )

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights of the blocks, tensors shared on one node counted once; extras are not in them."""
        shared = sum(tie.shared_bytes * (len(tie.blocks) - 1) for tie in self.ties if not tie.copies)
        return sum(block.weight_bytes for block in self.blocks) - shared

    def resident_bytes(self) -> tuple[float, ...]:
        """Return the bytes that each block adds to its node: its weights and extras, tensors shared there once."""
        held = [block.weight_bytes for block in self.blocks]
        for tie in self.ties:
            for block in () if tie.copies else tie.blocks[1:]:
                held[block] -= min(held[block], tie.shared_bytes)
        for extra in self.extras:
            held[extra.block] += extra.weight_bytes
        for block in self.everywhere:
            held[block] = 0.0
        return tuple(held)

    @property
    def params(self) -> int:
        """Number of parameters that the blocks state (tied ones are stated once)."""
        return sum(block.params for block in self.blocks)

    def index(self, block: str | int) -> int:
        """Return the index of a block given by name or number; raise `InputError` when there is none."""
        if isinstance(block, int) and not isinstance(block, bool) and 0 <= block < self.n_blocks:
            return block
        for number, candidate in enumerate(self.blocks):
            if candidate.name == block:
                return number
        raise InputError(f"the model has no block {block!r} (it has {self.n_blocks}: {_names(self.blocks)})")

    def renamed(self, name: str) -> Model:
        """Return the same model under another name."""
        return replace(self, name=name)


def _names(blocks: Sequence[Block]) -> str:
    names = [block.name for block in blocks]
    return ", ".join(names if len(names) <= 4 else [*names[:2], "...", names[-1]])
