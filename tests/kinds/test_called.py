"""What llama.cpp calls the nodes of a plan where nobody gave an address: devices of one host, servers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from placement.kinds.called import called_by_host, numbered_on_host
from placement.plan.picture import Picture, Place
from placement.plan.plan import PlacedGroup, PlacedSpan, Plan
from tests.export.plans import plan_of

PC = (
    Place("cpu", host="pc", main_memory=True),
    Place("idle", host="pc", device="rtx-3090"),
    Place("card", host="pc", device="rtx-4090"),
    Place("red", host="pc", device="rx-7900-xtx"),
)
MAC, PI = Place("mac", device="m2-ultra-192gb"), Place("pi", device="raspberry-pi-4")


def plan(*spans: PlacedSpan, groups: tuple[PlacedGroup, ...] = ()) -> Plan:
    """Spans on the places above."""
    return drawn(spans, Picture(places=(*PC, MAC, PI)), groups)


def drawn(spans: Sequence[PlacedSpan], picture: Picture | None, groups: tuple[PlacedGroup, ...] = ()) -> Plan:
    """A plan of six blocks with this picture."""
    return replace(plan_of(spans, 4), groups=groups, picture=picture)


def test_one_host_runs_the_command() -> None:
    """Its cards are numbered by vendor in the order of the file, idle ones too; nothing is a server."""
    found = called_by_host(plan(PlacedSpan("card", 0, 3), PlacedSpan("red", 3, 6)), {})
    assert found.at == {"card": "CUDA1", "red": "ROCm0"}
    assert len(found.notes) == 1
    assert "the command runs on 'pc', where card is CUDA1, red is ROCm0" in found.notes[0]


def test_of_several_hosts_that_of_the_first_stage_runs() -> None:
    """Nodes elsewhere stay servers, and a note says how to choose another host."""
    found = called_by_host(plan(PlacedSpan("mac", 0, 3), PlacedSpan("card", 3, 6)), {})
    assert found.at == {"mac": "MTL0"}
    assert "RPC servers elsewhere: card" in found.notes[1]
    assert "--at card=CUDA0" in found.notes[1]


def test_main_memory_with_parts_of_layers_is_where_it_runs() -> None:
    """llama.cpp leaves parts in the main memory of its own host."""
    spans = PlacedSpan("mac", 0, 3), PlacedSpan("card", 3, 6, away="experts", home="cpu")
    assert called_by_host(plan(*spans), {}).at == {"card": "CUDA1", "cpu": "CPU"}


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"mac": "10.0.0.2:50052"}, {"mac": "10.0.0.2:50052", "card": "CUDA1"}),
        ({"card": "CUDA7"}, {"card": "CUDA7"}),
        ({"mac": "10.0.0.2:50052", "card": "10.0.0.3:50052"}, {"mac": "10.0.0.2:50052", "card": "10.0.0.3:50052"}),
    ],
)
def test_what_somebody_said_stays(given: dict[str, str], at: dict[str, str]) -> None:
    """A node with an address is a server, one with a device is on the host that runs; the rest follows from it."""
    assert called_by_host(plan(PlacedSpan("mac", 0, 3), PlacedSpan("card", 3, 6)), given).at == at


def test_processors_hold_the_first_layers_only() -> None:
    """A board that comes later is a server; one that comes first runs the command."""
    assert called_by_host(plan(PlacedSpan("mac", 0, 3), PlacedSpan("pi", 3, 6)), {"mac": "10.0.0.2:1"}).at == {
        "mac": "10.0.0.2:1"
    }
    assert called_by_host(plan(PlacedSpan("pi", 0, 3), PlacedSpan("mac", 3, 6)), {}).at == {"pi": "CPU"}


def test_devices_of_a_group() -> None:
    """Each of them has a name."""
    group = PlacedGroup("pair", ("a", "b"))
    picture = Picture(places=(Place("pair", host="pc", device="rtx-3090"),))
    found = called_by_host(drawn([PlacedSpan("pair", 0, 6)], picture, (group,)), {})
    assert found.at == {"a": "CUDA0", "b": "CUDA1"}


def test_gpus_of_one_host_are_numbered() -> None:
    """As CUDA numbers them, idle ones counted; nothing is numbered over two hosts, beside a processor, or again."""
    cards = PlacedSpan("idle", 0, 3), PlacedSpan("card", 3, 6)
    assert numbered_on_host(plan(*cards), {}).at == {"idle": "0", "card": "1"}
    assert numbered_on_host(plan(*cards), {"idle": "5"}).at == {"idle": "5"}
    assert numbered_on_host(plan(PlacedSpan("red", 0, 6)), {}).at == {"red": "0"}
    beside = PlacedSpan("card", 3, 6)
    for spans in ((PlacedSpan("mac", 0, 6),), (PlacedSpan("cpu", 0, 3), beside), (PlacedSpan("red", 0, 3), beside)):
        assert numbered_on_host(plan(*spans), {}).at == {}
    assert numbered_on_host(plan(PlacedSpan("card", 0, 3), PlacedSpan("mac", 3, 6)), {}).at == {}


def test_without_a_picture_nothing_is_named() -> None:
    """A plan that does not say where its nodes are keeps what was given."""
    assert called_by_host(drawn([PlacedSpan("a", 0, 6)], None), {"a": "CUDA3"}).at == {"a": "CUDA3"}
    assert called_by_host(drawn([PlacedSpan("a", 0, 6)], None), {}).at == {}
