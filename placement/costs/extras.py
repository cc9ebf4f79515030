"""Seconds that modules beside the chain add to a prompt: a vision tower computes its images before the first block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..question.cluster import Node
from ..question.model import Model
from .rates import rates_of
from .runtimes import RuntimeCosts

FloatArray = npt.NDArray[np.float64]


def prompt_extras_s(node: Node, model: Model, costs: RuntimeCosts) -> FloatArray:
    """Return the seconds (L,) that a prompt takes beside each block on a node.

    Parameters
    ----------
    node : Node
    model : Model
        With its extras.
    costs : RuntimeCosts

    Raises
    ------
    InputError
        An extra has work to do, and the node does not say how fast it is.
    """
    seconds = np.zeros(model.n_blocks)
    for extra in model.extras:
        if not extra.prompt_flops:
            continue
        if not node.peak_flops_per_s(model.compute_dtype):
            what = f"what '{extra.name}' takes is computed: expected a device, or compute"
            raise InputError(what, f"nodes[{node.name}]")
        seconds[extra.block] += extra.prompt_flops / rates_of(node, model, costs).flops_per_s
    return seconds


def extra_cache_bytes(model: Model, context_tokens: int) -> FloatArray:
    """Return the bytes (L,) of caches of one sequence beside those of each block."""
    held = np.zeros(model.n_blocks)
    for extra in model.extras:
        held[extra.block] += extra.state_bytes + extra.kv_bytes_per_token * context_tokens
    return held
