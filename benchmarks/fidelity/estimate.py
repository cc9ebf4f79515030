"""The fast estimate of throughput against the simulation that it stands for, over plans of all kinds that serve.

    python -m benchmarks.fidelity.estimate                   # 300 plans, a quarter of an hour on one core
    python -m benchmarks.fidelity.estimate --plans 60 --seed 1

Pipelines on machines at home, in an office, in a cloud and in several regions, with and without tensor parallel groups:
the closed stream of `placement.simulate.serving.stream`. Replicated placements: the closed loop of
`placement.simulate.closed_loop`, in which nodes serve all that waits as one batch. Half of the plans are the best of a
few hundred splits, half are drawn from the better half of them. Prints errors by kind: estimate over simulation, less
one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.instances import families
from benchmarks.quality.served import simulated, spearman, varied
from objectives.combine import REPLICATED
from placement.errors import InputError
from placement.kinds.pipeline.problem import problem_of
from placement.kinds.replicated.case import case_of
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.objective import objective_of
from placement.readers.cluster.read import read_request
from placement.simulate.serving.stream import closed_stream

Document = dict[str, Any]
KINDS = ("pipeline", "pipeline of groups", "replicated")
SHARES = (0.6, 0.2, 0.2)
FAMILIES = (families.home_lab, families.office_lan, families.mixed_gpus, families.geo)
DRAWN = 200  # splits from which a pipeline is taken
REQUESTS = 300  # of a closed loop of a replicated placement


@dataclass(frozen=True, slots=True)
class Comparison:
    """One plan: its kind, and tokens/s that the estimate and the simulation give it."""

    kind: str
    estimate: float
    simulated: float

    @property
    def error(self) -> float:
        """Relative error of the estimate."""
        return self.estimate / self.simulated - 1.0


def document_of(rng: np.random.Generator, *, groups: bool = False) -> Document:
    """A cluster with a load, drawn."""
    family = families.mixed_gpus if groups else FAMILIES[int(rng.integers(len(FAMILIES)))]
    document = family(rng, str(rng.choice(["small", "small", "medium"])))
    document["workload"] = {
        "prompt_tokens": int(rng.choice([64, 128, 512, 1024, 2048])),
        "output_tokens": int(rng.choice([32, 64, 128, 256, 512])),
        "concurrency": int(rng.choice([1, 4, 16, 64, 128])),
    }
    document["objective"] = "throughput"
    if groups:
        for node in document["nodes"]:
            node["tensor_parallel"] = int(rng.choice([1, 2, 4]))
    return document


def pipeline(rng: np.random.Generator, *, groups: bool = False) -> Comparison | None:
    """Compare one pipeline; None where none of the splits that are drawn fits."""
    document = document_of(rng, groups=groups)
    request = read_request(document)
    problem = problem_of(request)
    genomes = np.concatenate([problem.random(rng, DRAWN), problem.starts()])
    costs, broken = problem.evaluate(genomes)
    fitting = np.flatnonzero(broken == 0)
    if not len(fitting):
        return None
    order = fitting[np.argsort(costs[fitting], kind="stable")]
    chosen = order[0] if rng.random() < 0.5 else order[int(rng.integers(max(1, len(order) // 2)))]
    names = request.cluster.names
    spans = [PlacedSpan(names[span.node], span.start, span.stop) for span in problem.decode(genomes[chosen])]
    plan, _ = judge(None, document, spans)
    seen = closed_stream(plan, request, seed=int(rng.integers(1 << 31))).output_tokens_per_s
    return Comparison(KINDS[int(groups)], plan.figures.tokens_per_s, seen)


def replicated(rng: np.random.Generator) -> Comparison | None:
    """Compare one replicated placement."""
    document = {**document_of(rng), "placement": "replicated", "objective": "served"}
    problem = ReplicatedProblem(case_of(read_request(document)).tables, objective_of("served", REPLICATED))
    genomes = varied(problem, 8)
    if not len(genomes):
        return None
    genome = genomes[int(rng.integers(len(genomes)))]
    seen = simulated(problem, genome, int(rng.integers(1 << 31)), REQUESTS)
    return Comparison(KINDS[2], 1.0 / float(problem.evaluate(genome[None])[0][0]), seen) if seen > 0 else None


def compared(number: int, seed: int) -> Iterator[Comparison]:
    """So many plans of all kinds, one after the other."""
    wanted = np.round(np.array(SHARES) * number).astype(int)
    for k, kind in enumerate(KINDS):
        found, attempt = 0, 0
        while found < wanted[k]:
            rng = np.random.default_rng((seed, k, attempt))
            attempt += 1
            try:
                one = replicated(rng) if kind == "replicated" else pipeline(rng, groups=kind != "pipeline")
            except InputError:  # a stream that no memory is left for
                continue
            if one is not None:
                found += 1
                yield one


def summary(rows: list[Comparison]) -> str:
    """Number, median and 95th percentile of the absolute errors, bias and the correlation of ranks."""
    errors = np.array([row.error for row in rows])
    size = np.abs(errors)
    ranks = spearman([row.estimate for row in rows], [row.simulated for row in rows])
    return (
        f"{len(rows):4d} plans: median error {np.median(size):.1%}, 95th percentile {np.quantile(size, 0.95):.1%}, "
        f"in the mean {errors.mean():+.1%}, Spearman {ranks:.3f}"
    )


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", action="store_true", help="print every plan")
    options = parser.parse_args()
    rows: list[Comparison] = []
    for row in compared(options.plans, options.seed):
        rows.append(row)
        if options.each:
            print(
                f"{row.kind}: {row.estimate:.4g} estimated, {row.simulated:.4g} simulated, {row.error:+.1%}", flush=True
            )
    for kind in KINDS:
        if part := [row for row in rows if row.kind == kind]:
            print(f"{kind:20s}{summary(part)}")
    print(f"{'all':20s}{summary(rows)}")


if __name__ == "__main__":
    main()
