"""llama.cpp's own rule for layers: `--tensor-split` and `-ngl` to the device of each layer.

`load_tensors` in src/llama-model.cpp: with L layers there are L + 1 slots, the last one for the output. The first
L + 1 - ngl slots stay on the CPU; slot s of the others goes to the first device whose cumulated share of the split, in
float32, is above (s - first) / slots. Whole numbers of layers, with one added for the output on the last device, come
back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .patterns import Name, Pattern, compiled

CPU = -1
# Tensors of attention, feed-forward and experts: an override that catches some of them splits a layer.
PROBES = ("attn_q.weight", "attn_norm.weight", "ffn_down.weight", "ffn_down_exps.weight")

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


def overridden(layers: list[str], overrides: Sequence[tuple[str, str]]) -> list[str]:
    """Device names of the layers after `-ot PATTERN=BUFFER`; the first pattern that matches a tensor wins."""
    known = patterns(overrides, len(layers))
    out = list(layers)
    for layer in range(len(layers)):
        caught = [_first(f"blk.{layer}.{probe}", known) for probe in PROBES]
        if len(set(caught)) > 1:
            raise InputError(
                f"-ot moves a part of layer {layer} only; blocks are the smallest unit of a plan, so such a split "
                "cannot be read"
            )
        out[layer] = caught[0] or layers[layer]
    return out


def patterns(overrides: Sequence[tuple[str, str]], n_layers: int) -> list[tuple[Pattern, str]]:
    """Compile the patterns of overrides; refuse so many that reading them for every layer would take long."""
    found = [(compiled(pattern), buffer) for pattern, buffer in dict.fromkeys(overrides)]
    if sum(pattern.cost for pattern, _ in found) * n_layers > MOST_STEPS:
        raise InputError("expected fewer or shorter -ot patterns, got more than can be tried on every layer")
    return found


def _first(tensor: str, known: Sequence[tuple[Pattern, str]]) -> str | None:
    name = Name(tensor)
    return next((buffer for pattern, buffer in known if pattern.found_in(name)), None)
