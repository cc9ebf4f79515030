"""A model written block by block in cluster.yaml."""

from __future__ import annotations

from dataclasses import replace

from placement.errors import InputError, nearest
from placement.files.entries import MAX_BLOCKS
from placement.question.model import Block, Model, Part, Tie

from ..schema.model import BlockEntry, InlineModel

_EMBED = frozenset({"embed", "embedding", "embeddings", "embed_tokens", "wte"})
_HEAD = frozenset({"head", "lm_head"})
_COMPUTE = frozenset({"bfloat16", "float16", "float32", "fp8", "int8"})


def inline_model(entry: InlineModel, weights: str | None = None) -> Model:
    """Build the model that the entry describes.

    Parameters
    ----------
    entry : InlineModel
        Sizes in it are those that the nodes hold: `weights` does not change them.
    weights : str, optional
        Name of the number format of the weights.
    """
    total = sum(block.repeat or 1 for block in entry.blocks)
    if total > MAX_BLOCKS:
        raise InputError(f"expected at most {MAX_BLOCKS} blocks, got {total}", "model.blocks")
    notes: list[str] = []
    activations = _activations(entry.blocks, notes)
    blocks = tuple(
        _block(item, name, activation)
        for item, activation in zip(entry.blocks, activations, strict=True)
        for name in ([item.name] if item.repeat is None else [f"{item.name}.{i}" for i in range(item.repeat)])
    )
    format_name = weights or "bfloat16"
    compute = entry.compute_dtype or (format_name if format_name in _COMPUTE else "bfloat16")
    if entry.compute_dtype is not None and entry.compute_dtype not in _COMPUTE:
        known = ", ".join(sorted(_COMPUTE))
        hint = nearest(entry.compute_dtype, _COMPUTE)
        raise InputError(f"expected one of {known}, got '{entry.compute_dtype}'{hint}", "model.compute_dtype")
    return Model(
        name=entry.name,
        blocks=blocks,
        forbidden_cuts=tuple(sorted(set(entry.forbidden_cuts))),
        ties=_ties(entry, blocks),
        input_bytes_per_token=entry.input_per_token,
        weights=format_name,
        compute_dtype=compute,
        notes=tuple(notes),
        heads=entry.heads or 0,
        kv_heads=entry.kv_heads or entry.heads or 0,
        longest_context=entry.context or 0,
    )


def _activations(entries: list[BlockEntry], notes: list[str]) -> list[float]:
    """Fill the gaps: what a block hands on is as wide as what the one before (else the one after) hands on."""
    given = [entry.activation_per_token for entry in entries]
    stated = [value for value in given if value is not None]
    if not stated:
        if sum(entry.repeat or 1 for entry in entries) > 1:
            raise InputError("'activation_per_token' is missing: at least one block must state it", "model.blocks")
        return [0.0]
    filled, current = [], stated[0]
    for entry, value in zip(entries, given, strict=True):
        if value is None:
            notes.append(f"block '{entry.name}': activation per token taken from its neighbour ({current:g} bytes)")
        current = current if value is None else value
        filled.append(current)
    return filled


def _block(entry: BlockEntry, name: str, activation: float) -> Block:
    lower = entry.name.lower()
    kind = entry.kind or ("embed" if lower in _EMBED else "head" if lower in _HEAD else "layer")
    lookup = kind == "embed" if entry.lookup is None else entry.lookup
    flops = entry.flops_per_token
    if flops is None:
        # One weight takes 2 bytes and costs one multiplication and one addition: operations = bytes in use.
        used = entry.experts_per_token / entry.experts if entry.experts else 1.0
        flops = 0.0 if lookup else entry.weights - entry.expert_weights * (1.0 - used)
    block = Block(
        name=name,
        weight_bytes=entry.weights,
        kind=kind,
        kv_bytes_per_token=entry.kv_per_token,
        kv_window_tokens=entry.kv_window,
        state_bytes=entry.state,
        activation_bytes_per_token=activation,
        flops_per_token=flops,
        attention_flops_per_token=entry.attention_flops_per_token,
        expert_bytes=entry.expert_weights if entry.experts else 0.0,
        experts=entry.experts,
        experts_per_token=entry.experts_per_token,
        lookup=lookup,
        last_token_only=kind == "head" if entry.last_token_only is None else entry.last_token_only,
        params=entry.params,
    )
    return replace(block, parts=_parts(block, entry.ffn_weights))


def _parts(block: Block, ffn_bytes: float) -> tuple[Part, ...]:
    """Parts of a block that states some: operations are shared as the weights that a token uses are."""
    if not (ffn_bytes or block.expert_bytes):
        return ()
    used = block.experts_per_token / block.experts if block.experts else 1.0
    rest = block.weight_bytes - ffn_bytes - block.expert_bytes
    sizes = {"attention": rest, "ffn": ffn_bytes, "experts": block.expert_bytes}
    active = {name: size * (used if name == "experts" else 1.0) for name, size in sizes.items()}
    total = sum(active.values()) or 1.0
    parts = [
        Part(
            name,
            size,
            block.flops_per_token * active[name] / total,
            handed_on_bytes_per_token=block.activation_bytes_per_token,
        )
        for name, size in sizes.items()
        if size > 0 or name == "attention"
    ]
    first = replace(
        parts[0],
        attention_flops_per_token=block.attention_flops_per_token,
        kv_bytes_per_token=block.kv_bytes_per_token,
        state_bytes=block.state_bytes,
    )
    return (first, *parts[1:])


def _ties(entry: InlineModel, blocks: tuple[Block, ...]) -> tuple[Tie, ...]:
    number = {block.name: index for index, block in enumerate(blocks)}
    ties = []
    for position, tie in enumerate(entry.ties):
        where = f"model.ties[{position}]"
        indices = []
        for ref in tie.blocks:
            index = number.get(ref, -1) if isinstance(ref, str) else ref
            if not 0 <= index < len(blocks):
                hint = nearest(ref, number) if isinstance(ref, str) else f" (it has {len(blocks)})"
                raise InputError(f"the model has no block {ref!r}{hint}", where)
            indices.append(index)
        if len(set(indices)) < len(indices):
            raise InputError("expected different blocks, got one twice", where)
        smallest = min(blocks[index].weight_bytes for index in indices)
        if tie.shared is not None and tie.shared > smallest:
            raise InputError(f"expected at most the smallest block's weights ({smallest:g} bytes)", f"{where}.shared")
        shared = 0.0 if tie.copies else smallest if tie.shared is None else tie.shared
        ties.append(Tie(tuple(indices), tie.copies, shared))
    return tuple(ties)
