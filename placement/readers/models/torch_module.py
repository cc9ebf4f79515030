"""A `torch.nn.Module`, on the meta device if you like: its parameters give the bytes, its config the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from placement.errors import InputError
from placement.question.model import Block, Model, Tie

from .build import TOKEN_BYTES, activation_bytes
from .config import read_config
from .names import EMBED, HEAD, block_of, is_other_tower, is_routed
from .quantization import QUANTIZATIONS, canonical


@dataclass(slots=True)
class _Held:
    """What one block of a module holds."""

    bytes: float = 0.0
    routed_bytes: float = 0.0
    params: int = 0
    matrix_params: int = 0
    tensors: dict[int, Tensor] = field(default_factory=dict)


def read_module(module: nn.Module, *, name: str | None = None, kv_dtype: str | None = None) -> Model:
    """Return the model that a torch module is.

    Parameters
    ----------
    module : torch.nn.Module
        Has its layers in one `nn.ModuleList` or `nn.Sequential`; meta tensors are enough.
    name : str, optional
        Name of the model; by default that of its class.
    kv_dtype : str, optional
        Number format of the KV cache.

    Notes
    -----
    With a Hugging Face `module.config` of a known kind, operations, KV cache and windows come from it. Otherwise a
    layer costs 2 operations per parameter and token, and no KV cache is counted; `Model.notes` says so.
    """
    path, layers = _layer_list(module)
    held, elsewhere = _held(module, path, layers)
    dtype = _dtype(held)
    title = name or type(module).__name__
    described = _described(module, layers, dtype, kv_dtype, title)
    notes: tuple[str, ...] = ()
    if isinstance(described, str):
        notes = (f"{described}: 2 operations per parameter and token, no KV cache counted.",)
        described = _plain(held, layers, dtype, title)
    if elsewhere:
        notes = (*notes, f"{elsewhere / 1e9:.2f} GB of other towers are left out.")
    return replace(described, blocks=_with_true_sizes(described, held), ties=_ties(held), notes=described.notes + notes)


def _layer_list(module: nn.Module) -> tuple[str, int]:
    """Return the path and length of the list of layers: the one with most parameters, the outermost of equals."""
    best: tuple[int, str, int] | None = None
    for path, child in module.named_modules():
        if not isinstance(child, nn.ModuleList | nn.Sequential) or len(child) == 0 or is_other_tower(path):
            continue
        if isinstance(child, nn.Sequential) and child is module:
            continue
        size = sum(parameter.numel() for parameter in child.parameters())
        if size and (best is None or size > best[0]):
            best = (size, path, len(child))
    if best is None:
        found = type(module).__name__
        raise InputError(f"expected a module with its layers in an nn.ModuleList, found none in {found}", "model")
    return best[1], best[2]


def _held(module: nn.Module, path: str, layers: int) -> tuple[Mapping[int, _Held], float]:
    held = {EMBED: _Held(), HEAD: _Held(), **{at: _Held() for at in range(layers)}}
    elsewhere = 0.0
    passed = False
    seen: set[int] = set()
    for name, tensor in _tensors(module):
        size = float(tensor.numel() * tensor.element_size())
        inside = name.startswith(f"{path}.")
        passed = passed or inside
        if is_other_tower(name):
            elsewhere += size
            continue
        block = int(name[len(path) + 1 :].split(".", 1)[0]) if inside else _outer(name, passed)
        entry = held[block]
        entry.tensors[id(tensor)] = tensor
        entry.bytes += size
        entry.routed_bytes += size if is_routed(name) else 0.0
        entry.matrix_params += tensor.numel() if tensor.dim() > 1 else 0
        entry.params += tensor.numel() if id(tensor) not in seen else 0
        seen.add(id(tensor))
    return held, elsewhere


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters, tied ones under each of their names, and the buffers that are saved with the weights."""
    saved = module.state_dict(keep_vars=True)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, tensor in saved.items():
        if isinstance(tensor, Tensor):
            yield name, parameters.get(name, tensor)


def _outer(name: str, passed: bool) -> int:
    """Return the block of a tensor outside of the layers: by its name, else by its place in the module."""
    block = block_of(name)
    if block in (EMBED, HEAD):
        return block
    return HEAD if passed else EMBED


def _dtype(held: Mapping[int, _Held]) -> str:
    shares: dict[str, float] = {}
    for entry in held.values():
        for tensor in entry.tensors.values():
            kind = canonical(str(tensor.dtype))
            shares[kind] = shares.get(kind, 0.0) + tensor.numel() * tensor.element_size()
    name = max(shares, key=lambda kind: shares[kind]) if shares else "float32"
    return name if name in QUANTIZATIONS else "bfloat16"


def _described(module: nn.Module, layers: int, dtype: str, kv_dtype: str | None, name: str) -> Model | str:
    """Return the model that the module's config describes, or the reason why there is none."""
    config: Any = getattr(module, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(values, Mapping):
        return "The module has no config"
    try:
        model = read_config(values, weights=dtype, kv_dtype=kv_dtype, name=name)
    except InputError as error:
        return f"The module's config is of no use ({error})"
    if model.n_blocks != layers + 2:
        return f"The module has {layers} layers and its config says {model.n_blocks - 2}"
    return model


def _plain(held: Mapping[int, _Held], layers: int, dtype: str, name: str) -> Model:
    matrices = [tensor for tensor in held[EMBED].tensors.values() if tensor.dim() > 1]
    width = max((tensor.shape[-1] for tensor in matrices), default=_narrowest(held[0]))
    handed_on = width * activation_bytes(dtype)
    inner = [
        Block(
            name=f"layer.{at}",
            weight_bytes=0.0,
            activation_bytes_per_token=handed_on,
            flops_per_token=2.0 * held[at].matrix_params,
        )
        for at in range(layers)
    ]
    embed = Block("embed", 0.0, kind="embed", activation_bytes_per_token=handed_on, lookup=True)
    operations = 2.0 * held[HEAD].matrix_params
    head = Block(
        "head", 0.0, "head", activation_bytes_per_token=TOKEN_BYTES, flops_per_token=operations, last_token_only=True
    )
    compute = QUANTIZATIONS[dtype].compute_dtype
    return Model(name, (embed, *inner, head), weights=dtype, compute_dtype=compute)


def _narrowest(layer: _Held) -> int:
    return min((int(tensor.shape[-1]) for tensor in layer.tensors.values() if tensor.dim() > 1), default=1)


def _with_true_sizes(model: Model, held: Mapping[int, _Held]) -> tuple[Block, ...]:
    order = (EMBED, *range(model.n_blocks - 2), HEAD)
    return tuple(
        replace(
            block,
            weight_bytes=held[at].bytes,
            expert_bytes=held[at].routed_bytes if block.experts else 0.0,
            params=held[at].params,
        )
        for block, at in zip(model.blocks, order, strict=True)
    )


def _ties(held: Mapping[int, _Held]) -> tuple[Tie, ...]:
    shared = held[EMBED].tensors.keys() & held[HEAD].tensors.keys()
    if not shared:
        return ()
    size = sum(tensor.numel() * tensor.element_size() for at, tensor in held[EMBED].tensors.items() if at in shared)
    return (Tie((0, len(held) - 1), copies=True, shared_bytes=float(size)),)
