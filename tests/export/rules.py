"""The documented rule of each runtime, from its own documentation and sources: text to the node of every block.

Nothing here is shared with the exporters or their readers.
"""

from __future__ import annotations

import json
import re
import shlex
import struct
import sys
import tomllib
import types
from collections.abc import Callable, Sequence
from typing import Any

Rule = Callable[[str, Sequence[str], int], list[str]]


def shell(text: str) -> list[list[str]]:
    """Words of every command of a script; assignments are left in."""
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def variable(text: str, name: str) -> str:
    """Value of an exported variable."""
    for words in shell(text):
        if words[0] == "export" and words[1].startswith(f"{name}="):
            return words[1].partition("=")[2]
    raise AssertionError(f"{name} is not exported")


def flag(words: Sequence[str], name: str) -> str:
    """The word after a flag."""
    return words[list(words).index(name) + 1]


def accelerate(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """The longest module name that a parameter begins with decides; every parameter must be covered."""
    where = json.loads(text)
    parts = {"embed": ["model.embed_tokens.weight"], "head": ["model.norm.weight", "lm_head.weight"]}
    for layer in range(n_layers):
        tails = ("self_attn.q_proj.weight", "mlp.up_proj.weight", "input_layernorm.weight")
        parts[f"{layer}"] = [f"model.layers.{layer}.{tail}" for tail in tails]
    held = []
    for block in ("embed", *map(str, range(n_layers)), "head"):
        found = set()
        for parameter in parts[block]:
            above = [name for name in where if parameter == name or parameter.startswith(name + ".") or not name]
            found.add(where[max(above, key=len)])
        assert len(found) == 1
        held.append(nodes[found.pop()])
    return held


def pp_indices(partition: str, pp_size: int, n_layers: int) -> list[tuple[int, int]]:
    """`get_pp_indices` of vLLM and SGLang, with its two errors."""
    numbers = [int(part) for part in partition.split(",")]
    if len(numbers) != pp_size:
        raise ValueError(f"{len(numbers)=} does not match {pp_size=}.")
    if sum(numbers) != n_layers:
        raise ValueError(f"{sum(numbers)=} does not match {n_layers=}.")
    return [(sum(numbers[:rank]), sum(numbers[: rank + 1])) for rank in range(pp_size)]


def _staged(ranges: Sequence[tuple[int, int]], nodes: Sequence[str], n_layers: int) -> list[str]:
    held = [""] * n_layers
    for node, (start, stop) in zip(nodes, ranges, strict=True):
        assert not any(held[start:stop])
        held[start:stop] = [node] * (stop - start)
    assert all(held)
    return [nodes[0], *held, nodes[-1]]


def vllm(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Stage r has the layers of `get_pp_indices`; the first embeds, the last has norm and head."""
    command = shell(text)[-1]
    size = int(flag(command, "--pipeline-parallel-size"))
    return _staged(pp_indices(variable(text, "VLLM_PP_LAYER_PARTITION"), size, n_layers), nodes, n_layers)


def sglang(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """The same rule; the command of node rank r is the r-th."""
    commands = [words for words in shell(text) if words[0] == "python"]
    assert [int(flag(words, "--node-rank")) for words in commands] == list(range(len(nodes)))
    size = int(flag(commands[0], "--pp-size"))
    return _staged(pp_indices(variable(text, "SGLANG_PP_LAYER_PARTITION"), size, n_layers), nodes, n_layers)


def single(value: float) -> float:
    """A number rounded to float32."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def llama_cpp(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """`load_tensors` with RPC devices in the order of --rpc; -ot by regular expression, the first one that matches.

    The input embedding is always in main memory, wherever layer 0 is: the rule says nothing about it.
    """
    words = shell(text)[-1]
    servers = flag(words, "--rpc").split(",")
    split = [float(part) for part in flag(words, "-ts").split(",")]
    devices = flag(words, "--device").split(",")
    assert devices == [f"RPC{k}" for k in range(len(servers))]
    slots = min(int(flag(words, "-ngl")), n_layers + 1)
    assert slots == n_layers + 1
    sums, total = [], 0.0
    for share in split:
        total = single(total + share)
        sums.append(total)
    cumulated = [single(part / total) for part in sums]
    held = []
    for slot in range(n_layers + 1):
        place = single(single(slot) / single(slots))
        held.append(nodes[next(k for k, share in enumerate(cumulated) if share > place)])
    overrides = [words[k + 1].rpartition("=") for k, word in enumerate(words) if word == "-ot"]
    for layer in range(n_layers):
        for pattern, _, buffer in overrides:
            if re.search(pattern, f"blk.{layer}.ffn_up.weight"):
                address = re.fullmatch(r"RPC0\[(.+)\]", buffer)
                assert address is not None
                held[layer] = nodes[servers.index(address[1])]
                break
    return [held[0], *held]


def petals(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Each server has its range of layers; the client's ends go with the first and last layer here."""
    ranges = [flag(words, "--block_indices") for words in shell(text) if "--block_indices" in words]
    held = [""] * n_layers
    for node, text_range in zip(nodes, ranges, strict=True):
        start, stop = map(int, text_range.split(":"))
        held[start:stop] = [node] * (stop - start)
    return [held[0], *held, held[-1]]


def torch(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Modules in the order in which they run; a cut before a named module begins the next stage."""
    scope: dict[str, Any] = {}
    split_point = types.SimpleNamespace(BEGINNING="beginning")
    code = text.replace("from torch.distributed.pipelining import SplitPoint", "")
    exec(code, {"SplitPoint": split_point}, scope)
    order = ["model.embed_tokens", *(f"model.layers.{k}" for k in range(n_layers)), "model.norm", "lm_head"]
    stage, held = 0, []
    for module in order:
        stage += module in scope["split_spec"]
        held.append(nodes[stage % len(nodes)])
    assert stage == len(scope["split_spec"])
    assert held[-1] == held[-2]
    return held[:-1]


def torchtitan(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Part i is on rank i modulo the degree."""
    table = tomllib.loads(text)["parallelism"]
    degree, parts = table["pipeline_parallel_degree"], table["module_fqns_per_model_part"]
    assert degree == len(nodes)
    assert len(parts) % degree == 0
    assert len(parts) == degree or table["pipeline_parallel_schedule"] == "Interleaved1F1B"
    where = {name: nodes[k % degree] for k, part in enumerate(parts) for name in part}
    assert sum(map(len, parts)) == len(where) == n_layers + 3
    assert where["norm"] == where["output"]
    return [where["tok_embeddings"], *(where[f"layers.{k}"] for k in range(n_layers)), where["output"]]


def deepspeed(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Run the subclass on a stand-in of `PipelineModule` once per stage and see which entries it takes."""
    held = [""] * (n_layers + 2)
    for rank, node in enumerate(nodes):

        class PipelineModule:
            """What `_partition_layers` needs of the real one."""

            def __init__(self, layers: Any, num_stages: int, loss_fn: Any) -> None:
                assert num_stages == len(nodes)
                self.global_rank = rank  # noqa: B023
                self._topo = types.SimpleNamespace(get_coord=lambda of: types.SimpleNamespace(pipe=of))
                self.bounds: tuple[int, int] = (0, 0)
                self._partition_layers(method="parameters")

            def _partition_layers(self, method: str) -> None:
                raise AssertionError("not overridden")

            def _set_bounds(self, start: int, stop: int) -> None:
                self.bounds = (start, stop)

        fake = types.ModuleType("deepspeed.pipe")
        fake.PipelineModule = PipelineModule  # type: ignore[attr-defined]
        before = {name: sys.modules.get(name) for name in ("deepspeed", "deepspeed.pipe")}
        sys.modules |= {"deepspeed": types.ModuleType("deepspeed"), "deepspeed.pipe": fake}
        try:
            scope: dict[str, Any] = {"layers": [], "loss_fn": None}
            exec(text, scope)
        finally:
            for name, module in before.items():
                sys.modules.pop(name)
                if module is not None:
                    sys.modules[name] = module
        start, stop = scope["model"].bounds
        assert start < stop
        held[start:stop] = [node] * (stop - start)
    assert all(held)
    return held


def megatron(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Stage i is on rank i modulo the size."""
    words = shell(text)[-1]
    size = int(flag(words, "--pipeline-model-parallel-size"))
    layout = flag(words, "--pipeline-model-parallel-layout").replace(",", "")
    while match := re.search(r"(\w)\*(\d+)", layout):
        layout = layout.replace(match[0], match[1] * int(match[2]), 1)
    parts = layout.split("|")
    assert len(parts) % size == 0
    assert "".join(parts) == "E" + "t" * n_layers + "L"
    return [nodes[k % size] for k, part in enumerate(parts) for _ in part]


def prima_cpp(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Layer il goes to the rank whose window il modulo the cycle falls into, ranks in the order 1, 2, ..., 0."""
    commands = shell(text)
    by_rank = {int(flag(words, "--rank")): node for words, node in zip(commands, nodes, strict=True)}
    windows = [int(part) for part in flag(commands[0], "-lw").split(",")]
    assert n_layers % sum(windows) == 0
    assert min(windows) > 0
    assert len(windows) <= 32
    held = []
    for layer in range(n_layers):
        place, rank = layer % sum(windows), 1 % len(windows)
        while place >= windows[rank]:
            place -= windows[rank]
            rank = (rank + 1) % len(windows)
        held.append(by_rank[rank])
    return [by_rank[0], *held, by_rank[0]]


def exo(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """Half-open ranges by runner; a runner belongs to one node."""
    data = json.loads(text)["shardAssignments"]
    ranges = {}
    for node, runner in data["nodeToRunner"].items():
        shard = data["runnerToShard"][runner]["PipelineShardMetadata"]
        assert (shard["nLayers"], shard["worldSize"]) == (n_layers, len(nodes))
        assert nodes[shard["deviceRank"]] == node
        ranges[node] = (shard["startLayer"], shard["endLayer"])
    return _staged([ranges[node] for node in nodes], nodes, n_layers)


def parallax(text: str, nodes: Sequence[str], n_layers: int) -> list[str]:
    """One worker per node, the end exclusive."""
    ranges = [(int(flag(words, "--start-layer")), int(flag(words, "--end-layer"))) for words in shell(text)]
    return _staged(ranges, nodes, n_layers)


RULES: dict[str, Rule] = {
    "accelerate": accelerate,
    "vllm": vllm,
    "sglang": sglang,
    "llama.cpp": llama_cpp,
    "petals": petals,
    "torch": torch,
    "torchtitan": torchtitan,
    "deepspeed": deepspeed,
    "megatron": megatron,
    "prima.cpp": prima_cpp,
    "exo": exo,
    "parallax": parallax,
}
