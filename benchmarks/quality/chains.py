"""Chains with reserved caches against the literature: total service rate, its bound, and simulated response time.

Run from the repository: ``python -m benchmarks.quality.chains [FILE.json ...] [--fresh 24] [--seconds 10]``. One row
for each fleet, then medians. Reference rate: GBP-CR + GCA at its best c. Reference response: the least of GBP-CR + GCA
with c by its own bound, with c for the largest rate, and the conservative greedy placement of arXiv:2512.21884 with c
by Little's law; beside it the least of the two GBP-CR rules alone, which are published in every detail, and that
placement with its c tuned as GBP-CR's (not published so). Simulations: 20,000 sessions, equal arrivals for all, the
mean of seeds 0 to 4, which no search sees. "possible" is how much lower than the reference the proven bound on the
response time lies: no placement and no dispatch gets further.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from objectives.chains import Fleet, broken_rules, total_rate
from placement.chains.baselines import (
    all_servers,
    best_rate,
    best_response,
    conservative_greedy,
    for_load,
    gbp_cr,
)
from placement.chains.simulate import simulate
from placement.chains.solve import solve_chains
from placement.readers.chains import read_fleet

from .chain_cases import drawn

SEEDS = 5


def simulated(fleet: Fleet, plan: object) -> float:
    """Mean response time in s over the seeds; infinite for no plan or an overloaded one."""
    chains = getattr(plan, "chains", ())
    if total_rate(fleet, chains) <= fleet.arrivals_per_s:
        return float("inf")
    return float(np.mean([simulate(fleet, chains, seed=seed).mean_s for seed in range(SEEDS)]))


def row(name: str, fleet: Fleet, seconds: float, asked: tuple[str, ...]) -> list[float]:
    """Measure one fleet and print its row; not-a-number where an objective was not asked for."""
    best = best_rate(fleet, all_servers)
    assert best is not None
    reference = total_rate(fleet, best.chains)
    plans = (best, best_response(fleet, gbp_cr), for_load(fleet, conservative_greedy))
    published, least = (min(simulated(fleet, plan) for plan in part) for part in (plans[:2], plans))
    tuned = simulated(fleet, best_response(fleet, conservative_greedy))
    served = bound = took = ours = response_took = possible = float("nan")
    if "rate" in asked:
        rate = solve_chains(fleet, objective="rate", time_limit=seconds)
        assert not broken_rules(fleet, rate.plan)
        served, bound, took = rate.rate, rate.bound, rate.seconds
    if "response" in asked:
        response = solve_chains(fleet, objective="response", time_limit=seconds)
        assert not broken_rules(fleet, response.plan)
        assert response.response_bound is not None
        ours, response_took = simulated(fleet, response.plan), response.seconds
        possible = response.response_bound / least - 1
    values = [served / reference - 1, bound / served - 1, ours / least - 1, ours / min(least, tuned) - 1, possible]
    values.append(ours / published - 1)
    print(
        f"{name:<48} {reference:8.4g} {served:8.4g} {bound:8.4g} {values[0]:+7.1%} {values[1]:6.1%} "
        f"{least:8.4g} {ours:8.4g} {values[2]:+7.1%} {published:8.4g} {values[5]:+7.1%} {tuned:8.4g} {values[3]:+7.1%} "
        f"{possible:+8.1%} {took:5.1f} {response_took:5.1f}",
        flush=True,
    )
    return values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fresh", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--objectives", default="rate,response", help="Which of the two, separated by a comma.")
    options = parser.parse_args()
    asked = tuple(options.objectives.split(","))
    print(
        f"{'fleet':<48} {'ref/s':>8} {'ours/s':>8} {'bound/s':>8} {'more':>7} {'gap':>6} {'ref s':>8} {'ours s':>8} "
        f"{'change':>7} {'GBP-CR s':>8} {'change':>7} {'tuned s':>8} {'change':>7} {'possible':>8} {'took s':>11}"
    )
    cases = [(path.stem, read_fleet(path)) for path in options.files]
    cases += [(case.name, case.fleet) for case in map(drawn, range(options.fresh))]
    table = np.array([row(name, fleet, options.seconds, asked) for name, fleet in cases])
    for label, pick in (("median", np.median(table, 0)), ("min", table.min(0)), ("max", table.max(0))):
        print(
            f"{label:<6} rate {pick[0]:+.1%}, gap {pick[1]:.1%}, response {pick[2]:+.1%} ({pick[5]:+.1%} over GBP-CR, "
            f"{pick[3]:+.1%} with tuned; possible {pick[4]:+.1%})"
        )
    if "response" in asked:
        count = (table[:, 4] > -0.1).sum()
        print(f"{count} of {len(table)} fleets: a tenth less than the reference is proven impossible")


if __name__ == "__main__":
    main()
