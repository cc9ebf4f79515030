"""Every policy of the list keeps the same contract; and what each of them promises."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import InputError
from placement.optimize import optimize
from placement.question.requests import Requests, Shared
from placement.readers.cluster.read import read_request
from placement.simulate.serving import Load, serving_of, simulate
from placement.simulate.serving.engine import Engine
from placement.simulate.serving.options import EngineOptions
from placement.simulate.serving.policies import POLICIES, make_policy
from placement.simulate.serving.policies.base import Group, Pass
from placement.simulate.serving.policies.disaggregated import DisaggregatedScheduler
from placement.simulate.serving.policies.infinite import InfiniteScheduler
from placement.simulate.serving.policies.orca import Contiguous
from placement.simulate.serving.policies.vllm import VllmScheduler
from placement.simulate.serving.world import World
from tests.entry_points import installed

from .helpers import DECODE_S, measured, options, planned, random_requests, requests

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in POLICIES),
    ("vllm", {"chunked": False}),
    ("vllm", {"chunked": False, "mixed": True}),
    ("vllm", {"preemption": "swap"}),
    ("vllm", {"watermark": 0.05}),
    ("orca", {"reserve": "pow2"}),
    ("orca", {"reserve": "oracle"}),
]
IDS = [name + "".join(f" {key}={value}" for key, value in given.items()) for name, given in CASES]


def engine_of(
    name: str, given_settings: dict[str, Any], rows: Requests, *, nodes: int = 1, blocks: int = 30, copies: int = 1
) -> Engine:
    """An engine with so many cache blocks of 16 tokens."""
    plan, question = planned(measured(nodes=nodes))
    chosen = options(kv_blocks=blocks, max_num_seqs=8, max_num_batched_tokens=64)
    serving = serving_of(plan, question, chosen, copies=copies)
    return Engine(serving, rows, make_policy(name, given_settings), chosen, Load())


@pytest.mark.parametrize(("name", "chosen"), CASES, ids=IDS)
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1000),
    nodes=st.sampled_from([1, 2, 4]),
    rate=st.sampled_from([2.0, 500.0]),
    blocks=st.sampled_from([10, 30]),
)
def test_nobody_is_lost_and_tokens_are_kept(
    name: str, chosen: dict[str, Any], seed: int, nodes: int, rate: float, blocks: int
) -> None:
    """All requests are served once, with all their tokens, after they came and in order; memory is never over."""
    rows = random_requests(seed, 40, rate=rate)
    copies = max(2, POLICIES[name].instances)
    engine = engine_of(name, chosen, rows, nodes=nodes, copies=copies, blocks=blocks)
    done: list[int] = []
    leave = engine.scheduler.leave

    def left(request: int) -> None:
        done.append(request)
        leave(request)

    engine.scheduler.leave = left  # type: ignore[method-assign]
    for _ in engine.steps():
        check_memory(engine)
    ledger = engine.ledger
    assert sorted(done) == np.flatnonzero(ledger.refused == 0).tolist()
    served = ledger.refused == 0
    assert (ledger.made[served] == ledger.output[served]).all()
    assert (ledger.arrival_s <= ledger.begun_s)[served].all()
    assert (ledger.begun_s < ledger.first_s)[served].all()
    assert (ledger.first_s <= ledger.finish_s)[served].all()
    assert not engine.world.running.any()
    for c in range(engine.serving.instances):
        assert engine.scheduler.reserved(c) == 0.0


def check_memory(engine: Engine) -> None:
    """Nothing is given away twice, and no more than there is."""
    scheduler, world = engine.scheduler, engine.world
    assert (world.free >= 0).all()
    if isinstance(scheduler, InfiniteScheduler | DisaggregatedScheduler):
        elsewhere = sum(sum(loans.values()) for loans in getattr(scheduler, "lent", {}).values())
        assert elsewhere <= sum(pages.total - pages.free for pages in scheduler.pages)
    elif isinstance(scheduler, VllmScheduler):
        for c, pages in enumerate(scheduler.pages):
            held = 0
            for group in world.of_chain[c]:
                doing, done = engine.doing[group.number], int(engine.g.done[group.number])
                steps = set(doing.decoding.tolist()) if doing is not None else set()
                for request in (*group.members.tolist(), *group.prompts):
                    tokens = int(world.ledger.cached[request])
                    own = -(-(tokens + done + 1) // scheduler.block) if request in steps else 0
                    held += max(own, int(world.ledger.held[request]))
            assert held + pages.free == pages.total
    if isinstance(scheduler, Contiguous):
        for c, buddy in enumerate(scheduler.buddies):
            pieces = sorted((at, at + (1 << order)) for at, (order, _) in buddy.taken.items())
            assert all(a[1] <= b[0] for a, b in pairwise(pieces))
            assert buddy.given <= world.capacity(c)


def test_vllm_takes_in_more_than_reservations() -> None:
    """With the same memory paged caches hold the most requests, then true lengths, powers of two, the longest."""
    plan, question = planned(measured())
    rows = random_requests(1, 300, rate=1000.0)
    found = []
    for name, given_settings in (
        ("vllm", {}),
        ("orca", {"reserve": "oracle"}),
        ("orca", {"reserve": "pow2"}),
        ("orca", {"reserve": "max"}),
    ):
        run = simulate(
            plan,
            question,
            rows,
            policy=name,
            settings=given_settings,
            options=options(kv_blocks=64, max_model_len=256, max_num_seqs=64),
        )
        found.append(run.figures.in_flight)
    assert found == sorted(found, reverse=True)
    assert found[0] > 2.0 * found[-1]


def test_request_level_batches_end_together() -> None:
    """A batch is answered when its longest output is done, and the next one begins then."""
    plan, question = planned(measured())
    rows = requests((0.0, 10, 2), (0.0, 10, 30), (0.0, 10, 2), (0.0, 10, 2))
    run = simulate(plan, question, rows, policy="request", settings={"max_batch_size": 2}, options=options())
    finish = run.ledger.finish_s
    assert finish[1] == pytest.approx(finish[0])
    assert run.ledger.begun_s[2] == pytest.approx(finish[0])
    assert finish[3] == pytest.approx(finish[2])


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_who_came_last_is_preempted(preemption: str) -> None:
    """Two requests that grow into 8 blocks together: the second one loses its cache, the first one does not."""
    plan, question = planned(measured())
    rows = requests((0.0, 32, 60), (0.0, 32, 60))
    run = simulate(
        plan, question, rows, settings={"preemption": preemption}, options=options(kv_blocks=8, max_num_seqs=4)
    )
    assert run.ledger.preempted[0] == 0
    assert run.ledger.preempted[1] >= 1
    assert ("swapped_bytes" in run.figures.events) == (preemption == "swap")


def test_decode_steps_go_on_beside_chunks() -> None:
    """A long prompt that comes in between: with chunks the gap between tokens of another request is smaller."""
    plan, question = planned(measured())
    rows = requests((0.0, 10, 200), (0.3, 800, 2))
    gaps = []
    for chunked in (True, False):
        run = simulate(
            plan,
            question,
            rows,
            settings={"chunked": chunked},
            options=options(max_num_batched_tokens=1000 if not chunked else 50),
        )
        gaps.append(run.ledger.first_s[1] - run.ledger.arrival_s[1])
    assert gaps[0] > gaps[1]


def test_whole_prompts_run_beside_decode_steps_where_they_are_mixed() -> None:
    """As vLLM's engine V1 without chunks: a whole prompt in one pass, in which the other request makes a token too.

    Prompts first is one pass more for who decodes; a prompt that does not fit beside the decode steps waits.
    """
    plan, question = planned(measured())
    rows = requests((0.0, 10, 200), (0.3, 900, 2))
    passes, first = [], []
    for mixed in (True, False):
        chosen = {"chunked": False, "mixed": mixed}
        run = simulate(plan, question, rows, settings=chosen, options=options(max_num_batched_tokens=1000))
        passes.append(run.figures.passes)
        first.append(run.ledger.first_s[1])
    assert passes[0] == passes[1] - 1
    assert first[0] >= first[1]
    tight = {"chunked": False, "mixed": True}
    run = simulate(plan, question, rows, settings=tight, options=options(max_num_batched_tokens=900))
    assert run.ledger.begun_s[1] >= run.ledger.finish_s[0]


def test_a_kept_beginning_is_not_computed_again() -> None:
    """The second prompt shares 96 of 100 tokens: its first token comes sooner, and its blocks are held once."""
    plan, question = planned(measured())
    shared = Shared(np.array([0, 1, 2]), np.array([7, 7]), np.array([96, 96]))
    rows = Requests(np.array([0.0, 1.0]), np.array([100, 100]), np.array([50, 50]), shared)
    with_it = simulate(plan, question, rows, options=options())
    without = simulate(plan, question, rows, settings={"prefix_caching": False}, options=options())
    assert with_it.figures.events["prefix_tokens_found"] == 96
    wait = [run.ledger.first_s[1] - run.ledger.arrival_s[1] for run in (with_it, without)]
    assert wait[0] < 0.5 * wait[1]


def test_what_does_not_fit_is_refused_by_name() -> None:
    """A request longer than all blocks is refused and counted, the others are served; alone it is an error."""
    plan, question = planned(measured())
    run = simulate(plan, question, requests((0.0, 10, 10), (0.1, 5000, 10)), options=options(kv_blocks=10))
    assert (run.figures.finished, run.figures.refused) == (1, 1)
    assert "1 requests refused" in run.notes[0]
    with pytest.raises(InputError, match=r"fit into the caches \(160 tokens\)"):
        simulate(plan, question, requests((0.1, 5000, 10)), options=options(kv_blocks=10))


def test_room_that_other_sequences_keep_is_told() -> None:
    """Windows of as many sequences as may run are set aside: what is left is told, and how to leave more."""
    layer = {"weights": "1 GB", "kv_per_token": "1 MB", "activation_per_token": "8 kB"}
    blocks = [{"name": "full", **layer}, {"name": "slide", **layer, "kv_window": 128}]
    node = {"name": "a", "memory": "3 GiB", "compute": "9 TFLOP/s", "memory_bandwidth": "99 GB/s"}
    question = read_request({"model": {"blocks": blocks}, "nodes": [node], "workload": {"context": 900}})
    plan = optimize(None, question, time_limit=1).plan
    with pytest.raises(InputError, match="max_num_seqs=256 sequences keep the rest, fewer leave more"):
        simulate(plan, question, requests((0.0, 800, 10)), options=EngineOptions())
    alone = simulate(plan, question, requests((0.0, 800, 10)), options=EngineOptions(max_num_seqs=1))
    assert alone.figures.finished == 1


def test_unknown_names_and_settings() -> None:
    """The nearest name is offered."""
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        make_policy("vlm")
    with pytest.raises(InputError, match="did you mean 'chunked'"):
        make_policy("vllm", {"chunkd": True})
    with pytest.raises(InputError, match="max, pow2, oracle"):
        make_policy("orca", {"reserve": "all"})


def test_infinite_serves_what_one_instance_cannot_hold() -> None:
    """A context of three times an instance's blocks is refused by vLLM and served with blocks of three others."""
    plan, question = planned(measured())
    rows = requests((0.0, 400, 50), (0.1, 20, 20))
    chosen = options(kv_blocks=12, max_num_batched_tokens=64)
    alone = simulate(plan, question, rows, options=chosen, copies=4)
    lent = simulate(plan, question, rows, policy="infinite", options=chosen, copies=4)
    assert (alone.figures.finished, alone.figures.refused) == (1, 1)
    assert (lent.figures.finished, lent.figures.refused) == (2, 0)
    assert lent.figures.events["remote_bytes"] > 0
    assert lent.figures.events["moved_bytes"] > 0


def test_infinite_is_vllm_where_memory_is_plenty() -> None:
    """Nothing is lent, and every time is the same."""
    plan, question = planned(measured())
    rows = random_requests(3, 60)
    runs = [simulate(plan, question, rows, policy=name, options=options(), copies=2) for name in ("vllm", "infinite")]
    assert runs[0].ledger.finish_s.tolist() == runs[1].ledger.finish_s.tolist()


def test_a_slower_link_makes_caches_elsewhere_slower() -> None:
    """Attention elsewhere waits for the link, in every layer."""
    found = []
    for latency in ("10 us", "5 ms"):
        plan, question = planned(measured(latency=latency))
        run = simulate(
            plan,
            question,
            requests((0.0, 300, 50)),
            policy="infinite",
            options=options(kv_blocks=12, max_num_batched_tokens=64),
            copies=4,
        )
        found.append(run.figures.time_per_token_s.mean)
    assert found[0] < found[1]


def test_prompts_do_not_hold_up_decode_steps_elsewhere() -> None:
    """With prompts on an instance of their own, nobody's decode steps wait for a prompt that comes in between."""
    plan, question = planned(measured())
    rows = requests((0.0, 100, 300), (0.5, 800, 5), (1.5, 800, 5))
    together = simulate(plan, question, rows, options=options(), settings={"chunked": False})
    apart = simulate(plan, question, rows, policy="disaggregated", options=options(), copies=2)
    between = [run.ledger.finish_s[0] - run.ledger.first_s[0] for run in (together, apart)]
    assert between[1] < between[0] - 0.5
    assert apart.figures.events["moved_bytes"] == pytest.approx(1700 * 2 * 64 * 1024)


@dataclass(frozen=True)
class Newest:
    """A policy of another package: who came last is served first, one at a time."""

    def start(self, world: World) -> Contiguous:
        return _Newest(world, "oracle")


class _Newest(Contiguous):
    def admit(self, group: Group, now: float) -> None:
        queue = self.world.queues[group.chain]
        if not group.size and queue and self.place(queue[-1], group.chain):
            queue.rotate(1)
            self.world.take(group)

    def batch(self, group: Group, now: float) -> Pass | None:
        chunks = [(request, int(self.world.ledger.target[request])) for request in group.prompts]
        return Pass(group.members, chunks) if group.size else None


def test_a_policy_of_another_package() -> None:
    """An entry point's class is a policy by its name, and decides who comes next."""
    plan, question = planned(measured())
    rows = requests((0.0, 100, 10), (0.01, 10, 5), (0.02, 10, 5))
    with installed([EntryPoint("newest", f"{__name__}:Newest", "placement.policies")]):
        run = simulate(plan, question, rows, policy="newest", options=options())
    assert np.argsort(run.ledger.finish_s).tolist() == [0, 2, 1]


def test_chains_of_a_replicated_plan_serve_side_by_side() -> None:
    """Two chains, one of them twice as fast: both serve, the faster one more, and every node is used."""
    cluster = measured(nodes=2, placement="replicated")
    cluster["model"]["blocks"][0]["repeat"] = 2
    cluster["nodes"][1]["decode_seconds_per_block"] = DECODE_S / 2.0
    cluster["workload"]["concurrency"] = 16  # a lone request is served best by the fast node
    plan = optimize(None, cluster, time_limit=1.0).plan
    assert len(plan.chains) == 2
    run = simulate(plan, read_request(cluster), random_requests(2, 400, rate=50.0), options=options(max_num_seqs=8))
    served = np.bincount(run.ledger.chain, minlength=2)
    weights = [chain.tokens_per_s or 0.0 for chain in plan.chains]
    assert run.figures.finished == 400
    assert served.min() > 0
    assert served.argmax() == int(np.argmax(weights))
    assert min(run.figures.busy.values()) > 0.0


@pytest.mark.parametrize("model", ["gpt-oss-20b", "gemma-3-12b", "mixtral-8x7b", "deepseek-v3"])
def test_windows_experts_and_compressed_caches(model: str) -> None:
    """Models whose layers see a window, route to experts or compress their caches are served whole."""
    node = {"name": "n", "device": "h200", "tensor_parallel": 8}
    plan, question = planned({"model": model, "nodes": [node], "quantization": "fp8"})
    run = simulate(plan, question, random_requests(1, 60, longest=3000, rate=5.0))
    assert run.figures.finished == 60
    assert run.figures.time_per_token_s.mean > 0


def test_nobody_enters_on_the_blocks_of_a_prompt_before() -> None:
    """A prompt whose last chunk lacks blocks is waited for: who came after it would have to go again at once."""
    engine = engine_of("vllm", {}, requests((0.0, 150, 2), (0.0, 20, 2)), blocks=10)
    scheduler, world = engine.scheduler, engine.world
    assert isinstance(scheduler, VllmScheduler)
    group, ledger = world.groups[0], world.ledger
    world.queues[0].extend([0, 1])
    group.seen = 1.0
    scheduler.pages[0].take(8)  # of the first one seven, one somebody else's
    world.take(group)
    ledger.cached[0], ledger.held[0] = 112, 7
    scheduler.admit(group, 1.0)
    assert group.prompts == [0]
    world.free[0] += 4
    scheduler.admit(group, 1.0)
    assert group.prompts == [0, 1]
