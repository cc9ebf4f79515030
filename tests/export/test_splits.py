"""Splits as people write them: what each flag does is read, or the flag is refused by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement import optimize
from placement.errors import InputError
from placement.export.api import export_plan, refusals
from placement.export.flags import Flags
from placement.export.partition import at_the_end, but_last
from placement.kinds.pipeline.imported import import_split
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.request import Request
from placement.readers.cluster.read import read_request

CARD = {"memory": "24 GiB", "compute": "70 TFLOP/s", "memory_bandwidth": "900 GB/s"}
CPU = {"name": "cpu", "memory": "256 GiB", "compute": "4 TFLOP/s", "memory_bandwidth": "300 GB/s"}


def asked(model: str, nodes: list[dict[str, Any]], **more: Any) -> Request:
    """A question on devices of one bus."""
    network = {"default": {"bandwidth": "12 GB/s", "latency": "10 us"}}
    return read_request({"model": model, "nodes": nodes, "network": network, **more})


MIXTURE = asked("qwen3-30b-a3b", [CPU, {"name": "g", "count": 2, **CARD}], quantization="q4_k_m")
DENSE = asked("llama-3.1-70b", [CPU, {"name": "g", "count": 3, **CARD}], quantization="q4_k_m")
RANKS = asked("llama-2-13b", [{"name": "r", "count": 4, **CARD, "memory": "80 GiB"}])
WIDE = asked(
    "llama-3.1-70b",
    [{"name": "n", "count": 2, **CARD, "tensor_parallel": 4, "interconnect": "nvlink-3"}],
)


def layers(text: str, runtime: str, request: Request, *nodes: str, **at: str) -> list[str]:
    """Node of every block of a split, with the part of it that lies elsewhere."""
    plan, _ = import_split(text, runtime, request, nodes=nodes, at=at)
    return [
        f"{span.node}-{span.away}" if span.away else span.node
        for span in plan.placement
        for _ in range(span.start, span.stop)
    ]


def test_experts_of_the_first_layers() -> None:
    """`--n-cpu-moe 10` leaves the experts of layers 0 to 9 in main memory, wherever -ts puts the layers."""
    found = layers("-ngl 99 -ts 3,1 --n-cpu-moe 10 --fit off", "llama.cpp", MIXTURE, "g-0", "g-1")
    assert found[1:11] == ["g-0-experts"] * 10
    assert set(found[11:]) == {"g-0", "g-1"}


ALL_EXPERTS = ["--cpu-moe", '-ot ".ffn_.*_exps.=CPU"', r"-ot 'blk\..*\.ffn_(up|down|gate)_exps=CPU'"]


@pytest.mark.parametrize("flag", ALL_EXPERTS)
def test_experts_of_all_layers(flag: str) -> None:
    """All ways to say that all experts stay in main memory are one."""
    found = layers(f"-ngl 99 -ts 1,1 {flag}", "llama.cpp", MIXTURE, "g-0", "g-1")
    assert set(found[1:-1]) == {"g-0-experts", "g-1-experts"}


def test_layers_to_a_device_by_its_usual_name() -> None:
    """CUDA1 is the second device of the host where no --device says otherwise."""
    found = layers(r'-ngl 99 -ts 1,1 -ot "blk\.[0-9]\.=CUDA1"', "llama.cpp", MIXTURE, "g-0", "g-1")
    assert found[1:12] == ["g-1"] * 10 + ["g-0"]


def test_one_device_needs_no_list() -> None:
    """`-ngl 40` of a model of 80 layers: the first 41 slots stay on the CPU."""
    found = layers("-ngl 40", "llama.cpp", DENSE, "cpu", "g-0")
    assert found == ["cpu"] * 42 + ["g-0"] * 40


def test_the_cache_in_main_memory() -> None:
    """`-nkvo` leaves the cache of every layer of a device in main memory."""
    assert set(layers("-ngl 99 -ts 1,1,1 -nkvo", "llama.cpp", DENSE, "g-0", "g-1", "g-2")[1:-1]) == {
        "g-0-cache",
        "g-1-cache",
        "g-2-cache",
    }


def test_caches_beside_experts() -> None:
    """`-nkvo --n-cpu-moe 12`: all caches are in main memory, experts of some layers beside; whole layers stay whole."""
    found = layers("-ngl 40 --n-cpu-moe 12 -nkvo", "llama.cpp", MIXTURE, "cpu", "g-0")
    assert found == ["cpu"] * 10 + ["g-0-experts+cache"] * 3 + ["g-0-cache"] * 36 + ["g-0"]


def test_layers_without_a_cache_keep_nothing_elsewhere() -> None:
    """Where some layers have a state instead of a cache, the plan leaves caches only; the text says what else moves."""
    hybrid = asked("qwen3-next-80b-a3b", [CPU, {"name": "g", **CARD, "memory": "80 GiB"}], quantization="q4_k_m")
    plan, _ = import_split("-ngl 99 -nkvo", "llama.cpp", hybrid, nodes=("g",))
    full = sum(span.stop - span.start for span in plan.placement if span.away == "cache")
    assert full == sum(block.kv_bytes_per_token > 0 for block in hybrid.model.blocks)
    lost = export_plan(plan, "llama.cpp", at={"g": "CUDA0"}).lost
    assert any(f"of {48 - full} the plan leaves them where their layer is" in line for line in lost)


def test_a_tensor_split_is_a_group() -> None:
    """`-sm tensor -ts 2,1,1` is one group with these shares."""
    plan, _ = import_split("-sm tensor -ngl 99 -ts 2,1,1", "llama.cpp", DENSE, nodes=("g-0", "g-1", "g-2"))
    assert plan.groups[0].devices == ("g-0", "g-1", "g-2")
    assert plan.groups[0].shares == (0.5, 0.25, 0.25)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-ngl 99 -sm row -ts 3,1,1", "-sm 'row' divides the rows of every matrix"),
        ("-ngl 99 -ts 1,1,1 --fit on", "--fit on: the layout depends on the memory"),
        ("-ngl 99 -ts 1,1,1 -md draft.gguf", "-md: a draft model has a layout of its own"),
        ("-ngl some -ts 1,1,1", "-ngl: expected a number of layers or all, got 'some'"),
        ("-ngl 99 -ts 1,1,1 -ot 'ffn_down=CPU'", "moves some tensors of the ffn of layer 0 only"),
        ("-ngl 99 -ts 1,1,1 -ot 'attn=CPU'", "moves a part of layer 0 only"),
        ("-ngl 99 -ts 1,1,1 -ot 'ffn=CUDA1'", "moves a part of layer 0 only, and not to main memory"),
        ("-ngl 99 -ts 1,1,1 -ot 'blk=CUDA7'", "none of CUDA0, CUDA1, CUDA2, CPU"),
        ("-sm tensor -ngl 99 -ts 1,1", "the split has 2 devices, there are 3 nodes"),
    ],
)
def test_what_is_not_read_is_refused_by_name(text: str, told: str) -> None:
    """One line that names the flag."""
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        import_split(text, "llama.cpp", DENSE, nodes=("g-0", "g-1", "g-2"))


def test_which_node_is_main_memory_must_be_clear() -> None:
    """Where two nodes are left, --at says which is the CPU."""
    request = asked("qwen3-30b-a3b", [CPU, {**CPU, "name": "other"}, {"name": "g", **CARD}], quantization="q4_k_m")
    with pytest.raises(InputError, match="which node is the CPU of the host"):
        layers("-ngl 99 --cpu-moe", "llama.cpp", request, "g")
    assert layers("-ngl 99 --cpu-moe", "llama.cpp", request, "g", cpu="CPU")[1] == "g-experts"


def test_stages_without_a_list() -> None:
    """vLLM, SGLang and Megatron have rules of their own for stages that no list states."""
    assert layers("vllm serve m -pp 2 -tp 4", "vllm", WIDE, "n-0", "n-1").count("n-0") == 41
    assert but_last(82, 4) == [20, 21, 21, 20]
    assert at_the_end(82, 4) == [20, 20, 21, 21]
    ends = "--decoder-first-pipeline-num-layers 8 --decoder-last-pipeline-num-layers 8"
    found = layers(f"--num-layers 40 --pipeline-model-parallel-size 4 {ends}", "megatron", RANKS)
    assert [found.count(f"r-{k}") for k in range(4)] == [9, 12, 12, 9]


def test_devices_that_follow_each_other_are_a_stage() -> None:
    """`-pp 2 -tp 2` on four devices: two groups of two."""
    plan, _ = import_split("vllm serve m -pp 2 -tp 2", "vllm", RANKS, nodes=("r-0", "r-1", "r-2", "r-3"))
    assert [span.node for span in plan.placement] == ["r-0+r-1", "r-2+r-3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("VLLM_PP_LAYER_PARTITION=38,42 vllm serve m -pp 4 -tp 2", "has 2 stages, -pp says 4"),
        ("vllm serve m -pp 2 -tp 2", "-tp is 2, and 'n-0' is 4 devices"),
        ("vllm serve m -pp 2 -tp 4 -dp 2", "the split has 4 stages, there are 2 nodes"),
    ],
)
def test_flags_that_contradict_are_refused(text: str, told: str) -> None:
    """One line says which two do not agree."""
    with pytest.raises(InputError, match=told):
        import_split(text, "vllm", WIDE, nodes=("n-0", "n-1"))


def test_our_executor_has_a_process_for_each_device_of_a_group() -> None:
    """The torchrun line of a stage that is a group starts as many processes; unequal shares are refused."""
    cards = asked("llama-3.1-8b", [{"name": "g", "count": 3, **CARD}])
    plan, _ = judge(None, cards, (PlacedSpan("g-0+g-1", 0, 20), PlacedSpan("g-2", 20, 34)))
    text = export_plan(plan, "torch").text
    assert "--nproc-per-node 2 --node-rank 0" in text
    assert "--nproc-per-node 1 --node-rank 1" in text
    unequal, _ = judge(None, cards, (PlacedSpan("g-0+g-1@70:30", 0, 34),))
    assert refusals(unequal, "torch") == ["torch divides equally, the plan has unequal shares"]


def test_a_cut_after_a_layer() -> None:
    """`SplitPoint.END` cuts behind the layer, `BEGINNING` before it; other families' names are read too."""
    text = '{"model.layers.9": SplitPoint.END, "transformer.h.20": SplitPoint.BEGINNING, "layers.29": SplitPoint.END}'
    found = layers(text, "torch", RANKS)
    assert [found.count(f"r-{k}") for k in range(4)] == [11, 10, 10, 11]


@pytest.mark.parametrize(
    "text",
    [
        "{'model.embed_tokens': 0, 'model.layers': 0, 'model.norm': 1, 'lm_head': 1}",
        "OrderedDict([('model.embed_tokens', 0), ('model.layers', 0), ('model.norm', 1), ('lm_head', 1)])",
        "{'model': device(type='cuda', index=0), 'lm_head': device(type='cuda', index=1)}",
        '{"transformer.word_embeddings": 0, "transformer.h": 0, "transformer.ln_f": 1, "lm_head": 1}',
    ],
)
def test_printed_maps_of_any_family(text: str) -> None:
    """What Python prints of a map is read, and so are the names of other families."""
    assert layers(text, "accelerate", RANKS, "r-0", "r-1") == ["r-0"] * 41 + ["r-1"]


def test_accelerate_copies_what_lies_in_main_memory() -> None:
    """Layers on "cpu" are copied to the card in every pass: their bytes over the bus, whatever the CPU could do."""
    plan, _ = import_split('{"": "cpu", "lm_head": 0}', "accelerate", DENSE, nodes=("g-0",), at={"cpu": "cpu"})
    moved = sum(block.weight_bytes for block in DENSE.model.blocks[1:-1])
    assert plan.figures.time_per_token_s == pytest.approx(moved / 12e9, rel=0.02)


def test_exo_holds_the_ends_on_every_rank() -> None:
    """Every rank has room for embedding and head beside its layers."""
    nodes = [{"name": "mini", "count": 4, **CARD, "memory": "2 GiB"}]
    request = asked("llama-3.1-8b", nodes, quantization="q4_0", runtime="exo")
    ends = sum(request.model.blocks[block].weight_bytes for block in (0, -1))
    plan = optimize(None, request, time_limit=2).plan
    assert {round(2 * 2**30 - node.memory_bytes) for node in plan.nodes} == {round(ends)}


SOME_EXPERTS = r"-ot 'blk\.(20|21|22)\.ffn_(up|down|gate|gate_up)_exps=CPU'"


@pytest.mark.parametrize("flag", ["--n-cpu-moe 12", "--cpu-moe", SOME_EXPERTS, "-nkvo", "-nkvo --n-cpu-moe 12"])
def test_parts_survive_the_way_through_flags(flag: str) -> None:
    """A layout with parts in main memory, written for llama.cpp and read again, is the same."""
    plan, _ = import_split(f"-ngl 99 -ts 1,1 {flag}", "llama.cpp", MIXTURE, nodes=("g-0", "g-1"))
    text = export_plan(plan, "llama.cpp", at={"g-0": "CUDA0", "g-1": "CUDA1"}).text
    assert all(word in text for word in flag.split() if word.startswith("-"))
    again, _ = import_split(text, "llama.cpp", MIXTURE, nodes=("g-0", "g-1"))
    assert again.placement == plan.placement


ALTERNATING = asked("llama-4-maverick", [CPU, {"name": "g", "count": 2, **CARD}], quantization="q4_k_m")
BOTH = r"--n-cpu-moe 12 -ot 'blk\.(0|2|4)\.ffn_(up|down|gate)\.weight=CPU'"


def test_experts_of_some_layers_and_feed_forwards_of_others() -> None:
    """Two flags, each for one part: both are read, written for llama.cpp again, and read as the same layout."""
    found = layers(f"-ngl 99 -ts 1,1 {BOTH}", "llama.cpp", ALTERNATING, "g-0", "g-1")
    dense = [k for k, block in enumerate(ALTERNATING.model.blocks[1:-1], 1) if not block.experts]
    assert found[1:13] == [
        "g-0-ffn" if k in (1, 3, 5) else "g-0" if k in dense else "g-0-experts" for k in range(1, 13)
    ]
    plan, _ = import_split(f"-ngl 99 -ts 1,1 {BOTH}", "llama.cpp", ALTERNATING, nodes=("g-0", "g-1"))
    text = export_plan(plan, "llama.cpp", at={"g-0": "CUDA0", "g-1": "CUDA1"}).text
    assert text.count("-ot") == 2
    assert import_split(text, "llama.cpp", ALTERNATING, nodes=("g-0", "g-1"))[0].placement == plan.placement


def test_parts_in_the_memories_of_two_hosts_are_no_runtimes() -> None:
    """Cards of two hosts leave parts each in its own main memory: judged, and refused by exporters by name."""
    nodes = [
        {**entry, "name": f"{entry['name']}{k}", "host": f"pc{k}"}
        for k in range(2)
        for entry in ({**CPU, "main_memory": True}, {**CARD, "name": "g"})
    ]
    spans = (PlacedSpan("g0", 0, 25, "experts", "cpu0"), PlacedSpan("g1", 25, 49, "experts", "cpu1"))
    ends = (PlacedSpan("g0", 0, 1), replace(spans[0], start=1), spans[1], PlacedSpan("g1", 49, 50))
    plan, _ = judge(None, asked("qwen3-30b-a3b", nodes, quantization="q4_k_m"), ends)
    assert [span.home for span in plan.placement if span.home] == ["cpu0", "cpu1"]
    told = "llama.cpp leaves parts of layers in one main memory, the plan in those of cpu0 and cpu1"
    assert told in refusals(plan, "llama.cpp")


def test_other_runtimes_refuse_parts() -> None:
    """A runtime that keeps layers in one piece says so."""
    plan, _ = import_split("-ngl 99 -ts 1,1 --cpu-moe", "llama.cpp", MIXTURE, nodes=("g-0", "g-1"))
    assert "vllm keeps a layer in one piece, the plan leaves experts of 'g-0' on 'cpu'" in refusals(plan, "vllm")


def test_parts_of_other_hosts_are_refused() -> None:
    """Main memory serves the cards of its own host."""
    nodes = [{**CPU, "host": "one"}, {"name": "g", "host": "two", **CARD}]
    spans = (PlacedSpan("g", 0, 20, "experts", "cpu"), PlacedSpan("g", 20, 50))
    with pytest.raises(InputError, match="which is not the main memory of its host"):
        judge(None, asked("qwen3-30b-a3b", nodes), spans)


def test_flags_are_words_with_values() -> None:
    """Quotes, equals signs, comments and joined lines are read as a shell reads them; patterns keep backslashes."""
    flags = Flags.of("# a comment\nllama-server -m x \\\n  -ts=3,1 -ot 'blk\\.1=CPU' --cpu-moe -ngl 99")
    assert flags.pairs == (("-m", "x"), ("-ts", "3,1"), ("-ot", "blk\\.1=CPU"), ("--cpu-moe", ""), ("-ngl", "99"))
    assert flags.loose == ("llama-server",)
