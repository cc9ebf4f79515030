"""An objective of your own: a plain function of the terms, to minimise. Here: dollars per million tokens."""

from __future__ import annotations

from pathlib import Path

from objectives.pipeline.terms import Terms
from placement import optimize


def dollars_per_million_tokens(terms: Terms) -> float:
    """Rent of the nodes in use over the tokens that they make; `throughput` is kept as seconds per token."""
    return terms.values["price"] / 3600 * terms.values["throughput"] * 1e6


if __name__ == "__main__":
    cluster = Path(__file__).with_name("mixed_cluster.yaml")
    plan = optimize(None, cluster, objective=dollars_per_million_tokens, time_limit=3).plan
    print(f"{plan.objective.value:.2f} $ per million tokens with {', '.join(span.node for span in plan.placement)}")
