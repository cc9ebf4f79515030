"""Plans run over several processes and give the tokens of the one-process model."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.plan.plan import PlacedChain, Route
from placement.run import run_plan
from tests.run.tiny_models import greedy, plan_by_hand, small_cluster, some_prompts
from tests.sampled import some_quick

Make = Callable[[str], Path]

ONE = (("a", 0, 6),)
SINGLES = tuple((name, k, k + 1) for k, name in enumerate("abcdef"))
SPLITS = {
    "one": ONE,
    "uneven": (("a", 0, 1), ("b", 1, 6)),
    "three": (("a", 0, 2), ("b", 2, 3), ("c", 3, 6)),
    "back and forth": (("a", 0, 2), ("b", 2, 4), ("a", 4, 5), ("b", 5, 6)),
    "six of one block": SINGLES,
}


@pytest.mark.parametrize("split", some_quick(list(SPLITS), 3))
def test_llama_tokens_equal_for_every_split(tiny_model: Make, split: str) -> None:
    """1 to 6 workers, uneven and single-block stages, non-contiguous plans: the tokens do not depend on it."""
    folder, prompts = tiny_model("llama"), some_prompts(2)
    result = run_plan(plan_by_hand(*SPLITS[split]), folder, prompts, 8)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 8)


SLOW = pytest.mark.slow
CASES = [("gpt2", 1), ("mixtral", 8), ("qwen2_moe", 8), ("mistral", 1)]
MORE = [("gpt2", 8), ("mixtral", 1), ("qwen2_moe", 1), ("mistral", 8)]


@pytest.mark.parametrize(("kind", "micro_batch"), [*CASES, *(pytest.param(*case, marks=SLOW) for case in MORE)])
def test_architectures_and_batches(tiny_model: Make, kind: str, micro_batch: int) -> None:
    """GPT-2, mixtures of experts and sliding windows, alone and eight together."""
    folder, prompts = tiny_model(kind), some_prompts(8)
    plan = plan_by_hand(("a", 0, 2), ("b", 2, 4), ("a", 4, 6))
    result = run_plan(plan, folder, prompts, 8, micro_batch=micro_batch)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 8)


def test_prompts_of_different_length_are_never_padded(tiny_model: Make) -> None:
    """Each prompt continues as if it were alone."""
    folder = tiny_model("llama")
    prompts = [some_prompts(1, length, seed=length)[0] for length in (3, 9, 3, 5)]
    result = run_plan(plan_by_hand(*SPLITS["three"]), folder, prompts, 6, micro_batch=4, in_flight=2)
    assert [list(row) for row in result.tokens] == [greedy(folder, [prompt], 6)[0] for prompt in prompts]


def test_figures_are_measured_and_written(tiny_model: Make, tmp_path: Path) -> None:
    """The emulated links show in the time per token; figures, use and trace are files."""
    cluster = small_cluster(3, latency_s=0.02)
    result = run_plan(
        plan_by_hand(*SPLITS["three"]), tiny_model("llama"), some_prompts(1), 6, cluster=cluster, emulate_links=True
    )
    assert result.measured.time_per_token_s > 0.08
    assert result.measured.ttft_s > 0.08
    assert result.emulation == "in-transport"
    assert [stage.name for stage in result.stages] == ["a", "b", "c"]
    assert sum(stage.weight_bytes for stage in result.stages) == sum(stage.read_bytes for stage in result.stages)
    assert {(link.source, link.target) for link in result.links} >= {("client", "a"), ("a", "b"), ("c", "client")}
    result.append_to(tmp_path / "runs.jsonl")
    result.append_to(tmp_path / "runs.jsonl")
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["measured"]["time_per_token_s"] == result.measured.time_per_token_s
    result.write_trace(tmp_path / "trace.json")
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) > 18


@pytest.mark.slow
def test_sequences_in_flight_overlap(tiny_model: Make) -> None:
    """All sequences have a first token before any has its last; with one in flight, each waits for the one before."""
    plan = plan_by_hand(("a", 0, 3), ("b", 3, 6))
    options: dict[str, Any] = {"cluster": small_cluster(2, latency_s=0.03), "emulate_links": True}
    together = run_plan(plan, tiny_model("llama"), some_prompts(4), 8, **options).batches
    assert max(batch["times_s"][0] for batch in together) < min(batch["times_s"][-1] for batch in together)
    in_turn = run_plan(plan, tiny_model("llama"), some_prompts(4), 8, in_flight=1, **options).batches
    assert all(one["times_s"][-1] <= other["began_s"] for one, other in pairwise(in_turn))


def test_replicated_plans_follow_their_routing(tiny_model: Make) -> None:
    """Blocks on two nodes, a span that is entered in its middle: the text is that of one process, by the weights."""
    weights = (("client", "a", 0.5), ("client", "b", 0.5), ("a", "c", 1.0), ("b", "c", 0.5), ("b", "d", 0.5))
    spans = (("a", 0, 3), ("b", 0, 4), ("c", 3, 6), ("d", 4, 6))
    routing = tuple(Route(*weight) for weight in weights)
    plan = plan_by_hand(*spans, kind="replicated", routing=routing, edges="partial")
    folder, prompts = tiny_model("llama"), some_prompts(8)
    result = run_plan(plan, folder, prompts, 6)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 6)
    passes = {stage.name: stage.messages // 6 for stage in result.stages}
    assert passes == {"a": 4, "b": 4, "c": 6, "d": 2}
    held = {stage.name: stage.weight_bytes for stage in result.stages}
    assert held["b"] > held["a"]


def test_holders_without_requests_still_hold_their_blocks(tiny_model: Make) -> None:
    """One prompt goes one way; the nodes of the other way load what the plan gives them."""
    chains = (PlacedChain(("a", "b"), tokens_per_s=2.0), PlacedChain(("c",), tokens_per_s=1.0))
    plan = plan_by_hand(("a", 0, 3), ("b", 3, 6), ("c", 0, 6), kind="replicated", chains=chains)
    folder, prompts = tiny_model("llama"), some_prompts(1)
    result = run_plan(plan, folder, prompts, 3)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 3)
    assert {stage.name: stage.messages for stage in result.stages} == {"a": 3, "b": 3, "c": 0}
    assert all(stage.weight_bytes > 0 for stage in result.stages)
