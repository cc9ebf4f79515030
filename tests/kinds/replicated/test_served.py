"""Served throughput: the estimate ranks placements as the closed-loop simulation does; tables from a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.replicated.routing import FILL, SPARE
from objectives.replicated.tables import ReplicatedTables
from objectives.spans import Span
from placement import optimize
from placement.costs.build import build_tables
from placement.kinds.asked import ask
from placement.kinds.replicated.case import case_of
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.cluster import Cluster, Node
from placement.question.objective import objective_of
from placement.question.request import Constraints, Request
from placement.question.workload import Workload
from placement.readers.cluster.read import read_request
from placement.readers.helix import read_helix
from placement.readers.models.read import read_model
from placement.search.stop import max_evaluations
from placement.simulate.closed_loop import simulate
from tests.objectives.replicated.cases import make_case
from tests.sampled import some_quick


def rank(values: Any) -> Any:
    return np.argsort(np.argsort(values))


@pytest.mark.slow
def test_estimate_follows_the_simulation() -> None:
    """Over random staged placements of invented clusters: Spearman's correlation, and the level."""
    correlations, ratios = [], []
    for seed in range(4, 12):
        case = make_case(seed, nodes=14, blocks=10)
        case["links"].update(source_bandwidth=1e8, sink_bandwidth=1e8)
        problem = ReplicatedProblem(read_helix(case).tables, objective_of("served", REPLICATED))
        rng, found, expected = np.random.default_rng(0), [], []
        for genome in problem.random(rng, 40):
            spans = problem.decode(genome)
            service = problem.details(spans)[0].service
            if service.tokens_per_s <= 0:
                continue
            seconds = 300 * problem.tables.output_tokens / service.tokens_per_s
            served = simulate(problem.tables, spans, service.weights, rng, warm_s=0.3 * seconds, seconds=seconds)
            found.append(served.tokens_per_s)
            expected.append(service.tokens_per_s)
        assert len(found) > 15
        correlations.append(np.corrcoef(rank(found), rank(expected))[0, 1])
        ratios.append(np.median(np.divide(expected, found)))
    assert np.mean(correlations) > 0.82
    assert 0.85 < np.mean(ratios) < 1.1


def chain(concurrency: int, prompt_s: float) -> ReplicatedProblem:
    """Three nodes that hold two blocks each, one of them slower than the others."""
    block = {
        "name": "layer",
        "repeat": 6,
        "weights": "100 MiB",
        "kv_per_token": "1 KiB",
        "activation_per_token": "1 KiB",
    }
    seconds = zip((0.010, 0.016, 0.012), "abc", strict=True)
    document = {
        "model": {"name": "small", "blocks": [block]},
        "placement": "replicated",
        "workload": {"prompt_tokens": 100, "output_tokens": 64, "concurrency": concurrency},
        "nodes": [
            {"name": n, "memory": "1 GiB", "decode_seconds_per_block": s, "prefill_seconds_per_block": prompt_s}
            for s, n in seconds
        ],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "1 ms"}},
    }
    return ReplicatedProblem(case_of(read_request(document)).tables, objective_of("served", REPLICATED))


CHAIN = (Span(0, 0, 2), Span(1, 2, 4), Span(2, 4, 6))


@pytest.mark.parametrize(("prompt_s", "within"), [(0.02, 0.15), (0.1, 0.25)])
@pytest.mark.parametrize("concurrency", some_quick([4, 1, 2, 16, 64], 1))
def test_a_chain_is_served_as_estimated(concurrency: int, prompt_s: float, within: float) -> None:
    """From a lone request to a full ring within 15% of the simulation; prompts of ten decode steps: within 25%."""
    problem = chain(concurrency, prompt_s)
    service = problem.details(CHAIN)[0].service
    seconds = 600 * problem.tables.output_tokens / service.tokens_per_s
    rng = np.random.default_rng(0)
    seen = simulate(problem.tables, CHAIN, service.weights, rng, warm_s=0.3 * seconds, seconds=seconds)
    assert service.in_flight == pytest.approx(concurrency)
    assert service.tokens_per_s == pytest.approx(seen.tokens_per_s, rel=within)


def test_nobody_waits_in_a_ring_that_has_room() -> None:
    """Two requests whose services fit into a round wait for each other's prompts only; nobody does without prompts."""
    alone, two = (chain(number, 1e-9).details(CHAIN)[0].service for number in (1, 2))
    assert two.time_per_token_s == pytest.approx(alone.time_per_token_s, rel=1e-6)
    assert chain(2, 0.1).details(CHAIN)[0].service.time_per_token_s > 1.01 * alone.time_per_token_s


def test_others_hold_a_request_up_by_their_prompts_at_most() -> None:
    """A lone request waits for nobody; of several, each holds a step up by one prompt per output at most."""
    case = make_case(5, nodes=14, blocks=10)
    tables = read_helix(case).tables
    for concurrency in (1.0, 2.0, 4.0):
        crowd = ReplicatedProblem(replace(tables, concurrency=concurrency), objective_of("served", REPLICATED))
        for genome in crowd.random(np.random.default_rng(0), 10):
            service = crowd.details(crowd.decode(genome))[0].service
            if service.tokens_per_s > 0 and concurrency == 1.0:
                assert service.time_per_token_s == pytest.approx(service.light_time_per_token_s)
            elif service.tokens_per_s > 0:
                most = (concurrency - 1.0) / tables.output_tokens * service.light_ttft_s
                # Batches grow, and the decode steps of others are waited for.
                assert service.time_per_token_s <= concurrency * service.light_time_per_token_s + most


def wide(count: int, blocks: int, concurrency: int) -> ReplicatedTables:
    """So many alike nodes, whose waves of 27 take 1.6 times as long as a lone request, and prompts ten times."""
    block = {"name": "layer", "repeat": blocks, "weights": "100 MiB", "kv_per_token": "1 KiB"}
    document = {
        "model": {"name": "small", "blocks": [block | {"activation_per_token": "1 KiB"}]},
        "placement": "replicated",
        "workload": {"prompt_tokens": 100, "output_tokens": 200, "concurrency": concurrency},
        "nodes": [
            {
                "name": f"n{k}",
                "memory": "8 GiB",
                "decode_seconds_per_block": 0.01,
                "prefill_seconds_per_block": 0.1,
            }
            for k in range(count)
        ],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "1 ms"}},
    }
    tables = case_of(read_request(document)).tables
    at = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0])
    seconds = 0.01 * np.array([0.0, 1.0, 1.0, 1.05, 1.15, 1.3, 2.4])
    return replace(tables, decode_at=at, decode_s=np.tile(seconds, (count, 1)))


def test_a_wave_that_a_prompt_gathers_stays_together_where_nothing_overtakes() -> None:
    """A ring of seven, and one whose last stages are pairs: both as simulated within 10%, the ring slower in both."""
    ring = [Span(k, k, k + 1) for k in range(7)]
    pairs = [*ring, *(Span(3 + k, k, k + 1) for k in range(4, 7))]
    found, seen = [], []
    for spans in (ring, pairs):
        problem = ReplicatedProblem(wide(len(spans), 7, 27), objective_of("served", REPLICATED))
        service = problem.details(spans)[0].service
        seconds = 1500 * problem.tables.output_tokens / service.tokens_per_s
        rng = np.random.default_rng(0)
        served = simulate(problem.tables, spans, service.weights, rng, warm_s=0.3 * seconds, seconds=seconds)
        found.append(service.tokens_per_s)
        seen.append(served.tokens_per_s)
    assert found == pytest.approx(seen, rel=0.1)
    assert found[0] < found[1]
    assert seen[0] < seen[1]


def test_in_flight_are_those_for_whom_chains_have_room() -> None:
    """Two chains that meet nowhere, one node of each small: the scarcest block has room for more than the chains."""
    spans = [Span(0, 0, 3), Span(1, 3, 6), Span(2, 0, 2), Span(3, 2, 6)]
    tables = wide(4, 6, 400)
    room = np.array([40.0, 4.0, 6.0, 40.0])
    tokens = tables.prompt_tokens + tables.output_tokens
    tables = replace(tables, kv_tokens=np.tile(tokens * room[:, None], (1, tables.kv_tokens.shape[1])))
    for partial in (False, True):  # the second chain may then go on from the end of the first one's node
        problem = ReplicatedProblem(replace(tables, partial=partial), objective_of("served", REPLICATED))
        service = problem.details(spans)[0].service
        rng = np.random.default_rng(0)
        seen = simulate(problem.tables, spans, service.weights, rng, warm_s=100.0, seconds=1000.0)
        assert service.in_flight == pytest.approx(FILL * (44.0 if partial else 10.0) - SPARE)
        assert service.in_flight == pytest.approx(seen.in_flight, rel=0.12)
        assert 1.0 / problem.evaluate(problem.encode(spans)[None])[0][0] == pytest.approx(service.tokens_per_s)


def test_tables_from_a_request() -> None:
    """A model and a cluster of measured nodes become a problem whose best plan serves."""
    model = read_model("llama-2-7b")
    nodes = tuple(
        Node(f"n{i}", 16e9, decode_s_per_block=(0.002,), prefill_s_per_block=(0.02,), availability=0.9)
        for i in range(4)
    )
    latency, band = np.full((5, 5), 0.001), np.full((5, 5), 1e9)
    request = Request(model, Cluster(nodes, latency, band), Workload(128, 32, 8), kind="replicated", min_replicas=1)
    (task,) = ask(None, request).tasks()
    problem: Any = task.problem
    assert problem.objective.single == "throughput"
    assert problem.tables.n_blocks == model.n_blocks
    costs, broken = problem.evaluate(problem.starts()[:1])
    assert broken[0] == 0
    assert costs[0] > 0


def test_pins_include_and_max_nodes_are_kept() -> None:
    """A pinned node holds its block, an included one something, and no more nodes are used than may be."""
    nodes = tuple(
        Node(f"n{i}", 16e9, decode_s_per_block=(0.002 + 0.001 * i,), prefill_s_per_block=(0.02,)) for i in range(6)
    )
    latency, band = np.full((7, 7), 0.001), np.full((7, 7), 1e9)
    rules = Constraints(pins={"embed": "n5", 3: "n4"}, include=("n3",), max_nodes=4)
    request = Request(
        read_model("llama-2-7b"),
        Cluster(nodes, latency, band),
        Workload(128, 32, 8),
        kind="replicated",
        constraints=rules,
    )
    case = case_of(request)
    problem = ReplicatedProblem(case.tables, objective_of("served", REPLICATED))
    assert problem.evaluate(problem.starts())[1][0] == 0.0  # searches begin with one that keeps them
    plan = optimize(None, case, stop=max_evaluations(20_000), time_limit=60.0).plan
    held = {span.node: range(span.start, span.stop) for span in plan.placement}
    assert plan.status == "solved"
    assert 0 in held["n5"]
    assert 3 in held["n4"]
    assert "n3" in held
    assert len(held) <= 4
    _, broken = judge(None, case, [PlacedSpan("n0", 0, 34)])
    assert broken == (
        "'n5' must hold embed, and does not",
        "'n4' must hold layer.2, and does not",
        "'n3' must hold something, and does not",
    )


def test_rates_of_blocks_in_a_row_by_plain_sums() -> None:
    """What a node does with k blocks, of unlike ones too, is what sums over every k blocks in a row say."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        blocks = [
            {
                "name": f"b{k}",
                "weights": f"{rng.uniform(0, 3):.3f} GiB",
                "kv_per_token": f"{rng.integers(0, 900)} KiB",
                "activation_per_token": "8 KiB",
            }
            for k in range(int(rng.integers(1, 9)))
        ]
        nodes = [
            {"name": name, "memory": f"{rng.uniform(1, 12):.3f} GiB", "decode_seconds_per_block": 0.01}
            for name in ("a", "b", "c")
        ]
        wide = {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}}}
        data = {"model": {"blocks": blocks}, "nodes": nodes, "network": wide, "placement": "replicated"}
        request = ask(None, data | {"workload": {"concurrency": int(rng.integers(1, 9))}}).question
        tables, found = build_tables(request, streams=False), case_of(request).tables
        for node in range(3):
            for k in range(1, len(blocks) + 1):
                sums = [
                    max(table[i : i + k].sum() for i in range(len(blocks) - k + 1))
                    for table in (tables.weight_bytes, tables.kv_bytes)
                ]
                free = tables.capacity_bytes[node] - sums[0]
                room = (free / sums[1] if sums[1] else np.inf) if free > 0 else 0.0
                told = found.rate[node, k - 1] if k <= found.rate.shape[1] else 0.0
                assert (told > 0) == (room >= 1.0)
