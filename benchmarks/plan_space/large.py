"""Clusters of many hosts: how soon the first plan is there, and how good the answer is after a short and a long time.

    python -m benchmarks.plan_space.large --hosts 8 128 --seconds 10 60

Exits with 1 where the first plan takes more than 2 s, or the short answer is more than 3 % below the long one.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from placement import optimize
from placement.plan.plan import Plan
from placement.search.stop import Progress

FIRST_S, APART = 2.0, 0.03


def cluster(hosts: int) -> dict[str, Any]:
    """Hosts of eight H100 on InfiniBand, and a model of 405 billion parameters for 256 sequences."""
    names = [f"h{k}" for k in range(hosts)]
    return {
        "model": "llama-3.1-405b",
        "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 256},
        "objective": "throughput",
        "nodes": [{"name": name, "device": "h100-sxm", "count": 8, "host": name} for name in names],
        "network": {"default": "infiniband-ndr"},
    }


@dataclass
class First:
    """When the first plan was told, in s from the beginning."""

    began: float = field(default_factory=time.perf_counter)
    seconds: float = float("inf")

    def __call__(self, progress: Progress) -> None:
        """Take the time of the first progress that has a plan."""
        if progress.violation == 0:
            self.seconds = min(self.seconds, time.perf_counter() - self.began)


def solved(hosts: int, seconds: float) -> tuple[Plan, float, float]:
    """A plan, with the seconds to the first one and to the end, reading the file and building tables included."""
    first = First()
    plan = optimize(None, cluster(hosts), time_limit=seconds, progress=first).plan
    return plan, first.seconds, time.perf_counter() - first.began


def main() -> int:
    """Print a line for each cluster and time; return 1 where one falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[8, 128])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    options = parser.parse_args()
    short = False
    solved(2, 0.1)  # kernels are loaded before time counts
    for hosts in options.hosts:
        rates = []
        for seconds in sorted(options.seconds):
            plan, first, wall = solved(hosts, seconds)
            rates.append(plan.figures.tokens_per_s)
            bound = "" if plan.objective.bound is None else f", bound {plan.objective.bound:.4g}"
            print(
                f"{8 * hosts} devices, {seconds:g} s: {rates[-1]:.4g} tokens/s{bound}, "
                f"{max(1, len(plan.chains))} pipelines; first plan after {first:.2f} s, done after {wall:.1f} s",
                flush=True,
            )
            short |= first > FIRST_S
        short |= min(rates) < (1 - APART) * max(rates)
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
