"""What is wrong in what somebody says of groups, parts and copies is told in one line, and nothing of it is guessed."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize
from placement.errors import InputError
from placement.kinds.asked import ask
from placement.kinds.pipeline.imported import import_split
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.readers.cluster.read import read_request

from .instances import CPU

CARDS: dict[str, Any] = {"name": "a", "device": "rtx-3090", "count": 4, "host": "pc"}
PC: dict[str, Any] = {"model": "llama-3.1-8b", "nodes": [CARDS, CPU]}


@pytest.mark.parametrize("change", [{"nodes": [{**CARDS, "tensor_parallel": 3}, CPU]}, {"tensor_parallel": 5}])
def test_degrees_that_do_not_divide_heads(change: dict[str, Any]) -> None:
    """Devices that cannot hold the model in equal shares, of an entry or of all, are refused; the heads are told."""
    with pytest.raises(InputError, match=r"nodes\[a-0\]\.tensor_parallel: expected devices that can divide the 32 att"):
        ask(None, PC | change)


def test_a_runtime_with_unequal_shares_divides_anything() -> None:
    """llama.cpp splits rows as it likes: three cards may hold a model together."""
    found = ask(None, PC | {"nodes": [{**CARDS, "tensor_parallel": 3}, CPU], "runtime": "llama.cpp"}).question
    assert found.cluster.nodes[0].tensor_parallel == 3


def test_a_degree_for_all_is_one_for_cards() -> None:
    """The processor with the main memory stays one device."""
    nodes = ask(None, PC | {"tensor_parallel": 2}).question.cluster.nodes
    assert [node.tensor_parallel for node in nodes] == [2, 2, 2, 2, 1]
    assert nodes[-1].memory_bytes == 64 * 2**30


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        ({"a-0+cpu": 34}, "a group of cards takes no processor: 'cpu' is the main memory of its host"),
        ({"a-0+a-1": 17, "a-1+a-2": 34}, "a device is in two groups of the layout"),
        ({"a-0+a-1@50:30:20": 34}, "the plan uses node 'a-0.a-1@50:30:20', which the cluster lacks"),
        ({"a-0+b": 34}, "the plan uses node 'a-0.b', which the cluster lacks"),
        ({"a-0": 99}, "the spans end at block 99"),
    ],
)
def test_layouts_with_impossible_groups(spans: dict[str, int], told: str) -> None:
    """Strangers, devices in two groups, shares that are not one for each, processors among cards."""
    starts = [0, *spans.values()]
    placement = [PlacedSpan(name, starts[k], stop) for k, (name, stop) in enumerate(spans.items())]
    with pytest.raises(InputError, match=told):
        judge(None, PC, placement)


def test_a_group_over_a_link_that_is_not_there() -> None:
    """Devices that reach each other one way only sum nothing."""
    links = [
        {"nodes": ["client", "x"], "link": "pcie-4-x16"},
        {"nodes": ["x", "y"], "link": "pcie-4-x16", "one_way": True},
        {"nodes": ["y", "client"], "link": "pcie-4-x16", "one_way": True},
    ]
    nodes = [{"name": name, "device": "rtx-3090"} for name in "xy"]
    with pytest.raises(InputError, match="a group needs links between its members: 'y' has none to 'x'"):
        judge(None, {**PC, "nodes": nodes, "network": {"links": links}}, [PlacedSpan("x+y", 0, 34)])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("-ngl 99 -ts 1,1 -kvo -nkvo", "-nkvo beside -kvo: expected one of the two"),
        ("--device none -ngl 99", "--device none beside -ngl '99': without devices every layer is the CPU's"),
        ("-sm tensor -ngl 99 --cpu-moe", "--cpu-moe beside -sm tensor: parts of a group are not read"),
    ],
)
def test_contradicting_flags(flags: str, told: str) -> None:
    """Two flags of which one would have to be left aside are refused by their names."""
    with pytest.raises(InputError, match=told):
        import_split(flags, "llama.cpp", read_request(PC), nodes=("a-0", "a-1"))


def test_no_devices_are_the_processor() -> None:
    """`--device none` alone leaves every layer on the CPU, as `-ngl 0` does."""
    plan, _ = import_split("--device none", "llama.cpp", read_request(PC), nodes=("cpu",))
    assert {span.node for span in plan.placement} == {"cpu"}


def test_a_search_begins_from_groups_that_it_would_not_form() -> None:
    """What runs on three cards, which would not share the heads equally, is among what is searched, not a stranger."""
    yours, broken = judge(None, PC, [PlacedSpan("a-0..a-2", 0, 34)])
    assert not broken
    found = optimize(None, PC, start=yours, time_limit=2).plan
    assert found.objective.value <= yours.objective.value * (1 + 1e-9)
