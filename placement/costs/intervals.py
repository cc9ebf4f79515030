"""How far a predicted figure may be off: from the residuals of the measurements that are most like the question.

A width is the factor that 90% of the residuals of a group stay within, each measurement predicted by a fit that left
its source out. Groups are told by runtime, device class and figure; a small group has the width of its parent. Without
a runtime the widths are those of the generic profile on the same measurements.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import lru_cache

from ..catalog.hardware import lineage
from ..catalog.runtimes import fitted
from ..question.cluster import Node
from ..question.request import Request
from .runtimes import GENERIC, class_of, costs_or_generic

ANY = "any"
GENERATION, PROMPT, COMPARISON = "generation", "prompt", "comparison"
WIDEST: Mapping[str, float] = {GENERATION: 2.0, PROMPT: 3.0, COMPARISON: 1.1}
"""Where no group says anything. Of pairs of published layer splits on the same devices, 90% of the predicted ratios of
generation are within this `comparison` of the measured one (benchmarks/fidelity/published.py prints it)."""
MEASURED = 1.2
"""Nodes with seconds of one's own: what the emulated hosts of docs/running.md show. Nothing published is narrower: a
group of a few machines that agree says little of the next one."""
HOSTS = (
    "eager passes wait for their host, and of two hosts with the same GPUs one launched kernels 1.6 times slower: "
    "`placement calibrate` with one run tells this one's"
)
OF_FIGURE: Mapping[str, str] = {
    "time_per_token_s": GENERATION,
    "tokens_per_s": GENERATION,
    "decode_tokens_per_s": GENERATION,
    "bottleneck_s": GENERATION,
    "energy_per_token_j": GENERATION,
    "request_time_s": GENERATION,
    "ttft_s": PROMPT,
    "served_tokens_per_s": GENERATION,
    "flow_tokens_per_s": GENERATION,
    "light_time_per_token_s": GENERATION,
    "light_ttft_s": PROMPT,
    "best_chain_s": GENERATION,
    "rate_per_s": GENERATION,
}
"""Figures of a plan, and the kind of measurement that tells of their error; prices and counts are known."""


def costs_are_known(request: Request) -> bool:
    """Whether a runtime is named whose costs somebody measured."""
    return costs_or_generic(request.runtime or request.costs).name != GENERIC


@lru_cache(maxsize=4096)
def width_of(runtime: str, kind: str, figure: str) -> float:
    """Factor, at least 1, that a figure of this runtime and device class stays within in 90% of the cases."""
    return _group(runtime, kind, figure)[1]


@lru_cache(maxsize=4096)
def _group(runtime: str, kind: str, figure: str) -> tuple[str, float]:
    """The runtime whose measurements tell of the error ("any": of all; empty: of none), and the width."""
    for group in (costs_or_generic(runtime).family, ANY):
        for level in lineage(kind):
            found = fitted()["intervals"].get(group, {}).get(level, {}).get(figure)
            if found is not None:
                return group, max(MEASURED, float(found))
    return "", WIDEST[figure]


def intervals_of(
    request: Request | None, used: Collection[str], figures: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """Return the intervals that predicted figures lie in with 90%.

    Parameters
    ----------
    request : Request, optional
        Its runtime and the device classes of the nodes choose the groups; of several classes the widest counts. None:
        a question whose servers state their own seconds and rates, as those of swarms and fleets do.
    used : collection of str
        Names of the nodes that the plan uses.
    figures : mapping of str to float
        Figures of a plan by name, in their units.

    Returns
    -------
    dict of str to (float, float)
        Low and high of every figure that is a time or a rate, in its unit.
    """
    prompt, generation = (MEASURED if request is None else _widest(request, used, f) for f in (PROMPT, GENERATION))
    widths = {PROMPT: prompt, GENERATION: generation}
    found = {}
    for name, value in figures.items():
        if name in OF_FIGURE and 0 < value < math.inf:
            width = widths[OF_FIGURE[name]]
            found[name] = (value / width, value * width)
    if "request_time_s" in found and "ttft_s" in found:  # a prompt, then a generation
        first, rest = figures["ttft_s"], figures["request_time_s"] - figures["ttft_s"]
        found["request_time_s"] = (first / prompt + rest / generation, first * prompt + rest * generation)
    return found


def told_apart_from(request: Request) -> float:
    """Factor from which two values of one figure say which plan of a request is better.

    Errors of plans on the same devices go together, so this is less than the width of either value's interval.
    """
    return _widest(request, request.cluster.names, COMPARISON)


def cannot_tell(request: Request, first: float, second: float) -> bool:
    """Whether two values of one figure are too close to say which plan of this request is better."""
    low, high = sorted((first, second))
    return high <= low * told_apart_from(request)


def cost_notes(request: Request, used: Collection[str]) -> tuple[str, ...]:
    """Sentences for people: whose costs the figures are, and how far they may be off; `used` are names of nodes."""
    runtime = request.runtime or request.costs
    costs = costs_or_generic(runtime)
    nodes = [node for node in request.cluster.nodes if node.name in used]
    if nodes and all(is_measured(node) for node in nodes):
        return ()
    if costs.name == GENERIC:
        why = f"no costs are known of {runtime}" if runtime else "no runtime named"
        return (f"{why}: times are estimates by device class, expect tens of percent",)
    kinds = sorted({class_of(node) for node in nodes})
    generation, prompt = (_widest(request, used, figure) for figure in (GENERATION, PROMPT))
    groups = {_group(runtime, kind, figure)[0] for kind in kinds for figure in (GENERATION, PROMPT)}
    of_all = "" if groups == {costs.family} else " of all runtimes: too few are of this one on such devices"
    return (
        f"costs of {costs.name} on {', '.join(kinds)}: time per token within a factor {generation:.2f} and prompts "
        f"within {prompt:.2f} in 9 of 10 published runs{of_all}",
        *((HOSTS,) if costs.launches_overlap and any("gpu" in lineage(kind) for kind in kinds) else ()),
    )


def is_measured(node: Node) -> bool:
    """Whether a node has seconds of one's own."""
    return bool(node.decode_table or node.decode_s_per_block)


def _widest(request: Request, used: Collection[str], figure: str) -> float:
    runtime = request.runtime or request.costs
    nodes = [node for node in request.cluster.nodes if node.name in used]
    usual = WIDEST[figure] if figure == COMPARISON else MEASURED
    widths = {usual if is_measured(node) else width_of(runtime, class_of(node), figure) for node in nodes}
    return max(widths, default=WIDEST[figure])
