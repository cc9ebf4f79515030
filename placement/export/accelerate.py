"""accelerate: a `device_map`, module name to device. Any map of whole layers runs; the devices belong to one host.

Checked by `accelerate.utils.check_device_map` (every parameter is covered) and run by `dispatch_model` or
``from_pretrained(..., device_map=...)``. Source: accelerate 1.15, utils/modeling.py and big_modeling.py.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, shown
from ..files import load_json
from ..plan.plan import PlacedSpan, Plan
from ..quantities import whole_number
from .base import MOST_DIGITS, Exported, Holds, Source, Target, merged, stages
from .checks import Checked

# Modules of the families around Llama in transformers. The rotary tables are buffers that every layer reads: they sit
# where the first layer is, and hooks move what comes out of them.
EMBED_MODULE, LAYER, NORM, ROTARY, HEAD_MODULE = (
    "model.embed_tokens",
    "model.layers.",
    "model.norm",
    "model.rotary_emb",
    "lm_head",
)
_LISTS = ("layers", "h", "blocks", "block")
_LAYER = re.compile(rf"(?:^|\.)(?:{'|'.join(_LISTS)})\.(\d{{1,9}})$", re.ASCII)
_TORCH_DEVICE = re.compile(r"device\(type='(\w{1,9})', index=(\d{1,9})\)", re.ASCII)
_BARE_DEVICE = re.compile(r"device\(type='(\w{1,9})'\)", re.ASCII)
# A layer whose FFN or experts lie elsewhere is written by its modules: names that a family lacks are passed over.
_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
_ROUTERS = ("mlp.gate", "mlp.router", "mlp.shared_expert", "mlp.shared_experts", "mlp.shared_expert_gate")
_REST = {"ffn": ("self_attn", *_NORMS), "experts": ("self_attn", *_NORMS, *_ROUTERS)}
_PART = {"ffn": "mlp", "experts": "mlp.experts"}
_INSIDE = re.compile(rf"(?:^|\.)(?:{'|'.join(_LISTS)})\.(\d{{1,9}})\.([\w.]{{1,80}})$", re.ASCII)
_EMBEDS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
_HEADS = ("lm_head", "embed_out", "output")


@dataclass(frozen=True, slots=True)
class Accelerate(Checked):
    """`device_map` of transformers and accelerate."""

    name: str = "accelerate"
    holds: Holds = Holds(
        runs="any",
        embed="free",
        head="free",
        alike="region",
        tied="together",
        parts=("experts", "ffn"),
        copies=True,
        cpu="yes, and disk",
    )

    def write(self, plan: Plan, target: Target) -> Exported:
        """A JSON object; node k of the plan's cluster is device k unless `at` says cuda:1, cpu or disk."""
        known = list(dict.fromkeys([*(node.name for node in plan.nodes), *(span.node for span in plan.placement)]))
        homes = {span.home for span in plan.placement if span.home}
        usual = {name: "cpu" if name in homes else str(number) for number, name in enumerate(known)}
        device = {name: _value(target.at.get(name, usual[name])) for name in known}
        where: dict[str, Any] = {}
        for stage in stages(plan):
            mine = device[stage.node]
            if stage.embed:
                where[EMBED_MODULE] = mine
            where |= {f"{LAYER}{layer}": mine for layer in range(stage.start, stage.stop)}
            if stage.head:
                where |= {NORM: mine, HEAD_MODULE: mine}
        where[ROTARY] = where[f"{LAYER}0"]
        _divide(where, plan.placement, device)
        lost = [
            "layers run one after another: accelerate keeps one sequence in flight, whatever the plan assumes",
            "module names are those of Llama-like models in transformers",
        ]
        if homes:
            lost.append("divided layers are named by modules of several families: accelerate warns of those it lacks")
        return Exported(json.dumps(where, indent=2) + "\n", tuple(known), tuple(lost))

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """A map by layers; modules above layers (`model`, or an empty name) stand for all below them."""
        where = _map(source.text)
        last = source.n_layers + 1
        exact, inside = _by_block(where, last), _by_layer(where)
        spans = []
        for block in range(last + 1):
            card, part, home = "", "", ""
            if block - 1 in inside:
                card, part, home = _divided(block - 1, inside[block - 1], exact.get(block, ""))
            device = self._node(card or _of_block(where, exact, block, last), source)
            apart = (part, self._node(home, source)) if part else (None, None)
            spans.append(PlacedSpan(device, block, block + 1, *apart))
        return merged(spans)

    def _node(self, device: str, source: Source) -> str:
        for node, given in source.at.items():
            if device == str(_value(given)):
                return node
        nodes = source.nodes or source.known
        number = whole_number(device, MOST_DIGITS)
        if number is not None and number < len(nodes):
            return nodes[number]
        if device in nodes:
            return device
        if device == "cpu" and len(source.memories) == 1:
            return source.memories[0]
        raise InputError(f"which node is device {shown(device)}? say it with --at NODE=DEVICE")


def _divide(where: dict[str, Any], placement: Sequence[PlacedSpan], device: Mapping[str, int | str]) -> None:
    """Write the modules of layers that leave a part elsewhere in the place of these layers."""
    for span in placement:
        if span.away is None or span.home is None:
            continue
        for block in range(span.start, span.stop):
            layer = f"{LAYER}{block - 1}"
            card = where.pop(layer)
            where |= {f"{layer}.{name}": card for name in _REST[span.away]}
            where[f"{layer}.{_PART[span.away]}"] = device[span.home]


def _value(device: str) -> int | str:
    """``cuda:1`` and ``1`` are one device, written as a number."""
    number = whole_number(device.removeprefix("cuda:"), MOST_DIGITS)
    return device if number is None else number


def _map(text: str) -> dict[str, str]:
    """The map: JSON, or what Python prints of a dict or an OrderedDict (`model.hf_device_map`)."""
    data = _printed(text) if "'" in text or text.lstrip().startswith("OrderedDict") else load_json(text)
    if not isinstance(data, dict) or not all(type(device) in (int, str) for device in data.values()):
        raise InputError('expected a device_map such as {"model.layers.0": 0, "lm_head": "cpu"}')
    return {str(name): str(_value(str(device))) for name, device in data.items()}


def _printed(text: str) -> object:
    """A dict as Python prints it, devices of torch in it as their names."""
    body = _TORCH_DEVICE.sub(r"'\1:\2'", text.strip())
    body = _BARE_DEVICE.sub(r"'\1'", body)
    wrapped = body.startswith("OrderedDict(") and body.endswith(")")
    try:
        data = ast.literal_eval(body[len("OrderedDict(") : -1] if wrapped else body)
        return dict(data) if wrapped else data
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise InputError(f"expected a device_map as JSON or as Python prints it, got {shown(text)}") from None


def _by_block(where: dict[str, str], last: int) -> dict[int, str]:
    """Devices of the blocks that a module of the map is; the first one counts."""
    found: dict[int, str] = {}
    for name, device in where.items():
        leaf = name.rpartition(".")[2]
        layer = _LAYER.search(name)
        if layer and int(layer[1]) + 1 < last:
            found.setdefault(int(layer[1]) + 1, device)
        elif leaf in _EMBEDS or leaf in _HEADS:
            found.setdefault(0 if leaf in _EMBEDS else last, device)
    return found


def _by_layer(where: dict[str, str]) -> dict[int, dict[str, str]]:
    """Devices of the modules inside of layers that are divided, by layer and by their names in it."""
    found: dict[int, dict[str, str]] = {}
    for name, device in where.items():
        inside = _INSIDE.search(name)
        if inside:
            found.setdefault(int(inside[1]), {})[inside[2]] = device
    return found


def _divided(layer: int, inside: dict[str, str], whole: str) -> tuple[str, str, str]:
    """Device of a divided layer, the part of it that lies elsewhere, and where; no part where all lies together.

    Parameters
    ----------
    layer : int
        Its number, for errors.
    inside : dict of str to str
        Devices of its modules.
    whole : str
        Device of the layer itself, if the map has it.
    """
    card = inside.get("self_attn", whole)
    if not card:
        raise InputError(f"layer {layer} is divided, and the device_map has no self_attn of it")
    apart = {name: device for name, device in inside.items() if device != card}
    if not apart:
        return card, "", ""
    name, home = next(iter(apart.items()))
    part = next((part for part, module in _PART.items() if name == module), "")
    if len(apart) > 1 or not part:
        raise InputError(
            f"of layer {layer} mlp or mlp.experts may lie elsewhere, the device_map has {shown(', '.join(apart))}"
        )
    return card, part, home


def _above(where: dict[str, str], block: int, last: int) -> list[str]:
    """Modules that a block is in, the nearest first: lists of layers under any parent that the map names."""
    if block == last:
        return [""]
    roots = ["", *(name for name in where if name in ("model", "transformer", "gpt_neox", "decoder", "model.decoder"))]
    parents = dict.fromkeys(name.rpartition(".")[0] for name in where)
    tops = [*(parent for parent in parents if parent), *roots]
    lists = [f"{top}.{leaf}" if top else leaf for top in tops for leaf in _LISTS] if block else []
    return [*lists, *sorted((top for top in tops if top), key=lambda top: -len(top)), ""]


def _of_block(where: dict[str, str], exact: dict[int, str], block: int, last: int) -> str:
    """Device of a block: the module that is it, else the nearest module above it."""
    if block in exact:
        return exact[block]
    for name in _above(where, block, last):
        if name in where:
            return where[name]
    what = {0: "the embedding", last: "the head"}.get(block, f"layer {block - 1}")
    raise InputError(f"the device_map does not cover {what}")
