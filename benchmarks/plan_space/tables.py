"""The best plan of each space on machines that people have: layers whole, groups, parts, the default, and copies.

python -m benchmarks.plan_space.tables --seconds 6 --out tables.md

Exits with 1 where the default, or `copies: auto`, is worse than the best of the narrower spaces.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

from placement import optimize
from placement.errors import PlacementError
from placement.plan.plan import Plan

from .machines import MACHINES

ALIKE = 1e-9
SPACES = ("layers whole", "groups", "parts", "default", "copies")


def narrowed(data: dict[str, Any], space: str) -> dict[str, Any]:
    """The question with less than everything allowed."""
    found = copy.deepcopy(data)
    for node in found["nodes"]:
        if space in ("layers whole", "parts"):
            node["tensor_parallel"] = 1
        if space in ("layers whole", "groups"):
            node["offload"] = "none"
    if space in ("layers whole", "groups", "parts"):
        found["copies"] = 1
    if space == "copies" and found["objective"] == "throughput":
        found["copies"] = "auto"
    return found


def solved(data: dict[str, Any], seconds: float) -> Plan | None:
    """The plan, or None where none was found."""
    try:
        return optimize(None, data, time_limit=seconds).plan
    except PlacementError:
        return None


def rate_of(plan: Plan | None) -> float:
    """The rate that is compared; none of no plan."""
    if plan is None:
        return 0.0
    alone = plan.objective.name == "latency"  # one sequence: decode steps; many: a stream, prompts included
    return float(plan.figures.decode_tokens_per_s if alone else plan.figures.tokens_per_s)


def told(plan: Plan | None) -> str:
    """A plan in a few words: its rate, and what lies where."""
    if plan is None:
        return "none fits"
    rate = rate_of(plan)
    if plan.chains:
        gap = "" if plan.objective.gap is None else f", at most {plan.objective.gap:.0%} more"
        return f"**{rate:.4g}**{gap} ({len(plan.chains)} pipelines of {', '.join(plan.chains[0].nodes)} and so on)"
    spans = [
        f"{span.node} {span.stop - span.start}{f' {span.parts_words} away' if span.away else ''}"
        for span in plan.placement
    ]
    proof = ", proven" if plan.objective.proven_optimal else ""
    shown = "; ".join(spans[:4]) + (f"; {len(spans) - 4} more" if len(spans) > 4 else "")
    return f"**{rate:.4g}**{proof} ({shown})"


def main() -> int:
    """Print the table; return 1 where a wider space has a worse plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of search for each plan")
    parser.add_argument("--out", type=Path, help="write the table here")
    options = parser.parse_args()
    lines = [f"| machine, model | {' | '.join(SPACES)} |", f"| --- | {' | '.join('---' for _ in SPACES)} |"]
    worse = []
    for name, data in MACHINES.items():
        began = time.perf_counter()
        plans = {space: solved(narrowed(data, space), options.seconds) for space in SPACES}
        lines.append(f"| {name}: {data['model']} | {' | '.join(told(plan) for plan in plans.values())} |")
        best = max(map(rate_of, plans.values()))
        worse += [f"{name}: {space}" for space in ("default", "copies") if rate_of(plans[space]) < best * (1 - ALIKE)]
        print(lines[-1], f"{time.perf_counter() - began:.1f} s", file=sys.stderr)
    text = "\n".join(lines) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)
    for found in worse:
        print(f"worse than a narrower space: {found}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
