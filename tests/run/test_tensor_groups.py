"""Devices that hold blocks together give the tokens of one process that holds them alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.errors import InputError
from placement.plan.plan import PlacedGroup, Plan, Route
from placement.run import Launch, RunError, rendezvous, run_plan
from placement.run.control import Control
from placement.run.job import Emulation, Job, places_of
from placement.run.process_map import ProcessMap
from tests.run.tiny_models import greedy, plan_by_hand, some_prompts

Make = Callable[[str], Path]


def grouped(*spans: tuple[str, int, int], groups: Mapping[str, tuple[str, ...]], **changes: Any) -> Plan:
    """A plan by hand some of whose nodes are groups."""
    placed = tuple(PlacedGroup(name, devices) for name, devices in groups.items())
    return plan_by_hand(*spans, groups=placed, **changes)


PAIR = grouped(("a+b", 0, 6), groups={"a+b": ("a", "b")})
FOUR = grouped(("a..d", 0, 6), groups={"a..d": ("a", "b", "c", "d")})
STAGES = grouped(("a+b", 0, 2), ("c", 2, 3), ("d+e", 3, 6), groups={"a+b": ("a", "b"), "d+e": ("d", "e")})
FORTH = grouped(("a+b", 0, 2), ("c", 2, 3), ("a+b", 3, 5), ("c", 5, 6), groups={"a+b": ("a", "b")})
SLOW = pytest.mark.slow
CASES = [
    ("pair", PAIR, "llama"),
    ("two groups and a device", STAGES, "llama"),
    pytest.param("more devices than KV heads", FOUR, "llama", marks=SLOW),
    pytest.param("back and forth", FORTH, "mistral", marks=SLOW),
    ("experts", PAIR, "mixtral"),
    pytest.param("shared experts, biases", PAIR, "qwen2_moe", marks=SLOW),
]


@pytest.mark.parametrize(("name", "plan", "kind"), CASES)
def test_tokens_are_those_of_the_whole_model(tiny_model: Make, name: str, plan: Plan, kind: str) -> None:
    """Pairs and fours, one stage or several, tied embeddings, windows and experts: several sequences in flight."""
    folder, prompts = tiny_model(kind), some_prompts(3)
    result = run_plan(plan, folder, prompts, 6, micro_batch=2)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 6), name


def test_a_device_of_a_group_holds_its_part_only(tiny_model: Make) -> None:
    """Both devices together hold the matrices once (norms are small and held twice), and half of the cache each."""
    folder = tiny_model("llama")
    alone = run_plan(plan_by_hand(("a", 0, 6)), folder, some_prompts(1), 3)
    both = run_plan(PAIR, folder, some_prompts(1), 3)
    assert [stage.name for stage in both.stages] == ["a", "b"]
    held = [stage.weight_bytes for stage in both.stages]
    assert held[0] == held[1] < 0.53 * alone.stages[0].weight_bytes
    assert [stage.cache_bytes for stage in both.stages] == [alone.stages[0].cache_bytes // 2] * 2
    assert {row["node"] for row in both.record()["blocks"]} == {"a+b"}


def test_copies_of_groups_take_turns(tiny_model: Make) -> None:
    """Two pipelines side by side, each one group: every second sequence goes to each."""
    groups = {"a+b": ("a", "b"), "c+d": ("c", "d")}
    routing = (Route("client", "a+b", 0.5), Route("client", "c+d", 0.5))
    plan = grouped(("a+b", 0, 6), ("c+d", 0, 6), groups=groups, routing=routing)
    folder, prompts = tiny_model("llama"), some_prompts(4)
    result = run_plan(plan, folder, prompts, 3)
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 3)
    assert {stage.name: stage.messages // 3 for stage in result.stages} == dict.fromkeys("abcd", 2)


@SLOW
def test_a_lost_device_of_a_group_ends_the_run_in_one_line(tiny_model: Make) -> None:
    """The device that is killed is named, and the tokens so far are kept."""
    pids: dict[str, int] = {}

    def progress(count: int) -> None:
        if count >= 8 and "b" in pids:
            os.kill(pids.pop("b"), signal.SIGKILL)

    launch = Launch(started=pids.update, progress=progress, timeout_s=120.0)
    with pytest.raises(RunError, match="'b' is lost") as caught:
        run_plan(PAIR, tiny_model("llama"), some_prompts(1), 4000, launch=launch, limit_s=2.0)
    assert "\n" not in str(caught.value)
    assert len(caught.value.tokens[0]) >= 8


def test_the_devices_of_groups_are_places() -> None:
    """Each device has a process of its own, in the order of the stages."""
    assert places_of(Job(STAGES, "m", ((1,),), 1)) == ("a", "b", "c", "d", "e", "client")


def test_what_is_not_run_is_refused_by_name() -> None:
    """Unequal shares, emulated links, recovery, and devices that nccl cannot reach."""
    unequal = replace(PAIR, groups=(PlacedGroup("a+b", ("a", "b"), (0.7, 0.3)),))
    with pytest.raises(InputError, match=r"'a\+b' have unequal shares \(70:30\), and only equal ones are run"):
        Job(unequal, "m", ((1,),), 1)
    Job(replace(PAIR, groups=(PlacedGroup("a+b", ("a", "b"), (0.5, 0.5)),)), "m", ((1,),), 1)
    with pytest.raises(InputError, match=r"replan: 'a\+b' is a tensor parallel group"):
        Job(PAIR, "m", ((1,),), 1, replan="m:f", cluster={"nodes": []})
    with pytest.raises(InputError, match="emulate_links: links are emulated for messages between stages"):
        Job(PAIR, "m", ((1,),), 1, emulation=Emulation({"a>b": (0.1, 1e6)}))
    with pytest.raises(InputError, match="'b' is on the CPU"):
        Job(PAIR, "m", ((1,),), 1, backend="nccl", devices={"a": "cuda:0"})


@pytest.mark.parametrize(
    ("kind", "devices", "message"),
    [
        ("gpt2", "ab", "how a 'gpt2' divides over devices is not known; plan with tensor_parallel: 1"),
        ("llama", "abc", "4 attention heads do not divide by the 3 devices of a group"),
    ],
)
def test_models_that_do_not_divide(tiny_model: Make, kind: str, devices: str, message: str) -> None:
    """One line before anything is loaded."""
    plan = grouped(("g", 0, 6), groups={"g": tuple(devices)})
    with pytest.raises(RunError, match=message):
        run_plan(plan, tiny_model(kind), some_prompts(1), 2)


def test_a_job_with_groups_comes_back_as_it_was(tmp_path: Path) -> None:
    """Workers read the groups from the job file."""
    Job(STAGES, "m", ((1, 2),), 4).save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json").plan == STAGES
    assert json.loads((tmp_path / "job.json").read_text())["plan"]["groups"][0]["devices"] == ["a", "b"]


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_a_process_group_finds_no_keys_but_its_own(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """nccl asks for '0' at once: what a device said of itself under its number must not answer it."""
    from torch.distributed import HashStore  # type: ignore[attr-defined]

    store, seen = HashStore(), []
    here = SimpleNamespace(together=(0, 1), uid=0, name="a", places=("a", "b"))
    job = SimpleNamespace(start_limit_s=5.0, backend=backend, address_of=lambda name: "127.0.0.1")
    control = Control(store, 0)
    control.put("tensor/7/0/1", True)  # the other device has loaded
    for name in ("make_group", "make_device_group"):
        monkeypatch.setattr(rendezvous, name, lambda own, *_args: seen.append(own))
    made = rendezvous.Rendezvous(cast(Job, job), cast(ProcessMap, here), store, control, lambda: False)
    made.tensor_group(cast(rendezvous.Generation, SimpleNamespace(number=7)))
    assert control.get("tensor/7/0/0") is True
    assert not seen[0].check(["0"])
    assert not seen[0].check(["1"])
