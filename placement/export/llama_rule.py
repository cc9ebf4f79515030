"""llama.cpp's own rule for layers: `--tensor-split` and `-ngl` to the device of each layer.

`load_tensors` in src/llama-model.cpp: with L layers there are L + 1 slots, the last one for the output. The first
L + 1 - ngl slots stay on the CPU; slot s of the others goes to the first device whose cumulated share of the split, in
float32, is above (s - first) / slots. Whole numbers of layers, with one added for the output on the last device, come
back exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .patterns import Name, Pattern, compiled

CPU = -1
# Tensors of each part of a layer: an override that catches some of a part's splits it.
PROBES = {
    "attention": ("attn_q.weight", "attn_norm.weight", "attn_output.weight"),
    "ffn": ("ffn_down.weight", "ffn_up.weight", "ffn_gate.weight"),
    "experts": ("ffn_down_exps.weight", "ffn_up_exps.weight", "ffn_gate_exps.weight"),
}
SHARED = ("ffn_down_shexp.weight", "ffn_up_shexp.weight", "ffn_gate_inp.weight")
SMALL = 0.01  # part of a layer's bytes that may go along with its experts

MOST_STEPS = 10_000_000  # of patterns times layers: some seconds


def devices_of_slots(split: Sequence[float], n_layers: int, ngl: int) -> list[int]:
    """Device number of each of the L + 1 slots; `CPU` for those that are not offloaded."""
    slots = min(ngl, n_layers + 1)
    first = n_layers + 1 - slots
    if slots and (not split or sum(split) <= 0):
        raise InputError("expected at least one number above 0 in --tensor-split")
    shares = np.cumsum(np.asarray(split, dtype=np.float32), dtype=np.float32)
    shares = shares / shares[-1] if slots else shares
    found = [CPU] * first
    for slot in range(slots):
        place = np.float32(slot) / np.float32(slots)
        found.append(int(np.searchsorted(shares, place, side="right")))
    return found


@dataclass(frozen=True, slots=True)
class Moved:
    """The node of a layer, and the part of it that lies in main memory; empty where none does."""

    node: str
    away: str = ""


def parts_moved(
    layers: Sequence[str], overrides: Sequence[tuple[str, str]], parts: Sequence[Mapping[str, float]] = ()
) -> list[Moved]:
    """Nodes of the layers after `-ot PATTERN=BUFFER`; the first pattern that matches a tensor wins.

    Parameters
    ----------
    layers : sequence of str
        Nodes of the layers before.
    overrides : sequence of (str, str)
        Patterns, each with the node of its buffer, "CPU" for main memory.
    parts : sequence of mapping of str to float
        Bytes of each layer by part; empty: attention and feed-forward or experts are not told apart.

    Raises
    ------
    InputError
        A part of a layer is split, or lies on another card.
    """
    known = patterns(overrides, len(layers))
    return [_moved(layer, node, known, parts[layer] if parts else {}) for layer, node in enumerate(layers)]


def _moved(layer: int, node: str, known: Sequence[tuple[Pattern, str]], parts: Mapping[str, float]) -> Moved:
    where = {part: _of_part(layer, part, known, parts) for part in parts or PROBES}
    targets = set(where.values())
    if len(targets) == 1:
        return Moved(targets.pop() or node)
    gone = [part for part, target in where.items() if target == "CPU"]
    if not parts or not gone or targets - {None, "CPU"} or "attention" in gone:
        raise InputError(f"-ot moves a part of layer {layer} only, and not to main memory: such a split is not read")
    if "experts" in gone:
        beside = sum(parts[part] for part in gone if part != "experts")
        if beside > SMALL * sum(parts.values()):
            raise InputError(f"-ot moves the experts of layer {layer} and more of it: one part of a layer is read")
        return Moved(node, "experts")
    if "experts" in parts:
        raise InputError(f"-ot moves a part of layer {layer} that is neither its experts nor all of it")
    return Moved(node, "ffn")


def _of_part(layer: int, part: str, known: Sequence[tuple[Pattern, str]], parts: Mapping[str, float]) -> str | None:
    probes = SHARED if part == "ffn" and "experts" in parts else PROBES[part]
    caught = {_first(f"blk.{layer}.{probe}", known) for probe in probes}
    if len(caught) > 1:
        raise InputError(
            f"-ot moves some tensors of the {part} of layer {layer} only; a part of a layer is the smallest unit of a "
            "plan, so such a split cannot be read"
        )
    return caught.pop()


def patterns(overrides: Sequence[tuple[str, str]], n_layers: int) -> list[tuple[Pattern, str]]:
    """Compile the patterns of overrides; refuse so many that reading them for every layer would take long."""
    found = [(compiled(pattern), buffer) for pattern, buffer in dict.fromkeys(overrides)]
    if sum(pattern.cost for pattern, _ in found) * n_layers > MOST_STEPS:
        raise InputError("expected fewer or shorter -ot patterns, got more than can be tried on every layer")
    return found


def _first(tensor: str, known: Sequence[tuple[Pattern, str]]) -> str | None:
    name = Name(tensor)
    return next((buffer for pattern, buffer in known if pattern.found_in(name)), None)
