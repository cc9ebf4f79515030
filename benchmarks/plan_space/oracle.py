"""Random tiny hosts: what is found against plain enumeration over groupings, parts, orders and cuts.

python -m benchmarks.plan_space.oracle --instances 300 --solver auto
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import chain, combinations

import numpy as np

from placement import optimize
from placement.costs.build import build_tables
from placement.costs.parts import alone, can_leave
from placement.errors import InputError, PlacementError
from placement.question.request import Away, Request
from placement.readers.cluster.read import read_request
from tests.kinds.space.instances import best_by_hand, best_split, host, offloading


def choices(request: Request) -> list[Request]:
    """The question with every choice of blocks whose FFN lies in main memory, as far as that holds them."""
    able = [b for b, block in enumerate(request.model.blocks) if can_leave(block, "ffn")]
    room = float(build_tables(request).capacity_bytes[-1])
    subsets = chain.from_iterable(combinations(able, k) for k in range(1, len(able) + 1))
    size = alone(request.model.blocks[able[0]], "ffn").weight_bytes
    cards = request.cluster.names[:-1]
    fitting = (chosen for chosen in subsets if size * len(chosen) <= room)
    return [request, *(replace(request, away=Away("ffn", chosen, "cpu", cards)) for chosen in fitting)]


def main() -> None:
    """Compare on many instances; say how many differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="seed of the first instance")
    parser.add_argument("--solver", default="auto")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    counts = {"equal": 0, "worse": 0, "better": 0, "infeasible": 0, "false bound": 0, "proven": 0}
    for seed in range(options.first, options.first + options.instances):
        rng = np.random.default_rng(seed)
        parts = bool(seed % 2)
        if parts:
            data = offloading(rng, cards=1 + seed % 4 // 2, blocks=6)
            data["objective"] = ("latency", "ttft", "request_time")[seed % 3]
            data["workload"]["concurrency"] = 1
        else:
            data = host(rng, devices=2 + seed % 4 // 2, blocks=int(rng.integers(5, 8)), alike=bool(seed % 3))
        request = read_request(data)
        best = min(map(best_split, choices(request))) if parts else best_by_hand(request)
        try:
            plan = optimize(None, data, solver=options.solver, time_limit=options.seconds).plan
        except InputError:
            raise
        except PlacementError:
            counts["infeasible" if not np.isfinite(best) else "worse"] += 1
            continue
        inverse = plan.objective.sense == "maximize"
        cost = 1.0 / plan.objective.value if inverse else plan.objective.value
        counts["proven"] += plan.objective.proven_optimal
        kind = "equal" if abs(cost / best - 1) < 1e-9 else "worse" if cost > best else "better"
        counts[kind] += 1
        if kind != "equal":
            print(f"seed {seed}: {kind}, {cost:.9g} against {best:.9g}", file=sys.stderr)
        if plan.objective.bound is not None:
            bound = 1.0 / plan.objective.bound if inverse else plan.objective.bound
            counts["false bound"] += bound > best * (1 + 1e-9)
    print(", ".join(f"{name} {count}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
