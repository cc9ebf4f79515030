"""One look at a language model of `transformers`: its chain, its experts, and the cache that it makes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from placement.errors import InputError

from .caches import CacheLayer, Fills, bytes_by_name, kept_by, stored, watched
from .chain import Chain, find_chain
from .experts import Experts, find_experts, passed_through
from .ghost import Ghost, OverdueError
from .resolve import one_line
from .trace import Recorder

TOKENS = 8
"""Tokens of the prompt: enough to tell a token from a sequence, few enough for loops over tokens."""

OTHERS = 24
"""Positions of an image, where layers attend to one."""

LONG = (511, 512)
"""Prompts that tell how the odd tensors of a cache grow: the first fills their buffers, the second leaves none."""

_HOLDERS = ("past_key_values", "cache_params", "cache", "state", "mems")


@dataclass(frozen=True)
class Survey:
    """What one pass through a model showed.

    Attributes
    ----------
    module : nn.Module
    chain : Chain
    experts : Experts
    kept : mapping of int to CacheLayer
        What each segment keeps in the cache; a block that runs twice may keep it twice.
    growth : mapping of int to float
        Bytes per token of the odd tensors of a segment.
    fillers : mapping of int to frozenset of str
        Names of the modules, directly under the block, that fill its cache.
    keyed : frozenset of int
        Calls of modules that keep keys and values.
    filled : frozenset of int
        Segments that fill a cache of any sort.
    """

    module: nn.Module
    chain: Chain
    experts: Experts
    kept: Mapping[int, CacheLayer]
    growth: Mapping[int, float]
    fillers: Mapping[int, frozenset[str]]
    keyed: frozenset[int]
    filled: frozenset[int]


def survey(module: nn.Module, where: str) -> Survey:
    """Return what one pass of a few tokens through a language model shows.

    Parameters
    ----------
    module : nn.Module
        On the meta device.
    where : str
        What errors call the model.

    Raises
    ------
    InputError
        The model cannot be run without data, or is no chain.
    """
    takes = getattr(module, "main_input_name", "input_ids")
    if takes != "input_ids":
        raise InputError(
            f"{type(module).__name__} takes {takes} and no tokens: read the module itself, read_model(module)", where
        )
    module.eval()
    experts = find_experts(module)
    before = _attributes(module)
    recorder, fills, output = _pass(module, experts, where)
    chain = find_chain(module, recorder.trace)
    if chain is None:
        raise InputError(f"{type(module).__name__} has no list of layers that run one after another", where)
    segments = _filled(chain, fills)
    made = (getattr(output, name, None) for name in _HOLDERS)
    holder = next((value for value in made if value is not None), fills.holder)
    kept, odd = _kept(holder, segments, chain)
    for segment, more in _inner_states(module, before, chain).items():
        kept[segment] = _sum(kept.get(segment, CacheLayer()), more)
    growth = _growth(module, experts, kept, segments, chain, where) if odd else {}
    for segment, (_, constant) in growth.items():
        kept[segment] = replace(kept[segment], state_bytes=kept[segment].state_bytes + constant)
    rates = {segment: rate for segment, (rate, _) in growth.items()}
    return Survey(
        module, chain, experts, kept, rates, _fillers(chain, fills), _keyed(fills), frozenset(segments.values())
    )


def _pass(module: nn.Module, experts: Experts, where: str) -> tuple[Recorder, Fills, Any]:
    """Run a few tokens through a model; a cache that it makes too short for itself is replaced by one that grows."""
    from transformers.cache_utils import DynamicCache

    for growing in (False, True):
        recorder = Recorder(module)
        try:
            with (
                _told(module, where),
                passed_through(module, experts),
                watched(lambda: recorder.call) as fills,  # noqa: B023 (called inside of the loop's pass alone)
                recorder.running(),
            ):
                inputs = _inputs(module, TOKENS)
                recorder.given([value for name, value in inputs.items() if name.endswith("input_ids")])
                return recorder, fills, module(**inputs, **({"past_key_values": DynamicCache()} if growing else {}))
        except InputError as error:
            if growing or not isinstance(error.__context__, IndexError):
                raise
    raise AssertionError("a pass ends by a result or an error")


def _inputs(module: nn.Module, tokens: int) -> dict[str, Any]:
    known = inspect.signature(module.forward).parameters
    ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    inputs: dict[str, Any] = {"input_ids": ids}
    if getattr(getattr(module, "config", None), "is_encoder_decoder", False) and "decoder_input_ids" in known:
        inputs["decoder_input_ids"] = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    if "cross_attention_states" in known:
        hidden = module.config.get_text_config().hidden_size  # type: ignore[operator, union-attr]
        inputs["cross_attention_states"] = torch.zeros(1, OTHERS, hidden, dtype=torch.bfloat16, device="meta")
    if "use_cache" in known or any(known[name].kind is inspect.Parameter.VAR_KEYWORD for name in known):
        inputs["use_cache"] = True
    return inputs


@contextlib.contextmanager
def _told(module: nn.Module, where: str) -> Iterator[None]:
    name = type(module).__name__
    try:
        yield
    except InputError:
        raise
    except OverdueError:
        raise InputError(f"{name} takes too long to be run without data", where) from None
    except Exception as error:
        raise InputError(f"{name} cannot be run without data: {one_line(error)}", where) from None


def _filled(chain: Chain, fills: Fills) -> dict[int, int]:
    """Return the segment that fills each layer of the cache."""
    operations = chain.trace.calls
    return {
        layer: chain.segment_at(operations[calls[0][0]].begin) if calls[0][0] >= 0 else 0
        for layer, calls in fills.calls.items()
    }


def _fillers(chain: Chain, fills: Fills) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for calls in fills.calls.values():
        for call, _ in calls:
            if call < 0:
                continue
            segment = chain.segment_at(chain.trace.calls[call].begin)
            path = chain.trace.calls[call].path
            if 0 < segment <= chain.count and path.startswith(f"{chain.paths[segment - 1]}."):
                inner = path.removeprefix(f"{chain.paths[segment - 1]}.").partition(".")[0]
                found.setdefault(segment, set()).add(inner)
    return {segment: frozenset(names) for segment, names in found.items()}


def _keyed(fills: Fills) -> frozenset[int]:
    return frozenset(call for calls in fills.calls.values() for call, name in calls if name == "update")


def _kept(holder: Any, segments: Mapping[int, int], chain: Chain) -> tuple[dict[int, CacheLayer], bool]:
    crossed = getattr(getattr(holder, "cross_attention_cache", None), "layers", None)
    holder = getattr(holder, "self_attention_cache", holder)
    layers = getattr(holder, "layers", None)
    kept: dict[int, CacheLayer] = {}
    if isinstance(layers, list):
        # What a decoder keeps of the encoder's text has the same numbers of layers as what it keeps of its own.
        for number, layer in (*enumerate(layers), *enumerate(crossed or ())):
            found = kept_by(layer, TOKENS, OTHERS)
            if number in segments and found != CacheLayer(window=found.window):
                kept[segments[number]] = _sum(kept.get(segments[number], CacheLayer()), found)
    elif holder is not None:
        kept = _spread(holder, chain)
    return kept, any(entry.odd for entry in kept.values())


def _spread(holder: Any, chain: Chain) -> dict[int, CacheLayer]:
    """Return the state of each block where a model keeps all of it in one place."""
    named = list(stored(holder)) if hasattr(holder, "__dict__") else list(stored(_Box(holder)))
    total = sum(float(tensor.numel() * tensor.element_size()) for _, tensor in named)
    return (
        {segment: CacheLayer(state_bytes=total / chain.count) for segment in range(1, chain.count + 1)} if total else {}
    )


class _Box:
    def __init__(self, value: Any) -> None:
        self.value = value


def _sum(one: CacheLayer, other: CacheLayer) -> CacheLayer:
    if not one.values:
        window = other.window
    elif not other.values or one.window == other.window:
        window = one.window
    else:
        window = None
    return CacheLayer(
        one.values + other.values,
        window,
        one.index + other.index,
        one.state_bytes + other.state_bytes,
        (*one.odd, *other.odd),
    )


def _attributes(module: nn.Module) -> dict[tuple[str, str], int]:
    return {
        (path, name): id(value)
        for path, child in module.named_modules()
        for name, value in vars(child).items()
        if isinstance(value, torch.Tensor)
    }


def _inner_states(module: nn.Module, before: Mapping[tuple[str, str], int], chain: Chain) -> dict[int, CacheLayer]:
    """Return the states that modules keep in attributes of their own, made by the pass."""
    segments = {path: number for number, path in reversed(list(enumerate(chain.paths, start=1)))}
    found: dict[int, CacheLayer] = {}
    for path, child in module.named_modules():
        for name, value in vars(child).items():
            if not isinstance(value, torch.Tensor) or not value.numel() or before.get((path, name)) == id(value):
                continue
            segment = next((number for item, number in segments.items() if path.startswith(f"{item}.")), None)
            if segment is None or not ("state" in name or "cache" in name):
                continue
            size = float(value.numel() * value.element_size())
            more = CacheLayer(state_bytes=size)
            if name in ("key_states", "value_states", "key_cache", "value_cache") and value.dim() == 4:
                more = CacheLayer(value.numel() / value.shape[2], int(value.shape[2]))
            found[segment] = _sum(found.get(segment, CacheLayer()), more)
    return found


def _growth(
    module: nn.Module,
    experts: Experts,
    kept: Mapping[int, CacheLayer],
    segments: Mapping[int, int],
    chain: Chain,
    where: str,
) -> dict[int, tuple[float, float]]:
    """Return bytes per token, and bytes that do not grow, of the odd tensors that each segment keeps."""
    alike: dict[CacheLayer, list[int]] = {}
    for segment, entry in kept.items():
        if entry.odd:
            alike.setdefault(entry, []).append(segment)
    first = {group[0]: group for group in alike.values()}
    sizes: list[dict[int, float]] = []
    for tokens in LONG:
        kinds = _only(module, [chain.paths[segment - 1] for segment in first])
        with _told(module, where), passed_through(module, experts), kinds, torch.no_grad(), Ghost():
            output = module(**_inputs(module, tokens))
        at_length = dict.fromkeys(first, 0.0)
        for number, layer in enumerate(output.past_key_values.layers):
            if segments.get(number) in first:
                odd = set(kept_by(layer, tokens).odd)
                size = sum(size for name, size in bytes_by_name(layer).items() if name in odd)
                at_length[segments[number]] += size
        sizes.append(at_length)
    found: dict[int, tuple[float, float]] = {}
    for at, group in first.items():
        rate = sizes[1][at] / LONG[1]
        found |= dict.fromkeys(group, (rate, max(0.0, sizes[0][at] - rate * LONG[0])))
    return found


@contextlib.contextmanager
def _only(module: nn.Module, paths: list[str]) -> Iterator[None]:
    """Leave only some items in a list of modules: one layer of each kind tells what all of its kind do."""
    holder = module.get_submodule(paths[0].rpartition(".")[0])
    items: Any = holder._modules
    if not isinstance(holder, nn.ModuleList):
        yield
        return
    try:
        holder._modules = {str(at): module.get_submodule(path) for at, path in enumerate(paths)}
        yield
    finally:
        holder._modules = items
