"""The closed stream that `throughput` of a plan stands for, simulated.

As many requests as the workload's concurrency are in the system, the next one comes when one is done; prompts and
outputs are spread evenly within half of the workload's means. vLLM's policy with chunked prefill; it runs as many
sequences as the plan has in flight, in as many micro-batches as the plan's micro-batch makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from objectives.pipeline.terms import best_size
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.plan.plan import Plan
from placement.question.request import Request
from placement.question.requests import Requests
from placement.question.workload import Workload

from . import Load, ServingRun, serve, serving_of
from .machine import Serving
from .options import EngineOptions

ROUNDS = 8  # requests that are served by each place in the stream, on average
LEAST = 120  # requests that count at least


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a stream was served.

    Attributes
    ----------
    output_tokens_per_s : float
        Of requests that ended after the stream had come to rest.
    in_flight : float
        Mean requests taken in.
    run : ServingRun
    """

    output_tokens_per_s: float
    in_flight: float
    run: ServingRun


def stream_options(plan: Plan, workload: Workload) -> EngineOptions:
    """The engine that a plan's throughput is meant for: sequences and micro-batches as the plan has them.

    Parameters
    ----------
    plan : Plan
        A pipeline, or a replicated placement, whose chains share what is in flight evenly.
    workload : Workload
    """
    flying = max(1, round(float(plan.figures.get("in_flight", workload.concurrency))))
    chains = max(1, len(plan.chains))
    size = int(plan.figures.get("micro_batch", 0))
    if size and chains == 1:
        # Neighbouring spans of one node are one stage.
        stages = 1 + sum(a.node != b.node for a, b in pairwise(plan.placement))
        groups = max(1, min(flying // size, stages))
        return EngineOptions(max_num_seqs=groups * size, micro_batches=groups, max_model_len=1 << 24)
    return EngineOptions(max_num_seqs=-(-flying // chains), max_model_len=1 << 24)


def engines_of_copies(plan: Plan, question: Request) -> EngineOptions:
    """The engines that the throughput of copies is meant for: each has its sequences, in the best micro-batches.

    Parameters
    ----------
    plan : Plan
        Pipelines side by side.
    question : Request
        What it answers.
    """
    tables, names = build_tables(question), question.cluster.names
    rates = tables.rounds("throughput")
    engines = []
    for chain in plan.chains:
        stops = (0, *chain.stops)
        spans = [Span(names.index(node), *ends) for node, ends in zip(chain.nodes, pairwise(stops), strict=True)]
        flying = max(1, chain.capacity or 1)
        size = int(tables.batches[best_size(tables, rates, spans, flying)[1]])
        groups = max(1, min(flying // size, len(spans)))
        engines.append((groups * size, groups))
    most = max(sequences for sequences, _ in engines)
    return EngineOptions(max_num_seqs=most, instances=tuple(engines), max_model_len=1 << 24)


def stream_requests(workload: Workload, number: int, seed: int, longest: int) -> Requests:
    """So many requests, their lengths within half of the workload's means, none longer than the caches can hold."""
    rng = np.random.default_rng(seed)
    prompt, out = workload.prompt_tokens, workload.output_tokens
    prompts = rng.integers(prompt - prompt // 2, prompt + prompt // 2 + 1, number)
    outputs = rng.integers(out - out // 2, out + out // 2 + 1, number)
    prompts = np.minimum(prompts, max(1, longest - 2))
    outputs = np.maximum(1, np.minimum(outputs, longest - 1 - prompts))
    return Requests(np.zeros(number), prompts, outputs, name="the workload's stream")


def closed_stream(plan: Plan, question: Request, *, seed: int = 0, options: EngineOptions | None = None) -> Streamed:
    """Simulate the stream that a plan's throughput stands for.

    Parameters
    ----------
    plan : Plan
    question : Request
        What it answers.
    seed : int
        Of the lengths.
    options : EngineOptions, optional
        By default those of `stream_options`, of copies those of `engines_of_copies`.

    Returns
    -------
    Streamed

    Raises
    ------
    InputError
        The plan does not suit the question or has no room for caches.
    """
    work = question.workload
    copies = len(plan.chains) > 1 and bool(plan.figures.get("micro_batch"))  # of pipelines, which have micro-batches
    chosen = options or (engines_of_copies(plan, question) if copies else stream_options(plan, work))
    serving = serving_of(plan, question, chosen)
    if chosen.instances:
        # Whoever comes goes where most places are free: as many are taken everywhere, as the plan has it.
        total = sum(sequences for sequences, _ in chosen.instances)
        serving = replace(serving, weights=tuple(sequences / total for sequences, _ in chosen.instances))
    count = work.concurrency
    number = max(ROUNDS * count, LEAST) + 4 * count
    requests = stream_requests(work, number, seed, _longest(serving, chosen))
    run = serve(serving, requests, options=chosen, load=Load(concurrency=count))
    ended = np.sort(run.ledger.finish_s[np.isfinite(run.ledger.finish_s)])
    # The stream has come to rest when everybody in it was replaced twice; it thins out when nobody comes any more.
    first, last = ended[min(2 * count, len(ended) - 2)], ended[max(len(ended) - 1 - count, 0)]
    if not last > first:
        first, last = 0.0, float(ended[-1])
    counted = (run.ledger.finish_s > first) & (run.ledger.finish_s <= last)
    rate = float(requests.output_tokens[counted].sum()) / float(last - first)
    return Streamed(rate, run.figures.in_flight, run)


def _longest(serving: Serving, options: EngineOptions) -> int:
    """Tokens that an instance can hold, a few blocks left aside."""
    room = min(room.tokens - room.sequence_tokens for room in serving.rooms)
    return max(3, int(room // options.block_size) * options.block_size - 2 * options.block_size)


def with_concurrency(question: Request, concurrency: int) -> Request:
    """The question of another stream."""
    return replace(question, workload=replace(question.workload, concurrency=concurrency))
