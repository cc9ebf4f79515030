"""Chains with reserved caches against the literature: total service rate, its bound, and simulated response time.

Run from the repository::

    python -m benchmarks.quality.chains [FILE.json ...] [--fresh 24] [--seconds 10] [--workers 2]

One row for each fleet, then medians: of the files, of each 24 of the fresh fleets, and of those by servers and by load.
Reference rate: GBP-CR + GCA at its best c. Reference response: the least of GBP-CR + GCA with c by its own bound, with
c for the largest rate, and the conservative greedy placement of arXiv:2512.21884 with c by Little's law; beside it the
least of the two GBP-CR rules alone, which are published in every detail, and that placement with its c tuned as
GBP-CR's (not published so). Simulations: 20,000 sessions, equal arrivals for all, the mean of seeds 0 to 4, which no
search sees. "possible" is how much lower than the reference the proven bound on the response time lies: no placement
and no dispatch gets further.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from objectives.sessions.baselines import all_servers, best_rate, best_response, conservative_greedy, for_load, gbp_cr
from objectives.sessions.chains import Fleet, broken_rules, total_rate
from placement import optimize
from placement.kinds.sessions.spans import composition_of
from placement.readers.fleet import read_fleet
from placement.simulate.sessions import simulate

from .chain_cases import drawn
from .pool import processes

SEEDS = 5


def simulated(fleet: Fleet, plan: object) -> float:
    """Mean response time in s over the seeds; infinite for no plan or an overloaded one."""
    chains = getattr(plan, "chains", ())
    if total_rate(fleet, chains) <= fleet.arrivals_per_s:
        return float("inf")
    return float(np.mean([simulate(fleet, chains, seed=seed).mean_s for seed in range(SEEDS)]))


def row(name: str, fleet: Fleet, seconds: float, asked: tuple[str, ...]) -> tuple[str, list[float]]:
    """Measure one fleet: its row as text, and the values; not-a-number where an objective was not asked for."""
    best = best_rate(fleet, all_servers)
    assert best is not None
    reference = total_rate(fleet, best.chains)
    plans = (best, best_response(fleet, gbp_cr), for_load(fleet, conservative_greedy))
    published, least = (min(simulated(fleet, plan) for plan in part) for part in (plans[:2], plans))
    tuned = simulated(fleet, best_response(fleet, conservative_greedy))
    served = bound = took = ours = response_took = possible = float("nan")
    if "rate" in asked:
        rate = optimize(None, fleet, objective="rate", time_limit=seconds).plan
        assert not broken_rules(fleet, composition_of(rate, fleet))
        served, bound, took = rate.figures.rate_per_s, rate.figures.rate_bound_per_s, rate.seconds
    if "response" in asked:
        response = optimize(None, fleet, objective="response", time_limit=seconds).plan
        found = composition_of(response, fleet)
        assert not broken_rules(fleet, found)
        ours, response_took = simulated(fleet, found), response.seconds
        possible = response.figures.response_bound_s / least - 1
    values = [served / reference - 1, bound / served - 1, ours / least - 1, ours / min(least, tuned) - 1, possible]
    values.append(ours / published - 1)
    text = (
        f"{name:<48} {reference:8.4g} {served:8.4g} {bound:8.4g} {values[0]:+7.1%} {values[1]:6.1%} "
        f"{least:8.4g} {ours:8.4g} {values[2]:+7.1%} {published:8.4g} {values[5]:+7.1%} {tuned:8.4g} {values[3]:+7.1%} "
        f"{possible:+8.1%} {took:5.1f} {response_took:5.1f}"
    )
    return text, values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fresh", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1, help="Fleets at once, a process of one core each.")
    parser.add_argument("--objectives", default="rate,response", help="Which of the two, separated by a comma.")
    options = parser.parse_args()
    asked = tuple(options.objectives.split(","))
    print(
        f"{'fleet':<48} {'ref/s':>8} {'ours/s':>8} {'bound/s':>8} {'more':>7} {'gap':>6} {'ref s':>8} {'ours s':>8} "
        f"{'change':>7} {'GBP-CR s':>8} {'change':>7} {'tuned s':>8} {'change':>7} {'possible':>8} {'took s':>11}"
    )
    cases = [(path.stem, read_fleet(path)) for path in options.files]
    cases += [(case.name, case.fleet) for case in map(drawn, range(options.fresh))]
    values = []
    with processes(options.workers) as pool:
        for job in [pool.submit(row, *case, options.seconds, asked) for case in cases]:
            text, found = job.result()
            print(text, flush=True)
            values.append(found)
    table, n = np.array(values), len(options.files)
    summarize("files", table[:n])
    fresh, cases = table[n:], cases[n:]
    for start in range(0, len(fresh), 24):
        summarize(f"fresh fleets {start} to {min(start + 24, len(fresh)) - 1}", fresh[start : start + 24])
    if len(fresh) > 24:
        summarize("fresh fleets", fresh)
    sizes = [fleet.n_servers for _, fleet in cases]
    loads = [name.rsplit(" ", 1)[-1] for name, _ in cases]
    for what, keys in (("servers", sizes), ("load", loads)):
        for key in sorted(set(keys)):
            summarize(f"{what} {key}", fresh[[one == key for one in keys]], ends=False)


def summarize(what: str, table: np.ndarray, *, ends: bool = True) -> None:
    """Print medians of rows, their least and most, and where a tenth less is impossible."""
    if len(table) == 0:
        return
    picks = [("median", np.median(table, 0))] + [("min", table.min(0)), ("max", table.max(0))] * ends
    for label, pick in picks:
        print(
            f"{what} ({len(table)}), {label}: rate {pick[0]:+.1%}, gap {pick[1]:.1%}, response {pick[2]:+.1%} "
            f"({pick[5]:+.1%} over GBP-CR, {pick[3]:+.1%} with tuned; possible {pick[4]:+.1%})"
        )
    if np.isfinite(table[:, 4]).all():
        print(f"    a tenth less than the reference is proven impossible on {(table[:, 4] > -0.1).sum()} of them")


if __name__ == "__main__":
    main()
