"""A GGUF file: true bytes per block of mixed quantizations, and what its metadata says of the architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.question.model import Block, Model, Tie

from .build import TOKEN_BYTES, activation_bytes, block_parts
from .facts import stretched
from .fields import Fields, shown
from .gguf_cache import CacheRules, LayerCache
from .gguf_header import GgufHeader, GgufTensor, read_header
from .measured import left_out
from .names import EMBED, HEAD, block_of, is_routed
from .quantization import QUANTIZATIONS, canonical, kv_bytes_per_value, quantization

_INPUTS = ("per_layer_", "altup_", "rope_", "token_types")
_MULTIPLIED = ("per_layer_model_proj", "altup_proj")
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _File:
    """Tensors by block, and metadata under the name of the architecture."""

    keys: Fields
    tensors: Mapping[int, Sequence[GgufTensor]]
    sizes: Mapping[int, tuple[int, int]]
    layers: int
    arch: str
    notes: tuple[str, ...] = ()

    def bytes_of(self, tensors: Sequence[GgufTensor]) -> float:
        return float(sum(tensor_bytes(tensor, self.sizes) for tensor in tensors))


def read_gguf(path: str | Path, *, kv_dtype: str | None = None, name: str | None = None) -> Model:
    """Return the model in a GGUF file (of a split model: any of its files).

    Parameters
    ----------
    path : path
    kv_dtype : str, optional
        Number format of the KV cache; 16 bits when left out.
    name : str, optional
        Name of the model; by default the one in the metadata, or the file's.
    """
    path = Path(path)
    package = _package()
    headers = [read_header(part) for part in _parts(path)]
    sizes = {int(kind): (int(a), int(b)) for kind, (a, b) in package.GGML_QUANT_SIZES.items()}
    for header in headers:
        _check_tensors(header, sizes, path)
    file = _file(headers, sizes, str(path))
    weights = _format_name(headers, package)
    known = QUANTIZATIONS.get(weights)
    kv_bytes = kv_bytes_per_value(kv_dtype, quantization("bfloat16"))  # 16 bits, whatever the weights
    number = activation_bytes(weights)
    rules = CacheRules(file.keys, file.arch, file.layers, {at: _ends(file.tensors[at]) for at in range(file.layers)})
    head, tie = _head(file)
    blocks = (
        _embed(file, _handed_on(file, 0) * number),
        *(_layer(file, at, rules.layer(at), kv_bytes, _handed_on(file, at + 1) * number) for at in range(file.layers)),
        head,
    )
    return Model(
        name=name or " ".join(str(headers[0].metadata.get("general.name") or path.stem).split()),
        blocks=blocks,
        ties=tie,
        input_bytes_per_token=TOKEN_BYTES,
        weights=weights,
        compute_dtype=known.compute_dtype if known else "bfloat16",
        notes=(*file.notes, *rules.notes()),
        heads=rules.common("attention.head_count"),
        kv_heads=rules.kv_pieces(),
        longest_context=_longest_context(file.keys),
    )


def tensor_bytes(tensor: GgufTensor, sizes: Mapping[int, tuple[int, int]]) -> int:
    """Return the stored bytes of a tensor."""
    block, size = sizes[tensor.format]
    return tensor.params // block * size


def _longest_context(keys: Fields) -> int:
    scaling = (keys.asked(f"rope.scaling.{key}") for key in ("type", "factor", "original_context_length"))
    return stretched(keys.asked("context_length"), *scaling)


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise InputError("reading .gguf files needs the 'gguf' package: pip install 'llm-placement[gguf]'") from None
    return gguf


def _parts(path: Path) -> list[Path]:
    match = _SHARD.match(path.name)
    if not match:
        return [path]
    stem, total = match.group(1), match.group(3)
    parts = [path.with_name(f"{stem}-{at:05d}-of-{total}.gguf") for at in range(1, int(total) + 1)]
    absent = [part.name for part in parts if not part.is_file()]
    if absent:
        raise InputError(f"{absent[0]} is missing ({len(absent)} of {len(parts)} files)", str(path))
    return parts


def _check_tensors(header: GgufHeader, sizes: Mapping[int, tuple[int, int]], path: Path) -> None:
    for tensor in header.tensors:
        if tensor.format not in sizes:
            raise InputError(
                f"the number format {tensor.format} is not known to the gguf package", f"{path}: {shown(tensor.name)}"
            )
        if header.data_start + tensor.offset + tensor_bytes(tensor, sizes) > header.size:
            raise InputError(
                "the tensor lies outside of the file, which may be cut short", f"{path}: {shown(tensor.name)}"
            )


def _file(headers: Sequence[GgufHeader], sizes: Mapping[int, tuple[int, int]], where: str) -> _File:
    metadata = headers[0].metadata
    arch = metadata.get("general.architecture")
    if not isinstance(arch, str) or f"{arch}.block_count" not in metadata:
        raise InputError("the file holds no language model (no block_count in its metadata)", where)
    keys = Fields({k.removeprefix(f"{arch}."): v for k, v in metadata.items() if k.startswith(f"{arch}.")}, where)
    layers = keys.count("block_count") - keys.count("nextn_predict_layers", default=0, zero=True)
    if not 0 < layers <= 10_000:
        raise keys.error("block_count", f"expected from 1 to 10000 layers, got {layers}")
    grouped: dict[int, list[GgufTensor]] = {EMBED: [], HEAD: [], **{at: [] for at in range(layers)}}
    left: dict[str, float] = {}
    for tensor in (tensor for header in headers for tensor in header.tensors):
        block = _place_of(tensor.name)
        if block is not None and block in grouped:
            grouped[block].append(tensor)
        else:
            module = ".".join(tensor.name.split(".")[: 2 if block is not None else 1])
            left[module] = left.get(module, 0.0) + tensor_bytes(tensor, sizes)
    empty = next((at for at, tensors in grouped.items() if not tensors and at != HEAD), None)
    if empty is not None:
        raise InputError(f"there is no tensor of {'the embedding' if empty == EMBED else f'layer {empty}'}", where)
    largest = sorted(left, key=lambda name: (-left[name], name))
    notes = (left_out(sum(left.values()), largest),) if left else ()
    return _File(keys, grouped, sizes, layers, arch, notes)


def _place_of(tensor: str) -> int | None:
    """Return the block of a tensor: what stands beside the layers serves their inputs, unless it is the head's."""
    if tensor.startswith("altup_unembd"):
        return HEAD
    if tensor.startswith(_INPUTS):
        return EMBED
    return block_of(tensor)


def _ends(tensors: Sequence[GgufTensor]) -> frozenset[str]:
    return frozenset(tensor.name.split(".", 2)[-1] for tensor in tensors)


def _handed_on(file: _File, at: int) -> float:
    """Return the numbers per token that pass on from block `at`: AltUp's streams, and the inputs of later layers."""
    streams = file.keys.count("altup.num_inputs", default=1)
    per_layer = file.keys.count("embedding_length_per_layer_input", default=0, zero=True)
    return file.keys.count("embedding_length") * streams + per_layer * (file.layers - at)


def _embed(file: _File, handed_on: float) -> Block:
    multiplied = [t for t in file.tensors[EMBED] if len(t.dims) > 1 and t.name.startswith(_MULTIPLIED)]
    return Block(
        name="embed",
        weight_bytes=file.bytes_of(file.tensors[EMBED]),
        kind="embed",
        activation_bytes_per_token=handed_on,
        flops_per_token=2.0 * sum(tensor.params for tensor in multiplied),
        lookup=True,
        params=sum(tensor.params for tensor in file.tensors[EMBED]),
    )


def _head(file: _File) -> tuple[Block, tuple[Tie, ...]]:
    own = list(file.tensors[HEAD])
    matrices = [tensor for tensor in own if len(tensor.dims) > 1]
    shared = [] if matrices else [tensor for tensor in file.tensors[EMBED] if tensor.name == "token_embd.weight"]
    copied = file.bytes_of(shared)
    head = Block(
        name="head",
        weight_bytes=file.bytes_of(own) + copied,
        kind="head",
        activation_bytes_per_token=TOKEN_BYTES,
        flops_per_token=2.0 * sum(tensor.params for tensor in (*matrices, *shared)),
        last_token_only=True,
        params=sum(tensor.params for tensor in own),
    )
    return head, ((Tie((0, file.layers + 1), copies=True, shared_bytes=copied),) if shared else ())


def _layer(file: _File, at: int, cache: LayerCache, kv_bytes: float, handed_on: float) -> Block:
    tensors = file.tensors[at]
    routed = [tensor for tensor in tensors if is_routed(tensor.name)]
    experts = file.keys.count("expert_count") if routed else 0
    used = min(experts, file.keys.count("expert_used_count")) if routed else 0
    shares: dict[str, float] = {}
    operations: dict[str, float] = {}
    for tensor in tensors:
        piece = _piece(tensor.name)
        active = tensor.params * (used / experts if piece == "experts" else 1.0) if len(tensor.dims) > 1 else 0.0
        shares[piece] = shares.get(piece, 0.0) + file.bytes_of([tensor])
        operations[piece] = operations.get(piece, 0.0) + 2.0 * active
    block = Block(
        name=f"layer.{at}",
        weight_bytes=file.bytes_of(tensors),
        kind="moe" if routed else "dense",
        kv_bytes_per_token=cache.values * kv_bytes,
        kv_window_tokens=cache.window,
        state_bytes=cache.state_bytes,
        activation_bytes_per_token=handed_on,
        flops_per_token=sum(operations.values()),
        attention_flops_per_token=2.0 * cache.score_dims,
        expert_bytes=file.bytes_of(routed),
        experts=experts,
        experts_per_token=used,
        params=sum(tensor.params for tensor in tensors),
    )
    return replace(block, parts=block_parts(block, shares, operations, handed_on))


def _piece(tensor: str) -> str:
    """Return the part of its layer that a tensor belongs to."""
    if is_routed(tensor):
        return "experts"
    return "ffn" if tensor.split(".", 2)[-1].startswith("ffn_") else "attention"


def _format_name(headers: Sequence[GgufHeader], package: Any) -> str:
    """Return the name of the mix that the metadata states, else the format of most weights."""
    stated = headers[0].metadata.get("general.file_type")
    names = {int(kind): kind.name for kind in package.LlamaFileType}
    if isinstance(stated, int) and stated in names and names[stated] != "GUESSED":
        return canonical(names[stated].removeprefix("MOSTLY_").removeprefix("ALL_"))
    counts: dict[int, int] = {}
    for header in headers:
        for tensor in header.tensors:
            counts[tensor.format] = counts.get(tensor.format, 0) + tensor.params
    return canonical(package.GGMLQuantizationType(max(counts, key=lambda kind: counts[kind])).name)
