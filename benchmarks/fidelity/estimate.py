"""The fast estimate of throughput against the simulation that it stands for, over plans of all kinds that serve.

    python -m benchmarks.fidelity.estimate                   # 360 plans, a quarter of an hour on one core
    python -m benchmarks.fidelity.estimate --plans 60 --seed 1
    python -m benchmarks.fidelity.estimate --only copies

Pipelines on machines at home, in an office, in a cloud and in several regions, with and without tensor parallel groups,
several of them side by side (copies), and on PCs whose main memory holds parts of blocks: the closed stream of
`placement.simulate.serving.stream`. Replicated placements: the closed loop of `placement.simulate.closed_loop`, in
which nodes serve all that waits as one batch. Half of the plans are the best of a few hundred splits, half are drawn
from the better half of them. Prints errors by kind: estimate over simulation, less one. `--plans` counts those of the
first three kinds; there is one more of each of the others for ten of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.instances import families
from benchmarks.quality.replicated import simulated
from benchmarks.quality.served import spearman, varied
from objectives.combine import REPLICATED
from placement.errors import InputError
from placement.kinds.pipeline.plan import placed_spans
from placement.kinds.pipeline.problem import problem_of
from placement.kinds.replicated.case import case_of
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.space.copies import dealt, most_copies, part_of, shares
from placement.kinds.space.parts import part_variants
from placement.kinds.space.variants import as_named, asked_for
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.objective import objective_of
from placement.question.request import Request
from placement.readers.cluster.read import read_request
from placement.simulate.serving.stream import closed_stream

Document = dict[str, Any]
Maker = Callable[[np.random.Generator], "Comparison | None"]
KINDS = ("pipeline", "pipeline of groups", "replicated", "copies", "parts of blocks")
SHARES = (0.6, 0.2, 0.2, 0.1, 0.1)
FAMILIES = (families.home_lab, families.office_lan, families.mixed_gpus, families.geo)
DRAWN = 200  # splits from which a pipeline is taken
REQUESTS = 300  # of a closed loop of a replicated placement
COPIED = ("llama-3.1-8b", "qwen2.5-14b", "llama-2-13b")
PARTED = ("gpt-oss-20b", "gpt-oss-120b", "qwen3-30b-a3b", "mixtral-8x7b", "qwen2.5-32b", "llama-3.1-70b")
CARDS = ("rtx-3060-12gb", "rtx-3090", "rtx-4070", "rtx-4090", "l4")
HOSTS = ("cpu-ddr4-2ch", "cpu-ddr5-2ch", "threadripper-7000-4ch", "epyc-genoa-12ch")


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
    document["workload"] = load_of(rng, (1, 4, 16, 64, 128))
    document["objective"] = "throughput"
    if groups:
        for node in document["nodes"]:
            node["tensor_parallel"] = int(rng.choice([1, 2, 4]))
    return document


def load_of(rng: np.random.Generator, concurrency: tuple[int, ...]) -> Document:
    """A load, drawn."""
    return {
        "prompt_tokens": int(rng.choice([64, 128, 512, 1024, 2048])),
        "output_tokens": int(rng.choice([32, 64, 128, 256, 512])),
        "concurrency": int(rng.choice(concurrency)),
    }


def pipeline(rng: np.random.Generator, *, groups: bool = False) -> Comparison | None:
    """Compare one pipeline; None where none of the splits that are drawn fits."""
    document = document_of(rng, groups=groups)
    request = read_request(document)
    spans = drawn(rng, request)
    if spans is None:
        return None
    plan, _ = judge(None, document, spans)
    seen = closed_stream(plan, request, seed=int(rng.integers(1 << 31))).output_tokens_per_s
    return Comparison(KINDS[int(groups)], plan.figures.tokens_per_s, seen)


def drawn(rng: np.random.Generator, request: Request) -> list[PlacedSpan] | None:
    """The best of a few hundred splits, or one of the better half; None where none fits."""
    problem = problem_of(request)
    genomes = np.concatenate([problem.random(rng, DRAWN), problem.starts()])
    costs, broken = problem.evaluate(genomes)
    fitting = np.flatnonzero(broken == 0)
    if not len(fitting):
        return None
    order = fitting[np.argsort(costs[fitting], kind="stable")]
    chosen = order[0] if rng.random() < 0.5 else order[int(rng.integers(max(1, len(order) // 2)))]
    names = request.cluster.names
    return [part for span in problem.decode(genomes[chosen]) for part in placed_spans(request, names[span.node], span)]


def copies(rng: np.random.Generator) -> Comparison | None:
    """Compare a few pipelines side by side; None where one of them does not fit."""
    document = document_of(rng)
    document["model"] = str(rng.choice(COPIED))
    document["quantization"] = str(rng.choice(["int8", "int4-g128"]))
    request = read_request(document)
    most = min(most_copies(request), 4)
    if most < 2:
        return None
    count = int(rng.integers(2, most + 1))
    ways = list(dealt(request, count))
    parts = ways[int(rng.integers(len(ways)))]
    spans: list[PlacedSpan] = []
    for part, sequences in zip(parts, shares(request, parts), strict=True):
        layout = drawn(rng, part_of(request, part, sequences))
        if layout is None:
            return None
        spans += layout
    plan, broken = judge(None, document, spans)
    if broken:
        return None
    seen = closed_stream(plan, request, seed=int(rng.integers(1 << 31))).output_tokens_per_s
    return Comparison(KINDS[3], plan.figures.tokens_per_s, seen)


def parts_of_blocks(rng: np.random.Generator) -> Comparison | None:
    """Compare a plan of a PC or two that leaves parts of blocks in main memory; None where none leaves any."""
    nodes: list[Document] = []
    for k in range(int(rng.integers(1, 3))):
        cards, host = int(rng.integers(1, 3)), str(rng.choice(HOSTS))
        nodes.append({"name": f"gpu{k}", "device": str(rng.choice(CARDS)), "count": cards, "host": f"pc{k}"})
        nodes.append({"name": f"cpu{k}", "device": host, "memory": "120 GiB", "host": f"pc{k}"})
    document: Document = {
        "model": str(rng.choice(PARTED)),
        "quantization": str(rng.choice(["int4-g128", "int8"])),
        "workload": load_of(rng, (1, 4, 16, 32)),
        "objective": "throughput",
        "nodes": nodes,
        "network": {"default": {"bandwidth": "10 Gbit/s", "latency": "0.1 ms"}},
    }
    request = read_request(document)
    ways = [proposed.request for proposed in part_variants(request)]
    spans = drawn(rng, ways[int(rng.integers(len(ways)))]) if ways else None
    if spans is None or not any(span.away for span in spans):
        return None
    plan, broken = judge(None, document, spans)
    if broken:
        return None
    question = asked_for(as_named(plan.placement, request), request)
    seen = closed_stream(plan, question, seed=int(rng.integers(1 << 31))).output_tokens_per_s
    return Comparison(KINDS[4], plan.figures.tokens_per_s, seen)


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


def compared(number: int, seed: int, only: str = "") -> Iterator[Comparison]:
    """So many plans of all kinds whose names have a word, one after the other."""
    wanted = np.round(np.array(SHARES) * number).astype(int)
    makers: tuple[Maker, ...] = (pipeline, partial(pipeline, groups=True), replicated, copies, parts_of_blocks)
    for k, (kind, maker) in enumerate(zip(KINDS, makers, strict=True)):
        if only not in kind:
            continue
        found, attempt = 0, 0
        while found < wanted[k]:
            rng = np.random.default_rng((seed, k, attempt))
            attempt += 1
            try:
                one = maker(rng)
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
    parser.add_argument("--only", default="", metavar="WORD", help="only kinds whose names have the word")
    parser.add_argument("--each", action="store_true", help="print every plan")
    options = parser.parse_args()
    rows: list[Comparison] = []
    for row in compared(options.plans, options.seed, options.only):
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
