"""Published measurements against predictions, and the fit of the runtimes' efficiencies.

python -m benchmarks.fidelity.published                  # score the catalog on benchmarks/measurements
python -m benchmarks.fidelity.published --leave-one-out  # each source predicted by a fit to the others
python -m benchmarks.fidelity.published --fit            # fit, and write placement/catalog/runtimes_fitted.yaml
python -m benchmarks.fidelity.published --plot docs/fidelity  # predicted against measured, by device class
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from benchmarks.fidelity.decisions import decide, pair_errors, read_decisions
from benchmarks.fidelity.decisions import table as decision_table
from benchmarks.fidelity.order import ceiling, pairs_within_models, repeats, tau_within_models, wrong_pairs
from placement.costs.runtimes import runtime_costs
from placement.files import write_atomic
from placement.profile.measurements import Case, read_measurements, sources
from placement.profile.rates_errors import Residual, interval_widths, leave_one_out, residuals
from placement.profile.rates_fit import LEAST_CASES, Fit, fit, owner

FOLDER = Path(__file__).parents[1] / "measurements"
FITTED = Path(__file__).parents[2] / "placement" / "catalog" / "runtimes_fitted.yaml"
APART = 1.05  # repeats differ by more than that in the median
WIDEST = 2  # an M1 Max was measured twice by two people, 1.3 and 1.7 times apart
Group = Callable[[Residual], str]
TEXTS: dict[str, Group] = {
    "runtime": lambda row: owner(row.case),
    "class": lambda row: row.case.device_class,
    "kind": lambda row: f"{row.case.kind}, {'one sequence' if row.case.row.concurrency == 1 else 'batches'}",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="CSV files; by default the project's own")
    parser.add_argument("--leave-one-out", action="store_true", help="predict each source by a fit to the others")
    parser.add_argument("--fit", action="store_true", help="write the fitted figures and the widths of intervals")
    parser.add_argument("--polish", type=int, default=2, help="exact rounds for each source left out")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--plot", type=Path, help="write pictures into this folder")
    options = parser.parse_args(arguments)
    cases = [case for path in options.files or [FOLDER / "published.csv"] for case in read_measurements(path)]
    if options.fit or options.leave_one_out:
        found = fit(cases)
        left_out = leave_one_out(cases, found, options.polish)
        rows = residuals(cases, found.costs)
        report("fitted on all", rows)
        report("each source left out", left_out, by_hand=single_source(cases))
        if options.fit:
            generic = residuals([_generic(case) for case in cases])
            write_fitted(FITTED, found, interval_widths(left_out, generic), len(cases), cases)
        if options.rows:
            show_rows(left_out)
    else:
        rows = residuals(cases)
        report("with the catalog", rows)
        if options.rows:
            show_rows(rows)
    outcomes = [decide(decision) for decision in read_decisions(FOLDER / "decisions.csv")]
    print(f"\n## Decisions: {sum(one.right for one in outcomes)} of {len(outcomes)} within 10% of the best\n")
    print("\n".join(decision_table(outcomes)))
    for figure, errors in sorted(pair_errors(outcomes).items()):
        half, most = np.quantile(errors, [0.5, 0.9])
        told = f"the ratio is off by a factor {half:.2f} in the median, {most:.2f} at 90%"
        print(f"\n{len(errors)} pairs of layer splits, {figure}: {told}")
    if options.plot:
        from benchmarks.fidelity.published_plot import plot

        plot(rows, options.plot)


def report(title: str, rows: Sequence[Residual], by_hand: frozenset[str] = frozenset()) -> None:
    """Print the tables of errors; runtimes in `by_hand` rest on one source, so leaving it out proves nothing there."""
    print(f"\n## {title}\n")
    print(f"| what | cases | median error | 90% | tau within a model | of pairs {APART - 1:.0%} apart |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, chosen in headline(rows, by_hand):
        every, apart = tau_within_models(chosen), tau_within_models(chosen, APART)
        print(f"| {name} | {len(chosen)} | {quantiles(chosen)} | {every:.2f} | {apart:.2f} |")
    print()
    alone = [row for row in rows if row.case.row.concurrency == 1 and row.figure == "generation"]
    print("\n".join(f"- {line}" for line in order_lines(alone)))
    for name, group in TEXTS.items():
        print(f"\n| {name} | figure | cases | median error | 90% | bias |\n| --- | --- | ---: | ---: | ---: | ---: |")
        for label in sorted({group(row) for row in rows}):
            for figure in ("generation", "prompt"):
                chosen = [row for row in rows if group(row) == label and row.figure == figure]
                if chosen:
                    bias = np.median([row.predicted / row.measured for row in chosen])
                    print(f"| {label} | {figure} | {len(chosen)} | {quantiles(chosen)} | {bias:.2f} |")


def headline(rows: Sequence[Residual], by_hand: frozenset[str]) -> Iterator[tuple[str, list[Residual]]]:
    """The groups that are reported first."""
    alone = [row for row in rows if row.case.row.concurrency == 1]
    yield "generation, one sequence", [row for row in alone if row.figure == "generation"]
    yield "prompts", [row for row in alone if row.figure == "prompt"]
    yield "several devices, generation", [r for r in alone if r.figure == "generation" and r.case.kind == "multi"]
    yield "batches, generation", [row for row in rows if row.case.row.concurrency > 1]
    if by_hand:
        names = ", ".join(sorted(by_hand))
        rest = [row for row in alone if owner(row.case) not in by_hand]
        yield f"generation without {names}", [row for row in rest if row.figure == "generation"]


def quantiles(rows: Sequence[Residual]) -> str:
    """Median and 90th percentile of the relative errors, as two columns."""
    if not rows:
        return "- | -"
    errors = [abs(row.error) for row in rows]
    return f"{np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%}"


def order_lines(rows: Sequence[Residual]) -> Iterator[str]:
    """Tell of the order within models: the pairs, how many are wrong, and what a perfect predictor would reach."""
    noise = np.sort(repeats(rows))
    yield f"{len(noise)} repeats, apart by factors of {', '.join(f'{math.exp(value):.2f}' for value in noise)}"
    samples = {"all of them": noise, f"all but the widest {WIDEST}": noise[:-WIDEST]}
    for apart in (1.0, APART):
        wrong, tau = list(wrong_pairs(rows, apart)), tau_within_models(rows, apart)
        count = f"{len(pairs_within_models(rows, apart))} pairs {apart - 1:.0%} apart or more"
        yield f"{count}: {len(wrong)} not in order, tau {tau:.3f}"
        for name, some in samples.items():
            if len(some) and not math.isnan(tau):
                found = ceiling(rows, some, np.random.default_rng(1), apart)
                low, high = np.quantile(found, [0.05, 0.95])
                yield f"with the noise of {name} a perfect predictor: {np.mean(found):.3f} ({low:.3f} to {high:.3f})"
    yield from wrong_pairs(rows, APART)


def single_source(cases: Sequence[Case]) -> frozenset[str]:
    """Runtimes whose figures were read off one source by hand: without it nothing would be left."""
    by_runtime: dict[str, list[Case]] = {}
    for case in cases:
        by_runtime.setdefault(owner(case), []).append(case)
    return frozenset(name for name, mine in by_runtime.items() if len(sources(mine)) < 2)


def show_rows(rows: Sequence[Residual]) -> None:
    """Print every row with its error, the worst first."""
    print("\n| case | class | figure | measured | predicted | ratio |\n| --- | --- | --- | ---: | ---: | ---: |")
    for row in sorted(rows, key=lambda row: -abs(math.log(row.predicted / row.measured))):
        ratio = row.predicted / row.measured
        name = f"{row.case.row.id} | {row.case.device_class} | {row.figure}"
        print(f"| {name} | {row.measured:.4g} | {row.predicted:.4g} | {ratio:.2f} |")


def _generic(case: Case) -> Case:
    return replace(case, costs=runtime_costs(""))


def write_fitted(
    path: Path, found: Fit, widths: dict[str, dict[str, dict[str, float]]], count: int, cases: Sequence[Case]
) -> None:
    """Write the fitted figures and the widths of intervals.

    Parameters
    ----------
    path : Path
    found : Fit
    widths : dict
        From `interval_widths`.
    count : int
        Measurements of the fit.
    cases : sequence of Case
    """
    figures = {
        runtime: {kind: {key: float(f"{value:.3g}") for key, value in keys.items()} for kind, keys in kinds.items()}
        for runtime, kinds in found.figures.items()
    }
    head = (
        "# Written by `python -m benchmarks.fidelity.published --fit`: do not edit.\n"
        f"# Fitted on {count} measurements of {len(sources(cases))} sources, benchmarks/measurements/published.csv.\n"
        f"# A group has at least {LEAST_CASES} of 2 sources. `cases`: how many a class's figures rest on.\n"
        "# `intervals`: the factor that 90% of the residuals stay within, each predicted without its source.\n"
    )
    body = {
        "cases": {name: dict(counts) for name, counts in found.counts.items()},
        "figures": figures,
        "intervals": widths,
    }
    write_atomic(path, head + yaml.safe_dump(body, sort_keys=False, width=120))


if __name__ == "__main__":
    main()
