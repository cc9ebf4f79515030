"""Any module as a chain of blocks, found by a pass without data: what runs, in which order, and what passes between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from placement.question.model import Block, Extra, Model, Tie

from ..quantization import QUANTIZATIONS
from .chain import Chain, find_chain
from .ghost import OverdueError
from .inputs import examples
from .resolve import one_line
from .trace import Recorder

DEADLINE_S = 60.0
"""Seconds that one try to run a module may take."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A module that ran: its chain, the parameters by `id` as they stood in for the real ones, and the positions.

    Attributes
    ----------
    chain : Chain or None
        None: it ran, and is no chain.
    stands_for : mapping of int to str
        Name of the parameter that each stand-in stands for, by `id`.
    positions : int
        Positions of the sequence (tokens, patches) that the first block hands on.
    """

    chain: Chain | None
    stands_for: Mapping[int, str]
    positions: int


def run_without_data(module: nn.Module, inputs: Mapping[str, Any] | None) -> Ran | str:
    """Return what a pass through a module shows, or why there was none.

    Parameters
    ----------
    module : nn.Module
        With data or without; its data is not touched.
    inputs : mapping, optional
        Arguments of its forward; tensors stand for their shapes. By default they are guessed.
    """
    reason = f"{type(module).__name__} has no forward"
    if getattr(type(module).forward, "__name__", "") == "_forward_unimplemented":
        return reason
    reason = f"it is not known what the forward of {type(module).__name__} takes"
    training = module.training
    module.eval()
    try:
        with on_meta(module) as stands_for:
            for arguments in [dict(inputs)] if inputs is not None else examples(module):
                recorder = Recorder(module)
                try:
                    given = {name: _as_module(value, module) for name, value in arguments.items()}
                    with recorder.running(DEADLINE_S):
                        recorder.given(list(given.values()))
                        module(**given)
                except OverdueError:
                    return f"{type(module).__name__} takes more than a minute to run without data"
                except Exception as error:
                    reason = f"{type(module).__name__} cannot be run without data ({one_line(error)})"
                    continue
                chain = find_chain(module, recorder.trace)
                return Ran(chain, stands_for, _positions(chain, given))
    finally:
        module.train(training)
    return reason


@contextlib.contextmanager
def on_meta(module: nn.Module) -> Iterator[dict[int, str]]:
    """Let a module's parameters and buffers be stood in for by others without data; yield their names by `id`."""
    places: list[tuple[dict[str, Any], str, Any]] = []
    stands: dict[int, Any] = {}
    names: dict[int, str] = {}
    for path, child in module.named_modules():
        for table in (child._parameters, child._buffers):
            for key, tensor in table.items():
                if tensor is None:
                    continue
                if id(tensor) not in stands:
                    empty = tensor.detach().to("meta")
                    stands[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
                    names[id(stands[id(tensor)])] = f"{path}.{key}" if path else key
                places.append((table, key, tensor))
    try:
        for table, key, tensor in places:
            table[key] = stands[id(tensor)]
        yield names
    finally:
        for table, key, tensor in places:
            table[key] = tensor


def _as_module(value: Any, module: nn.Module) -> Any:
    """Return a tensor without data, floats in the number format of the module."""
    if not isinstance(value, torch.Tensor):
        return value
    dtype = next((p.dtype for p in module.parameters() if p.dtype.is_floating_point), value.dtype)
    return value.to(device="meta", dtype=dtype if value.dtype.is_floating_point else value.dtype)


def _positions(chain: Chain | None, given: Mapping[str, Any]) -> int:
    ids = next((value for value in given.values() if _is_ids(value)), None)
    if ids is not None:
        return int(ids.numel())
    shape = chain.trace.calls[chain.calls[0]].output if chain is not None else ()
    if len(shape) == 4 and shape[1] != 1:  # channels before height and width
        return int(shape[0] * shape[2] * shape[3])
    return max(1, int(torch.Size(shape[:-1]).numel())) if shape else 1


def _is_ids(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.dtype.is_floating_point and value.dim() == 2


def model_of(module: nn.Module, ran: Ran, chain: Chain, name: str, dtype: str) -> Model:
    """Return the chain of a module that ran as a model.

    Parameters
    ----------
    module : nn.Module
    ran : Ran
    chain : Chain
        Of that pass.
    name : str
    dtype : str
        Number format of most of its weights.
    """
    tensors = dict(module.named_parameters())
    held, unused = _held(module, ran, chain)
    crossing, flops = chain.crossings(), chain.flops()
    titles, seen = _titles(chain), set[str]()
    blocks, kept = [], []
    for segment in range(chain.count + 2):
        edge = segment in (0, chain.count + 1)
        size = sum(tensors[key].numel() * tensors[key].element_size() for key in held[segment])
        if edge and not size and (segment or not flops[segment]):
            continue
        fresh = [key for key in held[segment] if key not in seen]
        seen.update(fresh)
        kept.append(segment)
        out = crossing[segment] if segment <= chain.count else 4.0 * ran.positions
        blocks.append(
            Block(
                name=titles[segment],
                weight_bytes=float(size),
                kind="embed" if segment == 0 else ("head" if edge else "layer"),
                activation_bytes_per_token=out / ran.positions,
                flops_per_token=flops[segment] / ran.positions,
                lookup=segment == 0 and not flops[0],
                params=sum(tensors[key].numel() for key in fresh),
            )
        )
    return Model(
        name=name,
        blocks=tuple(blocks),
        ties=tuple(_ties(held, kept, tensors)),
        weights=dtype,
        compute_dtype=QUANTIZATIONS[dtype].compute_dtype,
        notes=(f"Operations are those of a pass over {ran.positions} positions; no KV cache is counted.",),
        extras=_extras(unused, tensors),
    )


def _titles(chain: Chain) -> list[str]:
    lists = {path.rpartition(".")[0] for path in chain.paths}
    counted: dict[str, int] = {}
    titles = ["embed"]
    for number, path in enumerate(chain.paths):
        counted[path] = counted.get(path, 0) + 1
        again = f"@{counted[path]}" if counted[path] > 1 else ""
        titles.append(
            f"layer.{number}" if len(lists) == 1 and not again and len(counted) == number + 1 else path + again
        )
    return [*titles, "head"]


def _held(module: nn.Module, ran: Ran, chain: Chain) -> tuple[list[list[str]], list[str]]:
    """Return the names of the parameters of each segment, and of those that nothing reads."""
    readers = chain.readers()
    by_name = {name: readers.get(stand, set()) for stand, name in ran.stands_for.items()}
    items = {path: number for number, path in reversed(list(enumerate(chain.paths, start=1)))}
    held: list[list[str]] = [[] for _ in range(chain.count + 2)]
    unused = []
    for name, _ in module.named_parameters():
        segments = sorted(by_name.get(name, ()))
        if not segments:
            inside = next((number for path, number in items.items() if name.startswith(f"{path}.")), None)
            if inside is None:
                unused.append(name)
                continue
            segments = [inside]
        for segment in segments:
            held[segment].append(name)
    return held, unused


def _ties(held: list[list[str]], kept: list[int], tensors: Mapping[str, nn.Parameter]) -> Iterator[Tie]:
    where: dict[str, list[int]] = {}
    for place, segment in enumerate(kept):
        for name in held[segment]:
            where.setdefault(name, []).append(place)
    groups: dict[tuple[int, ...], float] = {}
    for name, places in where.items():
        if len(places) > 1:
            size = float(tensors[name].numel() * tensors[name].element_size())
            groups[tuple(places)] = groups.get(tuple(places), 0.0) + size
    for blocks, size in groups.items():
        yield Tie(blocks, copies=blocks == (0, len(kept) - 1), shared_bytes=size)


def _extras(unused: list[str], tensors: Mapping[str, nn.Parameter]) -> tuple[Extra, ...]:
    groups: dict[str, list[str]] = {}
    for name in unused:
        groups.setdefault(name.split(".")[0], []).append(name)
    return tuple(
        Extra(
            title,
            "other",
            float(sum(tensors[name].numel() * tensors[name].element_size() for name in names)),
            params=sum(tensors[name].numel() for name in names),
        )
        for title, names in groups.items()
    )
