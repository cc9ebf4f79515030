"""How far a predicted figure may be off: from the residuals of the measurements that are most like the question.

A width is the factor that 90% of the residuals of a group stay within, each measurement predicted by a fit that left
its source out. Groups are told by runtime, device class and figure; a small group has the width of its parent. Without
a runtime the widths are those of the generic profile on the same measurements.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..catalog.runtimes import fitted, runtime_aliases
from ..question.request import Request
from .runtimes import GENERIC, class_of, costs_or_generic, lineage

GENERATION, PROMPT, COMPARISON = "generation", "prompt", "comparison"
WIDEST: Mapping[str, float] = {GENERATION: 2.0, PROMPT: 3.0, COMPARISON: 1.1}
"""Where no group says anything."""
OF_FIGURE: Mapping[str, str] = {
    "time_per_token_s": GENERATION,
    "tokens_per_s": GENERATION,
    "bottleneck_s": GENERATION,
    "energy_per_token_j": GENERATION,
    "request_time_s": GENERATION,
    "ttft_s": PROMPT,
}
"""Figures of a plan, and the kind of measurement that tells of their error."""


def width_of(runtime: str, kind: str, figure: str) -> float:
    """Factor, at least 1, that a figure of this runtime and device class stays within in 90% of the cases."""
    name = runtime_aliases().get(runtime, GENERIC)
    for group in (name, "llama.cpp" if name == "llama.cpp-rpc" else name, "any"):
        for level in lineage(kind):
            found = fitted()["intervals"].get(group, {}).get(level, {}).get(figure)
            if found is not None:
                return float(found)
    return WIDEST[figure]


def interval_of(request: Request, figure: str, value: float) -> tuple[float, float]:
    """Return the interval that a predicted figure lies in with 90%.

    Parameters
    ----------
    request : Request
        Its runtime and the device classes of its nodes choose the group; of several classes the widest counts.
    figure : str
        Name of a figure of a plan, such as "time_per_token_s".
    value : float
        The predicted value.

    Returns
    -------
    (float, float)
        Low and high; both are `value` for a figure that is not a time, such as the price.
    """
    kind = OF_FIGURE.get(figure)
    if kind is None:
        return value, value
    measured = all(node.decode_table or node.decode_s_per_block for node in request.cluster.nodes)
    if measured:  # a profile of one's own: what the emulated hosts of docs/running.md show
        return value / 1.2, value * 1.2
    runtime = request.runtime or request.costs
    width = max(width_of(runtime, class_of(node), kind) for node in request.cluster.nodes)
    return value / width, value * width


def cannot_tell(request: Request, first: float, second: float) -> bool:
    """Whether two values of one figure are too close to say which plan of this request is better.

    Errors of plans on the same devices go together, so this is narrower than the interval of either value.
    """
    runtime = request.runtime or request.costs
    width = max(width_of(runtime, class_of(node), COMPARISON) for node in request.cluster.nodes)
    low, high = sorted((first, second))
    return high <= low * width


def cost_notes(request: Request) -> tuple[str, ...]:
    """Sentences for people: whose costs the figures are, and how far they may be off."""
    runtime = request.runtime or request.costs
    costs = costs_or_generic(runtime)
    if costs.name == GENERIC:
        why = f"no costs are known of {runtime}" if runtime else "no runtime named"
        return (f"{why}: times are the catalog's by device class, expect tens of percent",)
    kinds = sorted({class_of(node) for node in request.cluster.nodes})
    generation = max(width_of(runtime, kind, GENERATION) for kind in kinds)
    prompt = max(width_of(runtime, kind, PROMPT) for kind in kinds)
    return (
        f"costs of {costs.name} on {', '.join(kinds)}: time per token within a factor {generation:.2f} and prompts "
        f"within {prompt:.2f} in 9 of 10 published runs",
    )
