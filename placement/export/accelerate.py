"""accelerate: a `device_map`, module name to device. Any map of whole layers runs; the devices belong to one host.

Checked by `accelerate.utils.check_device_map` (every parameter is covered) and run by `dispatch_model` or
``from_pretrained(..., device_map=...)``. Source: accelerate 1.15, utils/modeling.py and big_modeling.py.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, shown
from ..files import load_json
from ..plan.plan import PlacedSpan, Plan
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
_EMBEDS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
_HEADS = ("lm_head", "embed_out", "output")


@dataclass(frozen=True, slots=True)
class Accelerate(Checked):
    """`device_map` of transformers and accelerate."""

    name: str = "accelerate"
    holds: Holds = Holds(
        runs="any", embed="free", head="free", alike="region", tied="together", copies=True, cpu="yes, and disk"
    )

    def write(self, plan: Plan, target: Target) -> Exported:
        """A JSON object; node k of the plan's cluster is device k unless `at` says cuda:1, cpu or disk."""
        known = list(dict.fromkeys([*(node.name for node in plan.nodes), *(span.node for span in plan.placement)]))
        device = {name: _value(target.at.get(name, str(known.index(name)))) for name in known}
        where: dict[str, Any] = {}
        for stage in stages(plan):
            mine = device[stage.node]
            if stage.embed:
                where[EMBED_MODULE] = mine
            where |= {f"{LAYER}{layer}": mine for layer in range(stage.start, stage.stop)}
            if stage.head:
                where |= {NORM: mine, HEAD_MODULE: mine}
        where[ROTARY] = where[f"{LAYER}0"]
        return Exported(
            json.dumps(where, indent=2) + "\n",
            tuple(known),
            (
                "layers run one after another: accelerate keeps one sequence in flight, whatever the plan assumes",
                "module names are those of Llama-like models in transformers",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """A map by layers; modules above layers (`model`, or an empty name) stand for all below them."""
        where = _map(source.text)
        last = source.n_layers + 1
        exact = _by_block(where, last)
        nodes = [self._node(_of_block(where, exact, block, last), source) for block in range(last + 1)]
        return merged([PlacedSpan(node, block, block + 1) for block, node in enumerate(nodes)])

    def _node(self, device: str, source: Source) -> str:
        for node, given in source.at.items():
            if device == str(_value(given)):
                return node
        nodes = source.nodes or source.known
        if device.isascii() and device.isdigit() and len(device) <= MOST_DIGITS and int(device) < len(nodes):
            return nodes[int(device)]
        if device in nodes:
            return device
        raise InputError(f"which node is device {shown(device)}? say it with --at NODE=DEVICE")


def _value(device: str) -> int | str:
    """``cuda:1`` and ``1`` are one device, written as a number."""
    number = device.removeprefix("cuda:")
    return int(number) if number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS else device


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
