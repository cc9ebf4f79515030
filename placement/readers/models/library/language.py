"""A configuration as blocks, read off the module that `transformers` makes of it on the meta device."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from placement.errors import InputError

from ..parts import Beside, Layer, Part, Shape, Shared
from .caches import CacheLayer
from .ghost import Ghost, OverdueError
from .resolve import one_line, resolve, whole_number
from .roles import piece_of, role_of
from .survey import TOKENS, Survey, survey

STATE_OPERATIONS = 6.0
"""Operations per number of a recurrent state and token: decay, outer product and sum, read-out (two each)."""

INDEX_BYTES = 1 + 4 / 128
"""Bytes of a number in the keys of a sparse attention's index: 8 bits and a 32-bit scale per 128 (vLLM, SGLang)."""

_KINDS = (
    ("draft", ("mtp", "nextn", "draft", "eagle", "medusa")),
    ("vision", ("vis", "image", "img", "patch", "video", "multi_modal", "mm_projector", "qformer", "pixel")),
    ("audio", ("audio", "speech", "sound", "codec", "mimi", "whisper")),
)


def read_library(values: Mapping[str, Any], where: str = "config.json") -> Shape:
    """Return the blocks of the model that a configuration describes, as `transformers` builds it.

    Parameters
    ----------
    values : mapping
        What a config.json holds.
    where : str
        What errors call the file.

    Returns
    -------
    Shape
        Tensors by role and layer, caches and operations.

    Raises
    ------
    InputError
        The model is not known to the installed `transformers`, cannot be built, or is no chain.
    """
    values = copy.deepcopy(dict(values))  # transformers writes into what it is given
    with quiet():
        model_class, config, notes = resolve(values, where)
        try:
            seen = survey(_built(model_class, config, where, torch.bfloat16), where)
        except InputError as error:
            if "dtype" not in error.detail and "scalar type" not in error.detail:
                raise
            seen = survey(_built(model_class, config, where, torch.float32), where)
        return shape_of(seen, notes, values)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep `transformers` from writing to the screen and from asking the network."""
    from transformers.utils import logging

    before, offline = logging.get_verbosity(), os.environ.get("HF_HUB_OFFLINE")
    logging.set_verbosity(50)  # nothing but critical errors
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if offline is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = offline


def _built(model_class: Any, config: Any, where: str, dtype: torch.dtype) -> nn.Module:
    name = model_class.__name__
    for options in ({"attn_implementation": "eager"}, {}):
        try:
            with torch.device("meta"), Ghost(deadline_s=60.0):
                return model_class._from_config(config, dtype=dtype, **options)  # type: ignore[no-any-return]
        except OverdueError:
            raise InputError(f"{name} takes more than a minute to build", where) from None
        except ImportError as error:
            raise InputError(f"{name} needs a package: {one_line(error)}", where) from None
        except Exception as error:
            last = error
    raise InputError(f"{name} cannot be built from this configuration: {one_line(last)}", where)


@dataclass(frozen=True)
class _Tensor:
    """A parameter where a segment uses it."""

    name: str
    parameter: nn.Parameter
    lookup: bool
    again: bool


def shape_of(seen: Survey, notes: tuple[str, ...], values: Mapping[str, Any] | None = None) -> Shape:
    """Return the blocks of a model that was looked at."""
    chain = seen.chain
    held, unused = _held(seen)
    number_bytes = next(seen.module.parameters()).element_size()
    crossing = [size / number_bytes / TOKENS for size in chain.crossings()]
    scores = _scores(seen)
    layers = tuple(
        _layer(seen, segment, held[segment], scores[segment], crossing[segment])
        for segment in range(1, chain.count + 1)
    )
    embed = tuple(_outer_part(tensor, "") for tensor in held[0])
    last = held[chain.count + 1]
    matrices = [tensor for tensor in last if tensor.parameter.dim() > 1]
    matrices.sort(key=lambda tensor: (tensor.again, tensor.parameter.numel()))
    head = tuple(_outer_part(tensor, matrices[-1].name if matrices else "") for tensor in last)
    beside, more_notes = _beside(unused, chain.count + 1)
    cuts, cut_notes = _cuts(seen)
    return Shape(
        hidden=_hidden(seen),
        layers=layers,
        embed=embed,
        head=head,
        tied=any(part.again and part.role == "head" for part in head),
        kv_ratio=_kv_ratio(seen),
        notes=(*notes, *_said(seen, layers, values or {}), *more_notes, *cut_notes),
        handed_on=crossing[0],
        shared=_shared(seen, held),
        cuts=cuts,
        beside=beside,
    )


def _hidden(seen: Survey) -> int:
    shape = seen.chain.trace.calls[seen.chain.calls[0]].output
    return int(shape[-1]) if shape else 1


def _kv_ratio(seen: Survey) -> float:
    text = seen.module.config.get_text_config()  # type: ignore[operator, union-attr]
    heads, kv_heads = whole_number(text, "num_attention_heads"), whole_number(text, "num_key_value_heads")
    return heads / kv_heads if heads and kv_heads and kv_heads > 0 else 1.0


def _held(seen: Survey) -> tuple[list[list[_Tensor]], dict[str, nn.Parameter]]:
    """Return the tensors of each segment, and those that nothing read."""
    chain = seen.chain
    readers, lookups = chain.readers(), _only_looked_up(seen)
    held: list[list[_Tensor]] = [[] for _ in range(chain.count + 2)]
    unused: dict[str, nn.Parameter] = {}
    places: dict[str, int] = {}
    for segment, path in enumerate(chain.paths, start=1):
        places.setdefault(path, segment)
    for name, parameter in seen.module.named_parameters():
        segments = sorted(readers.get(id(parameter), ()))
        if not segments:
            inside = _inside(name, places)
            if inside is None:
                unused[name] = parameter
                continue
            again = [number for number, path in enumerate(chain.paths, start=1) if path == chain.paths[inside - 1]]
            segments = again
        for at, segment in enumerate(segments):
            held[segment].append(_Tensor(name, parameter, (id(parameter), segment) in lookups, at > 0))
    return held, unused


def _only_looked_up(seen: Survey) -> set[tuple[int, int]]:
    looked: set[tuple[int, int]] = set()
    multiplied: set[tuple[int, int]] = set()
    trace = seen.chain.trace
    for segment, operation in zip(seen.chain.segments, trace.operations, strict=True):
        for read in operation.reads:
            parameter = trace.tensors[read.tensor].parameter
            if parameter is not None:
                (looked if operation.lookup else multiplied).add((parameter, segment))
    return looked - multiplied


def _inside(name: str, places: Mapping[str, int]) -> int | None:
    place = name
    while place:
        place = place.rpartition(".")[0]
        if place in places:
            return places[place]
    return None


def _outer_part(tensor: _Tensor, head: str) -> Part:
    """Return a tensor outside of the layers; `head` is the name of the matrix that makes tokens."""
    parameter, name = tensor.parameter, tensor.name
    row = int(parameter.shape[-1]) if parameter.dim() else 1
    if parameter.dim() < 2:
        role = "bias" if name.endswith("bias") else "norm"
    elif tensor.lookup:
        role = "position" if any(word in name for word in ("position", "wpe")) else "embed"
    else:
        role = "head" if name == head else "up"
    return Part(role, parameter.numel(), row, name=name, again=tensor.again)


def _layer(seen: Survey, segment: int, tensors: list[_Tensor], scores: float, handed_on: float) -> Layer:
    prefix = f"{seen.chain.paths[segment - 1]}."
    cached = seen.fillers.get(segment, frozenset())
    parts, experts, used = [], 0, 0
    for tensor in tensors:
        routed = seen.experts.of(tensor.name)
        if routed is not None:
            experts, used = max(experts, routed.count), max(used, routed.used)
        parts.append(_part(tensor, prefix, cached, routed is not None))
    kept = seen.kept.get(segment, CacheLayer())
    growth = seen.growth.get(segment, 0.0)
    state_numbers = kept.state_bytes / 4.0 if not kept.values else 0.0
    return Layer(
        parts=tuple(parts),
        kind="moe" if experts else "dense",
        kv_values=kept.values,
        score_dims=scores,
        window=kept.window,
        experts=experts,
        experts_per_token=used or _stated_top_k(seen, experts),
        state_bytes=kept.state_bytes,
        kept_bytes=kept.index * INDEX_BYTES + growth,
        state_flops=STATE_OPERATIONS * state_numbers,
        handed_on=handed_on,
    )


def _part(tensor: _Tensor, prefix: str, cached: frozenset[str], routed: bool) -> Part:
    parameter = tensor.parameter
    name = tensor.name.removeprefix(prefix)
    dims = parameter.dim() - (1 if routed and parameter.dim() == 3 else 0)
    if routed and parameter.dim() == 2 and not name.endswith("weight"):
        dims = 1  # biases stacked by expert
    piece = "experts" if routed else piece_of(name, dims, cached)
    role = "embed" if tensor.lookup else role_of(name, dims, piece)
    row = int(parameter.shape[-1]) if parameter.dim() else 1
    return Part(role, parameter.numel(), row, routed, name, piece, tensor.again)


def _stated_top_k(seen: Survey, experts: int) -> int:
    """Return the experts per token that the configuration states, where no choice was seen."""
    if not experts:
        return 0
    text: Any = seen.module.config.get_text_config()  # type: ignore[operator, union-attr]
    names = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts", "experts_per_token")
    found = [value for name in names if (value := whole_number(text, name)) and value > 0]
    return min(experts, found[0]) if found else experts


def _scores(seen: Survey) -> list[float]:
    """Return heads x (query-key + value dimensions) of each segment, from the products of activations in attention.

    Of a layer that keeps keys and values, the module that keeps them counts; of one that keeps nothing (an encoder's,
    or one that reads another layer's cache), the modules whose name says attention.
    """
    chain = seen.chain
    keyed: dict[int, bool] = {-1: False}
    named: dict[int, bool] = {-1: False}
    for number, call in enumerate(chain.trace.calls):
        keyed[number] = number in seen.keyed or keyed[call.parent]
        named[number] = "att" in call.path.rpartition(".")[2] or named[call.parent]
    total = [0.0] * (chain.count + 2)
    for segment, operation in zip(chain.segments, chain.trace.operations, strict=True):
        values = segment in seen.kept and seen.kept[segment].values
        counts = keyed if values else (named if segment not in seen.filled else {})
        if operation.between and counts.get(operation.call):
            total[segment] += operation.flops
    return [flops / 2.0 / TOKENS**2 for flops in total]


def _shared(seen: Survey, held: list[list[_Tensor]]) -> tuple[Shared, ...]:
    where: dict[str, list[int]] = {}
    tensors: dict[str, _Tensor] = {}
    for segment, entries in enumerate(held):
        for tensor in entries:
            where.setdefault(tensor.name, []).append(segment)
            tensors[tensor.name] = tensor
    last = seen.chain.count + 1
    groups: dict[tuple[int, ...], int] = {}
    for name, segments in where.items():
        if len(segments) > 1 and segments != [0, last]:
            groups[tuple(segments)] = groups.get(tuple(segments), 0) + tensors[name].parameter.numel()
    # One tensor stands for all that the same blocks share.
    return tuple(
        Shared(blocks, Part("mixer", params, 256, again=True), copies=False) for blocks, params in groups.items()
    )


def _cuts(seen: Survey) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the boundaries that a layer's reading of another one's cache forbids, and a note."""
    chain = seen.chain
    if seen.chain.trace.calls == [] or not seen.keyed:
        return (), ()
    keepers = {segment for segment, kept in seen.kept.items() if kept.values}
    text: Any = seen.module.config.get_text_config()  # type: ignore[operator, union-attr]
    shared = whole_number(text, "num_kv_shared_layers") or 0
    if not shared or shared >= chain.count:
        return (), ()
    kinds = list(getattr(text, "layer_types", None) or [])
    first = chain.count - shared
    readers = set(kinds[first:]) if len(kinds) == chain.count else {None}
    sources = [
        max((at for at in range(1, first + 1) if at in keepers and (kind is None or kinds[at - 1] == kind)), default=0)
        for kind in readers
    ]
    source = min((at for at in sources if at), default=first)
    note = f"Layers {first} to {chain.count - 1} read the cache of layers {source - 1} to {first - 1}: not cut apart."
    return tuple(range(source + 1, chain.count + 1)), (note,)


def _beside(unused: Mapping[str, nn.Parameter], last: int) -> tuple[tuple[Beside, ...], tuple[str, ...]]:
    groups: dict[str, list[Part]] = {}
    for name, parameter in unused.items():
        row = int(parameter.shape[-1]) if parameter.dim() else 1
        role = "norm" if parameter.dim() < 2 else "up"
        groups.setdefault(_tower(name), []).append(Part(role, parameter.numel(), row, name=name))
    found = []
    for name, parts in groups.items():
        kind = next((kind for kind, words in _KINDS if any(word in name.lower() for word in words)), "other")
        found.append(Beside(name, kind, tuple(_summed(parts)), last if kind == "draft" else 0))
    return tuple(found), ()


def _summed(parts: list[Part]) -> Iterator[Part]:
    for role in ("up", "norm"):
        params = sum(part.params for part in parts if part.role == role)
        if params:
            yield Part(role, params, 256)


def _tower(name: str) -> str:
    words = name.split(".")
    while len(words) > 2 and words[0] in ("model", "language_model", "transformer"):
        words = words[1:]
    return words[0]


def _said(seen: Survey, layers: tuple[Layer, ...], values: Mapping[str, Any]) -> Iterator[str]:
    if getattr(seen.module.config, "is_encoder_decoder", False):
        yield "The cache counts every token of a context twice in a decoder: as the encoder's text and as its own."
    if not seen.kept:
        yield "The model makes no cache of a prompt: none is counted."
    index = sum(1 for kept in seen.kept.values() if kept.index)
    if index:
        yield f"{index} layers keep the keys of an index in 8 bits, as runtimes do."
    empty = [
        number
        for number in range(1, seen.chain.count + 1)
        if number not in seen.kept and number in seen.filled and _cross_attention(seen, number)
    ]
    if empty:
        yield f"{len(empty)} layers attend to images only: their cache holds no text and is not counted."
    text = values.get("text_config") if isinstance(values.get("text_config"), Mapping) else values
    heads = next(
        (
            key
            for key in ("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers")
            if isinstance(text, Mapping) and isinstance(text.get(key), int) and text[key] > 0
        ),
        None,
    )
    if heads and isinstance(text, Mapping):
        yield f"The draft head ({heads}: {text[heads]}) is no part of the chain, and is not counted."


def _cross_attention(seen: Survey, segment: int) -> bool:
    path = seen.chain.paths[segment - 1]
    return any("cross_at" in name for name, _ in seen.module.get_submodule(path).named_modules())
