"""A GGUF file: true bytes per block of mixed quantizations, and what its metadata says of the architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.question.model import Block, Model, Tie

from .build import TOKEN_BYTES, activation_bytes
from .fields import Fields, shown
from .gguf_header import GgufHeader, GgufTensor, read_header
from .names import EMBED, HEAD, block_of, is_routed
from .quantization import QUANTIZATIONS, canonical, kv_bytes_per_value, quantization

_PATTERNS: Mapping[str, int] = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "gpt_oss": 2, "cohere2": 4, "phi3": 10**6}
"""Every so many layers, one of these architectures attends to the whole context (llama.cpp, src/llama-model.cpp)."""

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _File:
    """Tensors by block, and metadata under the name of the architecture."""

    keys: Fields
    tensors: Mapping[int, Sequence[GgufTensor]]
    sizes: Mapping[int, tuple[int, int]]
    layers: int
    arch: str

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
    kv_bytes = kv_bytes_per_value(kv_dtype, known or quantization("bfloat16"))
    handed_on = file.keys.count("embedding_length") * activation_bytes(weights)
    windows, notes = _windows(file)
    head, tie = _head(file)
    blocks = (
        _embed(file, handed_on),
        *(_layer(file, at, windows[at], kv_bytes, handed_on) for at in range(file.layers)),
        head,
    )
    return Model(
        name=name or " ".join(str(headers[0].metadata.get("general.name") or path.stem).split()),
        blocks=blocks,
        ties=tie,
        input_bytes_per_token=TOKEN_BYTES,
        weights=weights,
        compute_dtype=known.compute_dtype if known else "bfloat16",
        notes=notes,
    )


def tensor_bytes(tensor: GgufTensor, sizes: Mapping[int, tuple[int, int]]) -> int:
    """Return the stored bytes of a tensor."""
    block, size = sizes[tensor.format]
    return tensor.params // block * size


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
    for header in headers:
        for tensor in header.tensors:
            block = block_of(tensor.name)
            if block is not None and block in grouped:
                grouped[block].append(tensor)
    empty = next((at for at, tensors in grouped.items() if not tensors and at != HEAD), None)
    if empty is not None:
        raise InputError(f"there is no tensor of {'the embedding' if empty == EMBED else f'layer {empty}'}", where)
    return _File(keys, grouped, sizes, layers, arch)


def _embed(file: _File, handed_on: float) -> Block:
    return Block(
        name="embed",
        weight_bytes=file.bytes_of(file.tensors[EMBED]),
        kind="embed",
        activation_bytes_per_token=handed_on,
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


def _layer(file: _File, at: int, window: int | None, kv_bytes: float, handed_on: float) -> Block:
    tensors = file.tensors[at]
    routed = [tensor for tensor in tensors if is_routed(tensor.name)]
    experts = file.keys.count("expert_count") if routed else 0
    used = min(experts, file.keys.count("expert_used_count")) if routed else 0
    dense = sum(t.params for t in tensors if len(t.dims) > 1 and not is_routed(t.name))
    active = dense + (sum(t.params for t in routed) * used / experts if experts else 0.0)
    kv_values, score_dims = _attention(file, at)
    return Block(
        name=f"layer.{at}",
        weight_bytes=file.bytes_of(tensors),
        kind="moe" if routed else "dense",
        kv_bytes_per_token=kv_values * kv_bytes,
        kv_window_tokens=window if kv_values else None,
        activation_bytes_per_token=handed_on,
        flops_per_token=2.0 * active,
        attention_flops_per_token=2.0 * score_dims,
        expert_bytes=file.bytes_of(routed),
        experts=experts,
        experts_per_token=used,
        params=sum(tensor.params for tensor in tensors),
    )


def _attention(file: _File, at: int) -> tuple[int, int]:
    """Return the numbers that the KV cache holds per token, and heads x (query-key + value dimensions)."""
    keys = file.keys
    heads = _per_layer(file, "attention.head_count", at, None)
    if not heads:
        return 0, 0
    kv_heads = _per_layer(file, "attention.head_count_kv", at, heads)
    width = max(1, keys.count("embedding_length") // heads)
    key = keys.count("attention.key_length", default=width)
    value = keys.count("attention.value_length", default=width)
    if "attention.kv_lora_rank" in keys:
        latent = keys.count("attention.kv_lora_rank") + keys.count("rope.dimension_count")
        return latent, heads * (
            keys.count("attention.key_length_mla", default=key)
            + keys.count("attention.value_length_mla", default=value)
        )
    return kv_heads * (key + value), heads * (key + value) if kv_heads else 0


def _per_layer(file: _File, key: str, at: int, default: int | None) -> int:
    value = file.keys.values.get(key)
    if isinstance(value, list):
        entry = file.keys.items(key)[at] if at < len(value) else None
        return file.keys.checked_count(entry, f"{file.arch}.{key}[{at}]", zero=True)
    return file.keys.count(key, default=default, zero=True)


def _windows(file: _File) -> tuple[list[int | None], tuple[str, ...]]:
    keys = file.keys
    everywhere: list[int | None] = [None] * file.layers
    window = keys.count("attention.sliding_window", default=0, zero=True)
    if not window:
        return everywhere, ()
    pattern = keys.values.get("attention.sliding_window_pattern", _PATTERNS.get(file.arch))
    if isinstance(pattern, list) and len(pattern) >= file.layers:
        return [window if slides else None for slides in pattern[: file.layers]], ()
    if isinstance(pattern, int) and pattern > 0:
        return [window if (at + 1) % pattern else None for at in range(file.layers)], ()
    note = f"The sliding window of {window} tokens is not used: the file does not say which layers have it."
    return everywhere, (note,)


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
