"""The machine at hand as a cluster file: what vendors' tools print, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from placement.errors import InputError
from placement.optimize import optimize
from placement.profile.here import AMD, NVIDIA, Processor, addresses, called_here, cards, processor, this_machine

TWO_CARDS = "NVIDIA GeForce RTX 3090, 24576, 24100\nNVIDIA GeForce RTX 3080, 10240, 9900\n"
RADEON = json.dumps(
    {
        "card0": {
            "Card series": "Radeon RX 7900 XTX",
            "VRAM Total Memory (B)": "25753026560",
            "VRAM Total Used Memory (B)": "27959296",
        },
        "system": {"Driver version": "6.7"},
    }
)


def tools(**printed: str) -> Any:
    """Stands for the vendors' tools: what each prints, nothing where it is not installed."""
    known = {NVIDIA: printed.get("nvidia", ""), AMD: printed.get("amd", "")}

    def run(words: Sequence[str]) -> str:
        return known.get(tuple(words), "")

    return run


def chip() -> Processor:
    """A desktop processor with 64 GiB."""
    return Processor(60 * 2**30, 60e9, 1e12)


def test_cards_of_both_vendors_are_found() -> None:
    """Names and free memory as the tools print them, in the order in which llama.cpp numbers them."""
    found = cards(tools(nvidia=TWO_CARDS, amd=RADEON))
    assert [card.called for card in found] == ["CUDA0", "CUDA1", "ROCm0"]
    assert found[0].free_bytes == 24100 * 2**20
    assert found[2].name == "Radeon RX 7900 XTX"


def test_a_machine_is_a_question() -> None:
    """Two unlike cards and main memory of one host: gpt-oss-20b goes on the cards."""
    machine = this_machine(tools(nvidia=TWO_CARDS), chip)
    assert [node["name"] for node in machine["nodes"]] == ["gpu-0", "gpu-1", "cpu"]
    plan = optimize("gpt-oss-20b", machine, time_limit=2).plan
    assert any(span.node.startswith("gpu-0") for span in plan.placement)
    assert addresses(tools(nvidia=TWO_CARDS)) == {"gpu-0": "CUDA0", "gpu-1": "CUDA1", "cpu": "CPU"}


def test_a_machine_without_cards_has_its_processor() -> None:
    """No tool prints anything: the processor is the only node."""
    assert [node["name"] for node in this_machine(tools(), chip)["nodes"]] == ["cpu"]


def test_strange_output_is_left_out() -> None:
    """What is no line of a card is none."""
    assert cards(tools(nvidia="No devices were found\n", amd="[1, 2")) == []


def test_a_card_that_nobody_knows_is_told() -> None:
    """One line with its name: rates of a card cannot be guessed."""
    with pytest.raises(InputError, match="no device 'Strange Card 9'"):
        this_machine(tools(nvidia="Strange Card 9, 8192, 8000\n"), chip)


def test_the_processor_is_measured() -> None:
    """Rates are numbers above 0, whatever else runs."""
    found = processor(0.05)
    assert found.bytes_per_s > 0
    assert found.flops_per_s > 0


@pytest.mark.parametrize(("host", "called"), [("here", {"gpu-0": "CUDA0", "gpu-1": "CUDA1"}), ("tower", {})])
def test_a_plan_of_this_machine_needs_no_addresses(host: str, called: dict[str, str]) -> None:
    """Nodes on the host that stands for this machine are its devices; others keep the addresses they are given."""
    card = {"memory": "10 GB", "device": "rtx-3090", "host": host, "tensor_parallel": 1}
    data = {"model": "llama-3.1-8b", "nodes": [{"name": "gpu-0", **card}, {"name": "gpu-1", **card}], "network": {}}
    plan = optimize(None, data, time_limit=5).plan
    assert len(plan.placement) == 2
    assert called_here(plan, tools(nvidia=TWO_CARDS)) == called
