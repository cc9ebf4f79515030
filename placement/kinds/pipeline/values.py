"""A plan's figures by the names of the objectives, as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from placement.plan.plan import Plan


def term_values(plan: Plan) -> dict[str, float]:
    """Return the value of every built-in objective that a plan's figures hold (throughput in tokens/s)."""
    figures = plan.figures
    return {
        "latency": figures.time_per_token_s,
        "ttft": figures.ttft_s,
        "request_time": figures.request_time_s,
        "throughput": figures.tokens_per_s,
        "price": figures.price_per_hour,
        "energy": figures.energy_per_token_j,
        "bottleneck": plan.bottleneck.seconds,
    }
