"""Copies of a pipeline in the words of runtimes: one command where the runtime makes them, else one text for each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from placement.errors import InputError
from placement.export.api import export_plan
from placement.export.copies import copies_of
from placement.kinds.pipeline.imported import import_split
from placement.plan.plan import PlacedChain, PlacedGroup, PlacedSpan, Plan
from placement.question.request import Request
from placement.readers.cluster.read import read_request

from .plans import plan_of

N_LAYERS = 6


def beside(*layouts: list[tuple[str, int]], rates: tuple[float, ...] = ()) -> Plan:
    """Copies from runs of blocks (node, how many)."""
    spans, chains = [], []
    for number, runs in enumerate(layouts):
        stops, at = [], 0
        for node, count in runs:
            spans.append(PlacedSpan(node, at, at + count))
            at += count
            stops.append(at)
        rate = rates[number] if rates else 10.0
        chains.append(PlacedChain(tuple(node for node, _ in runs), tuple(stops), 4, None, rate))
    return replace(plan_of(spans, N_LAYERS, ("a", "b", "c", "d")), chains=tuple(chains))


def asked() -> Request:
    """Four cards of one host and a model of six layers."""
    return read_request(
        {
            "model": {
                "heads": 4,
                "blocks": [
                    {"name": "embed", "weights": "0.1 GB", "activation_per_token": "8 kB", "lookup": True},
                    {"name": "layer", "repeat": N_LAYERS, "weights": "0.2 GB", "activation_per_token": "8 kB"},
                    {"name": "head", "weights": "0.1 GB", "last_token_only": True},
                ],
            },
            "workload": {"concurrency": 8},
            "objective": "throughput",
            "nodes": [
                {"name": name, "host": "pc", "memory": "24 GB", "memory_bandwidth": "1 TB/s", "compute": "90 TFLOP/s"}
                for name in "abcd"
            ],
            "network": {"default": {"bandwidth": "20 GB/s", "latency": "10 us"}},
        }
    )


ALIKE = beside([("a", 5), ("b", 3)], [("c", 5), ("d", 3)])
AT = {"a": "0", "b": "1", "c": "2", "d": "3"}


def test_copies_are_taken_apart() -> None:
    """Each copy is a pipeline of its own."""
    first, second = copies_of(ALIKE)
    assert [(span.node, span.start, span.stop) for span in first.placement] == [("a", 0, 5), ("b", 5, 8)]
    assert [(span.node, span.start, span.stop) for span in second.placement] == [("c", 0, 5), ("d", 5, 8)]
    assert not first.chains


def test_vllm_makes_alike_copies_itself() -> None:
    """Two copies of two stages on four GPUs of a host: one command, which reads back as the same layouts."""
    text = export_plan(ALIKE, "vllm", at=AT).text
    assert text.count("vllm serve") == 1
    assert "--data-parallel-size 2" in text
    assert 'CUDA_VISIBLE_DEVICES="0,1,2,3"' in text
    plan, broken = import_split(text, "vllm", asked(), at=AT)
    assert not broken
    assert plan.placement == ALIKE.placement
    assert [chain.nodes for chain in plan.chains] == [("a", "b"), ("c", "d")]


def test_groups_are_copied() -> None:
    """Two copies, each one group of two: -tp 2 and -dp 2, in both runtimes, and back."""
    plan = beside([("a+b", 8)], [("c+d", 8)])
    plan = replace(plan, groups=(PlacedGroup("a+b", ("a", "b")), PlacedGroup("c+d", ("c", "d"))))
    for runtime, words in (
        ("vllm", "--tensor-parallel-size 2 --data-parallel-size 2"),
        ("sglang", "--tp-size 2 --dp-size 2"),
    ):
        text = export_plan(plan, runtime, at=AT).text
        assert words in text
        back, broken = import_split(text, runtime, asked(), at=AT)
        assert not broken
        assert back.placement == plan.placement
        assert back.groups == plan.groups


def test_other_copies_are_commands_of_their_own() -> None:
    """Unlike copies, or addresses of several hosts: a command for each, with its part of the requests."""
    unlike = beside([("a", 8)], [("b", 5), ("c", 3)], rates=(30.0, 10.0))
    text = export_plan(unlike, "vllm", at={"a": "0", "b": "1", "c": "2"}).text
    assert text.count("vllm serve") == 2
    assert "0.75 of the requests" in text
    assert "0.25 of the requests" in text
    assert export_plan(ALIKE, "llama.cpp").text.count("llama-server") == 2


def test_maps_of_copies_are_a_list() -> None:
    """What is JSON for one pipeline is a list of it with weights for several."""
    data = json.loads(export_plan(ALIKE, "accelerate", at={"a": "0", "b": "1", "c": "2", "d": "3"}).text)
    assert [entry["weight"] for entry in data] == [0.5, 0.5]
    assert data[1]["config"]["model.layers.0"] == 2


def test_copies_need_nodes_of_their_own() -> None:
    """A command that makes more copies than there are devices for is refused."""
    with pytest.raises(InputError, match="the split has 8 stages"):
        import_split("vllm serve m -pp 2 -dp 4", "vllm", asked(), nodes=("a", "b", "c", "d"))


def test_copies_of_a_command_line_are_read(tmp_path: Path) -> None:
    """``-pp 2 -dp 2`` without a list: the runtime's own stages, twice."""
    plan, _ = import_split("vllm serve m -pp 2 -dp 2", "vllm", asked())
    assert [(span.node, span.start, span.stop) for span in plan.placement] == [
        ("a", 0, 4),
        ("b", 4, 8),
        ("c", 0, 4),
        ("d", 4, 8),
    ]
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").chains == plan.chains
