"""Every bound against every proven optimum: mean tightness, and what it costs in seconds.

Run from the repository: ``python -m benchmarks.quality.bounds [--names geo,distinct] [--repeat 3] [--out FILE.csv]``.
Tightness is the bound over the optimum, 1 is best, 0 where there is none; seconds are of processor time, the
least of the repeats. The
parts: walks without multipliers; walks with them; coverings by nodes; coverings by regions; then `lower_bound`, which
takes the largest of what applies, with a tenth, a third, all (the default) and four
times the effort. Parts are bounds of sums
(for decode_rate and bottleneck: of a step over the sequences in flight), so they say nothing of limits.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from objectives.pipeline.additive import ADDITIVE, round_cost, weighted_cost
from objectives.pipeline.bounds import EFFORT, lower_bound
from objectives.pipeline.relaxation import Relaxation, Relaxed
from objectives.replicated.flow_bounds import capped_bound, work_bound
from placement.files import write_atomic
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.replicated.problem import ReplicatedProblem

from ..instances import known, load
from .experiments import problem_of
from .markdown import rows

Bound = Callable[[PipelineProblem], float]
WALKS = 400  # steps of the subgradient
AFFORDABLE_S = 0.5


def of_sums(bound: Callable[[Relaxation, Relaxed], float]) -> Bound:
    """A bound on the sums of an objective; -inf where it has none."""

    def found(problem: PipelineProblem) -> float:
        tables, weights = problem.tables, problem.objective.weights
        relaxation = Relaxation(tables, len(tables.ties) if tables.contiguous else 0)
        if all(name in ADDITIVE for name in weights):
            return bound(relaxation, Relaxed(weighted_cost(tables, weights)))
        if tuple(weights) == ("decode_rate",):
            last = int(np.searchsorted(tables.batches, tables.concurrency, side="right")) - 1
            step = round_cost(tables, tables.rounds("decode_rate"), (0, last), tables.concurrency)
            return weights["decode_rate"] * bound(relaxation, Relaxed(step)) / tables.concurrency
        return -np.inf

    return found


def walks(relaxation: Relaxation, question: Relaxed, steps: int) -> float:
    """The best of some walks, without coverings."""
    return max(relaxation.ascent(question, relaxation.fresh(), steps))


def effort(factor: float) -> Bound:
    """`lower_bound` with more or less work."""
    return lambda problem: lower_bound(problem.tables, problem.objective, factor * EFFORT)


PIPELINES: dict[str, Bound] = {
    "one walk": of_sums(lambda relaxation, question: walks(relaxation, question, 1)),
    "walks": of_sums(lambda relaxation, question: walks(relaxation, question, WALKS)),
    "covering": of_sums(lambda relaxation, question: relaxation.covering(question)),
    "regions": of_sums(lambda relaxation, question: relaxation.covering_regions(question)),
    "lower_bound, effort / 10": effort(0.1),
    "lower_bound, effort / 3": effort(1 / 3),
    "lower_bound": effort(1.0),
    "lower_bound, effort x 4": effort(4.0),
}
REPLICATED = {
    "work": lambda problem: 1.0 / work_bound(problem.tables),
    "capped work (default)": lambda problem: 1.0 / capped_bound(problem.tables),
}


def timed(bound: Callable[[], float], repeat: int) -> tuple[float, float]:
    """The bound and its seconds."""
    value, least = -np.inf, np.inf
    for _ in range(repeat):
        began = time.process_time()
        value = bound()
        least = min(least, time.process_time() - began)
    return value, least


def measure(names: Sequence[str], repeat: int) -> list[tuple[str, str, str, float, float]]:
    """Kind, instance, bound, tightness, seconds."""
    best, found = known(), []
    for instance in load(names=tuple(names)):
        item = best.get(instance.name)
        problem = problem_of(instance.request)
        replicated = isinstance(problem, ReplicatedProblem)
        if item is None or not (item.proven or replicated):
            continue
        kind, bounds = ("replicated", REPLICATED) if replicated else ("pipeline", PIPELINES)
        problem.lower_bound()  # loads kernels
        for name, bound in bounds.items():
            value, seconds = timed(lambda bound=bound, problem=problem: bound(problem), repeat)  # type: ignore[misc]
            tight = float(np.clip(value / item.cost, 0.0, None)) if np.isfinite(value) else 0.0
            found.append((kind, instance.name, name, tight, seconds))
        print(instance.name, *(f"{row[2]} {row[3]:.4f} {row[4]:.3f} s;" for row in found[-len(bounds) :]), flush=True)
    return found


def summary(found: list[tuple[str, str, str, float, float]]) -> str:
    """One line per bound, as Markdown; names the best that is affordable everywhere."""
    lines = []
    for kind in ("pipeline", "replicated"):
        for name in dict.fromkeys(row[2] for row in found if row[0] == kind):
            own = [row for row in found if row[0] == kind and row[2] == name]
            tight, seconds = np.array([row[3] for row in own]), np.array([row[4] for row in own])
            lines.append(
                [
                    name,
                    kind,
                    f"{(tight > 0).sum()} of {len(own)}",
                    f"{tight.mean():.4f}",
                    f"{tight.min():.3f}",
                    str(int((tight > 1 - 1e-6).sum())),
                    f"{seconds.mean():.3f}",
                    f"{seconds.max():.2f}",
                ]
            )
    head = ["bound", "of", "applies", "mean tightness", "least", "equals the optimum", "mean s", "most s"]
    text = rows(lines, head)
    cheap = [line for line in lines if line[1] == "pipeline" and float(line[-1]) < AFFORDABLE_S]
    if cheap:
        text += f"\nBest under {AFFORDABLE_S} s: {max(cheap, key=lambda line: float(line[3]))[0]}\n"
    return text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default="")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = measure(tuple(filter(None, given.names.split(","))), given.repeat)
    print(summary(found))
    if given.out:
        file = io.StringIO()
        csv.writer(file).writerows([("kind", "instance", "bound", "tightness", "seconds"), *found])
        write_atomic(given.out, file.getvalue())


if __name__ == "__main__":
    main()
