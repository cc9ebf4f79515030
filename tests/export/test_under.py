"""Questions under the rules of a runtime: the best over groups of alike nodes, and bounds that stay true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement import InfeasibleError, InputError, optimize, plugins
from placement.export import make_runtime
from placement.export.api import RefusedError, export_plan, refusals
from placement.export.base import Source
from placement.kinds.pipeline.imported import import_split
from placement.readers.cluster.read import read_request

from .plans import from_owners

MODEL = {
    "name": "m",
    "blocks": [
        {"name": "embed", "weights": "100 MiB", "activation_per_token": "8 KiB"},
        {"name": "layer", "repeat": 6, "weights": "400 MiB", "activation_per_token": "8 KiB"},
        {"name": "head", "weights": "100 MiB"},
    ],
}


def cluster(**changes: Any) -> dict[str, Any]:
    """Two regions of two nodes; the second region is faster."""
    nodes = [
        {
            "name": name,
            "region": name[0],
            "memory": "2 GiB",
            "decode_seconds_per_block": seconds,
            "prefill_seconds_per_block": 0.05,
        }
        for name, seconds in (("a0", 0.02), ("a1", 0.02), ("b0", 0.01), ("b1", 0.01))
    ]
    link = {"bandwidth": "1 Gbit/s", "latency": "1 ms"}
    network = {"within": {"a": link, "b": link}, "between": [{"regions": ["a", "b"], **link}]}
    return {"model": MODEL, "nodes": nodes, "network": network, **changes}


def test_one_host_is_the_best_region() -> None:
    """accelerate drives one host: the faster region is found, and the bound is proven for both."""
    plan = optimize(None, cluster(runtime="accelerate"), time_limit=3).plan
    assert {span.node for span in plan.placement} == {"b0", "b1"}
    free = optimize(None, cluster(), time_limit=3).plan
    assert plan.objective.bound is not None
    assert free.objective.value <= plan.objective.value * (1 + 1e-9)
    assert plan.objective.bound <= plan.objective.value * (1 + 1e-9)


def test_a_region_that_is_too_small_is_infeasible() -> None:
    """With the reasons of the regions."""
    small = cluster(runtime="accelerate")
    for node in small["nodes"]:
        node["memory"] = "1 GiB"
    with pytest.raises(InfeasibleError):
        optimize(None, small, time_limit=1)


def test_regions_and_tensor_parallel_are_checked_with_the_cluster() -> None:
    """What a plan alone does not show."""
    request = read_request(cluster())
    plan = from_owners(["a0"] * 4 + ["b0"] * 4)
    assert not refusals(plan, "accelerate")
    assert refusals(plan, "accelerate", request) == [
        "accelerate needs all nodes on one host (nodes of one region); the plan has a, b"
    ]
    first, *others = request.cluster.nodes
    wide = replace(request, cluster=replace(request.cluster, nodes=(replace(first, tensor_parallel=2), *others)))
    assert "of one tensor_parallel" in refusals(plan, "vllm", wide)[0]
    with pytest.raises(RefusedError):
        export_plan(plan, "vllm", request=wide)


def test_pins_that_a_runtime_cannot_keep() -> None:
    """A pinned block elsewhere than its neighbours must be is an error or infeasible, not a wrong plan."""
    with pytest.raises(InputError, match="pins and include name others"):
        optimize(None, cluster(runtime="accelerate", pins={"embed": "a0", "head": "b0"}), time_limit=1)
    with pytest.raises(InputError, match="no node that could hold embedding and head together"):
        optimize(None, cluster(runtime="prima.cpp", pins={"embed": "a0", "head": "b0"}), time_limit=1)


def test_prima_cpp_gets_its_ring() -> None:
    """The embedding lies alone on the node that ends the ring."""
    plan = optimize(None, cluster(runtime="prima.cpp"), time_limit=12).plan
    assert not refusals(plan, "prima.cpp")
    assert plan.placement[0].node == plan.placement[-1].node
    assert plan.placement[0].stop == 1


def test_shares_of_llama_cpp_are_read_as_it_reads_them() -> None:
    """`-ts 3,1` over 6 layers and the output: slots 0 to 5 of 7 are below three quarters."""
    plan, broken = import_split("-ts 3,1", "llama.cpp", read_request(cluster()), nodes=("a0", "a1"))
    assert [(span.node, span.start, span.stop) for span in plan.placement] == [("a0", 0, 7), ("a1", 7, 8)]
    assert broken


def test_overrides_of_single_tensors_cannot_be_read() -> None:
    """Experts on the CPU are a part of a layer, which is no block."""
    text = "-ngl 999 -ts 3,4 --device CUDA0,CUDA1 -ot 'blk\\..*_exps\\.=CUDA0'"
    with pytest.raises(InputError, match="moves a part of layer"):
        make_runtime("llama.cpp").read(Source(text, 6, ("a", "b")))


def test_windows_of_prima_cpp_repeat() -> None:
    """The example of its documentation: 16,16,24,8 over 64 layers begins on rank 1 and ends on rank 0."""
    spans = make_runtime("prima.cpp").read(Source('-lw "16,16,24,8"', 64, ("r0", "r1", "r2", "r3")))
    assert [(span.node, span.start, span.stop) for span in spans] == [
        ("r0", 0, 1),
        ("r1", 1, 17),
        ("r2", 17, 41),
        ("r3", 41, 49),
        ("r0", 49, 66),
    ]


def test_plugins_are_exporters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group `placement.exporters` is a runtime."""
    from importlib.metadata import EntryPoint

    point = EntryPoint("mine", "placement.export.vllm:Vllm", "placement.exporters")
    plugins.plugins.cache_clear()
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == "placement.exporters" else [])
    try:
        assert make_runtime("mine").name == "vllm"
    finally:
        plugins.plugins.cache_clear()
