"""cluster.yaml to a request: expansion, defaults, links, constraints, overrides."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from placement.catalog import hardware
from placement.errors import InputError
from placement.question.model import Block, Model
from placement.readers.cluster import read as reader
from placement.readers.cluster.read import read_request

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.yaml") if "\nnodes:" in path.read_text())
BLOCKS = """
model:
  name: mine
  blocks:
    - {name: embed, weights: 500 MiB, activation_per_token: 16 KiB}
    - {name: layer, repeat: 32, weights: 400 MiB, kv_per_token: 4 KiB, flops_per_token: 0.9 GFLOP}
    - {name: head, weights: 500 MiB}
"""


def read(text: str, **kwargs: Any) -> Any:
    """Read a file with the inline model above."""
    return read_request(yaml.safe_load(BLOCKS + text), **kwargs)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_read(path: Path) -> None:
    """Every example is a whole request whose weights fit the nodes that may be used."""
    request = read_request(path)
    free = sum(node.memory_bytes - node.reserve_bytes for node in request.cluster.nodes)
    assert request.model.weight_bytes < free
    assert request.model.n_blocks >= 34


def test_the_mixed_cluster_has_the_promised_size() -> None:
    """Ten nodes, eighty decoder layers."""
    request = read_request(ROOT / "examples/mixed_cluster.yaml")
    assert request.cluster.n_nodes == 10
    assert sum(block.kv_bytes_per_token > 0 for block in request.model.blocks) == 80


def test_inline_blocks() -> None:
    """Repeats are numbered, gaps are filled from neighbours, operations from the weights."""
    model = read("nodes: [{name: a, device: t4}]").model
    names = [block.name for block in model.blocks]
    assert (names[0], names[1], names[32], names[33]) == ("embed", "layer.0", "layer.31", "head")
    assert {block.activation_bytes_per_token for block in model.blocks} == {16384.0}
    assert model.blocks[1].flops_per_token == 0.9e9
    assert model.blocks[33].flops_per_token == 500 * 2**20
    assert model.blocks[0].lookup
    assert model.blocks[0].flops_per_token == 0
    assert model.blocks[33].last_token_only
    assert any("'head'" in note for note in model.notes)


def test_ties_share_or_copy() -> None:
    """A plain tie is one tensor on one node; with copies every node holds its own."""
    data = yaml.safe_load(BLOCKS + "nodes: [{name: a, device: t4}]")
    data["model"]["ties"] = [["embed", "head"], {"blocks": [1, "layer.1"], "copies": True}]
    data["model"]["ties"].append({"blocks": ["layer.2", "layer.3"], "shared": "1 MiB"})
    model = read_request(data).model
    assert [tie.blocks for tie in model.ties] == [(0, 33), (1, 2), (3, 4)]
    assert [tie.copies for tie in model.ties] == [False, True, False]
    assert [tie.shared_bytes for tie in model.ties] == [500 * 2**20, 0.0, 2**20]


def test_count_and_catalog_figures() -> None:
    """Counted entries are numbered, a plain one keeps its name; the user's figures win over the catalog's."""
    text = "nodes: [{name: tower, device: rtx-4090, count: 2, price: 0 $/h}, {name: mac, device: m2-ultra-192gb}]\n"
    nodes = read(text + "network: {default: ethernet-1g}").cluster.nodes
    card = hardware.device("rtx-4090")
    assert [node.name for node in nodes] == ["tower-0", "tower-1", "mac"]
    assert nodes[0].price_per_hour == 0
    assert nodes[0].power_w == card.power_w
    assert nodes[0].compute_flops_per_s == dict(card.compute_flops_per_s)
    assert nodes[0].overhead_s == card.overhead_s


def test_tensor_parallel_makes_one_node() -> None:
    """Memory, compute, bandwidth, price and power add up; the link between the devices is kept."""
    node = read("nodes: [{name: a, device: a100-40gb-sxm, tensor_parallel: 4}]").cluster.nodes[0]
    card = hardware.device("a100-40gb-sxm")
    assert node.memory_bytes == 4 * card.memory_bytes
    assert node.reserve_bytes == 4 * card.reserve_bytes
    assert node.memory_bandwidth_bytes_per_s == 4 * card.memory_bandwidth_bytes_per_s
    assert node.peak_flops_per_s("bfloat16") == 4 * card.compute_flops_per_s["bfloat16"]
    assert node.price_per_hour == 4 * card.price_per_hour
    assert node.power_w == 4 * card.power_w
    assert node.all_reduce_bandwidth_bytes_per_s == hardware.link("nvlink-3").bandwidth_bytes_per_s


def test_the_most_specific_link_wins() -> None:
    """Named links, then the interconnect of an entry, then regions, then the default."""
    text = """
nodes:
  - {name: a, device: t4, count: 3, region: x, interconnect: {bandwidth: 20 GB/s, latency: 10 us}}
  - {name: b, device: t4, region: x}
  - {name: c, device: t4, region: y}
  - {name: d, device: t4, region: z}
network:
  within: {x: {bandwidth: 2 GB/s, latency: 1 ms}}
  between: [{regions: [x, y], bandwidth: 1 GB/s, latency: 5 ms}]
  links:
    - {nodes: [a-0, a-1], bandwidth: 50 GB/s, latency: 1 us}
    - {nodes: [a, b], bandwidth: 3 GB/s, latency: 2 ms}
    - {nodes: [b, c], bandwidth: 4 GB/s, latency: 3 ms, one_way: true}
  default: {bandwidth: 100 MB/s, latency: 50 ms}
"""
    cluster = read(text).cluster
    table = cluster.bandwidth_bytes_per_s / 1e9
    client = cluster.n_nodes
    assert table[0, 1] == table[1, 0] == 50
    assert table[0, 2] == table[2, 1] == 20
    assert table[0, 3] == table[3, 2] == 3
    assert (table[3, 4], table[4, 3]) == (4, 1)
    assert table[0, 4] == 1
    assert table[0, 5] == table[4, 5] == 0.1
    assert (table[client, 0], table[client, 4], table[client, 5]) == (2, 1, 0.1)
    assert np.isinf(np.diag(table)).all()
    assert (np.diag(cluster.latency_s) == 0).all()


def test_a_single_name_wins_over_its_entry_whatever_the_order() -> None:
    """A link that names one node is more specific than one that names all of an entry."""
    text = "nodes: [{name: a, device: t4, count: 2}, {name: b, device: t4}]\nnetwork:\n  default: pcie-3\n  links:\n"
    text += "    - {nodes: [a-0, b], bandwidth: 1 GB/s, latency: 1 ms}\n"
    text += "    - {nodes: [a, b], bandwidth: 2 GB/s, latency: 2 ms}\n"
    table = read(text).cluster.bandwidth_bytes_per_s
    assert (table[0, 2], table[1, 2]) == (1e9, 2e9)


def test_one_way_regions() -> None:
    """Two one-way lines make an asymmetric link."""
    cluster = read_request(ROOT / "examples/geo.yaml").cluster
    desk, virginia = cluster.index("desk"), cluster.index("virginia-0")
    assert cluster.bandwidth_bytes_per_s[desk, virginia] == 5e6
    assert cluster.bandwidth_bytes_per_s[virginia, desk] == 50e6
    assert cluster.latency_s[-1, virginia] == 0.018


def test_pairs_without_a_link_have_no_bandwidth() -> None:
    """Reachable over others is enough to be in; a pair without a link stays without."""
    text = "nodes: [{name: a, device: t4}, {name: b, device: t4, region: x}, {name: c, device: t4, region: y}]\n"
    text += "network: {between: [{regions: [default, x], link: pcie-3}, {regions: [x, y], link: pcie-3}]}"
    cluster = read(text).cluster
    assert cluster.bandwidth_bytes_per_s[0, 2] == 0


def test_a_lone_node_has_its_client_beside_it() -> None:
    """One node and no network is a whole file; what is assumed is said."""
    cluster = read("nodes: [{name: a, device: t4}]").cluster
    assert cluster.bandwidth_bytes_per_s[0, 1] == 10e9
    assert cluster.latency_s[1, 0] == 50e-6
    assert any("client" in note for note in cluster.notes)


def test_siblings_share_a_host_when_nothing_is_said() -> None:
    """Two cards of one entry are linked as the catalog says, and the cluster says so."""
    cluster = read("nodes: [{name: a, device: rtx-4090, count: 2}]").cluster
    assert cluster.bandwidth_bytes_per_s[0, 1] == hardware.link("pcie-4-x16").bandwidth_bytes_per_s
    assert any("share a host" in note for note in cluster.notes)


def test_client_links() -> None:
    """The client may have links of its own, under `client` or as an end of a link."""
    text = "nodes: [{name: a, device: t4}, {name: b, device: t4}]\nnetwork:\n  default: pcie-3\n"
    text += "  links: [{nodes: [client, b], bandwidth: 2 GB/s, latency: 2 ms}]\n"
    text += "client: {links: [{node: a, bandwidth: 1 GB/s, latency: 1 ms}]}"
    table = read(text).cluster.bandwidth_bytes_per_s
    assert (table[2, 0], table[0, 2], table[2, 1]) == (1e9, 1e9, 2e9)


def test_measured_nodes() -> None:
    """Measured seconds are kept; a missing prefill time is said."""
    text = (
        "nodes: [{name: a, memory: 8 GiB, decode_seconds_per_block: 0.011, decode_batch: 2, decode_table: {4: 0.02}}]"
    )
    cluster = read(text).cluster
    node = cluster.nodes[0]
    assert node.decode_s_per_block == (0.011,)
    assert node.decode_batch == 2
    assert node.decode_table == {4: (0.02,)}
    assert node.prefill_s_per_block == ()
    assert any("no prefill time" in note for note in cluster.notes)


def test_constraints_and_objective() -> None:
    """Names of entries stand for their nodes; pins by number become names; limits go into the objective."""
    text = """
nodes: [{name: a, device: t4, count: 3}, {name: b, device: t4}]
network: {default: pcie-3}
pins: {0: b, layer.3: b, "5": b}
exclude: [a-2]
include: [b]
max_nodes: 2
contiguous: false
placement: replicated
min_replicas: 2
max_stages: 3
objective: [latency, price]
limits: {price: 3 $/h}
workload: {concurrency: 7}
"""
    request = read(text)
    constraints = request.constraints
    assert constraints.pins == {"embed": "b", "layer.3": "b", "layer.4": "b"}
    assert (constraints.exclude, constraints.include) == (("a-2",), ("b",))
    assert (constraints.max_nodes, constraints.contiguous) == (2, False)
    assert (request.kind, request.min_replicas, request.max_stages) == ("replicated", 2, 3)
    assert request.objective.pareto == ("latency", "price")
    assert request.objective.limits == {"price": 3.0}
    assert request.workload.concurrency == 7


def test_objectives_of_replicated_placements() -> None:
    """Their terms, under their aliases too, where a file asks for replicas."""
    nodes = "nodes: [{name: a, device: t4, count: 3}]\nplacement: replicated\n"
    for name, term in (("flow", "flow"), ("served", "throughput"), ("survival", "survival")):
        assert read(f"{nodes}objective: {name}").objective.single == term
    assert read(f"{nodes}objective: [flow, price]").objective.pareto == ("flow", "price")


def test_excluded_nodes_need_no_link() -> None:
    """A node that is out of the question may be off the network."""
    text = "nodes: [{name: a, device: t4}, {name: b, device: t4, region: x}]\nexclude: [b]"
    assert read(text).cluster.bandwidth_bytes_per_s[0, 1] == 0


def test_overrides_win_and_leave_the_source_alone() -> None:
    """`--set` changes values, makes keys, and adds to lists; the caller's mapping stays as it was."""
    data = yaml.safe_load(BLOCKS + "nodes: [{name: a, device: t4}]")
    before = json.dumps(data)
    changes = ["workload.concurrency=8", "nodes[0].memory=10 GiB", "nodes[1]={name: b, device: l4}"]
    request = read_request(data, overrides=[*changes, "network.default=pcie-3", "objective={latency: 1, price: 2}"])
    assert request.workload.concurrency == 8
    assert request.cluster.nodes[0].memory_bytes == 10 * 2**30
    assert request.cluster.names == ("a", "b")
    assert request.objective.weights == {"latency": 1.0, "price": 2.0}
    assert json.dumps(data) == before


def test_json_and_yaml_agree(tmp_path: Path) -> None:
    """A JSON file says the same as the YAML file."""
    path = tmp_path / "cluster.json"
    source = ROOT / "examples/measured.yaml"
    path.write_text(json.dumps(yaml.safe_load(source.read_text(encoding="utf-8"))), encoding="utf-8")
    one, other = read_request(path), read_request(source)
    assert one.model == other.model
    assert one.cluster.nodes == other.cluster.nodes
    assert one.objective == other.objective


def test_a_given_model_wins() -> None:
    """A model from Python takes the place of the file's."""
    model = Model("mine", (Block("x", 1.0),))
    assert read("nodes: [{name: a, device: t4}]", model=model).model is model


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in the file is looked up beside the file, and formats are passed on."""
    seen: dict[str, Any] = {}

    def read_model(spec: str, **options: Any) -> Model:
        seen.update(options, spec=spec)
        return Model("m", (Block("x", 1.0),))

    monkeypatch.setattr(reader, "read_model", read_model)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    path = tmp_path / "cluster.yaml"
    path.write_text("model: config.json\nquantization: q4_k_m\nkv_dtype: fp8\nnodes: [{name: a, device: t4}]\n")
    read_request(path)
    assert seen == {"spec": str(tmp_path / "config.json"), "weights": "q4_k_m", "kv_dtype": "fp8"}


def test_a_thousand_nodes() -> None:
    """Big clusters are read, tables included."""
    nodes = [{"name": f"n{i}", "device": "t4", "memory": f"{i + 1} GiB"} for i in range(1000)]
    data = {**yaml.safe_load(BLOCKS), "nodes": nodes, "network": {"default": "ethernet-10g"}}
    cluster = reader.read_request(data).cluster
    assert cluster.n_nodes == 1000
    assert math.isfinite(cluster.latency_s.max())


def test_an_instance_type_stands_for_its_devices() -> None:
    """g5.12xlarge is four A10G in one host; two of them are two hosts, linked by the network."""
    request = read("nodes: [{name: g5, device: g5.12xlarge, count: 2}]\nnetwork: {default: {link: ethernet-25g}}")
    cluster = request.cluster
    assert [node.name for node in cluster.nodes][:5] == ["g5-0-0", "g5-0-1", "g5-0-2", "g5-0-3", "g5-1-0"]
    assert {node.device for node in cluster.nodes} == {"a10g"}
    assert sum(node.price_per_hour for node in cluster.nodes) == pytest.approx(2 * 5.672)
    within, across = cluster.bandwidth_bytes_per_s[0, 1], cluster.bandwidth_bytes_per_s[0, 4]
    assert within == hardware.link("pcie-4-x16").bandwidth_bytes_per_s
    assert across == hardware.link("ethernet-25g").bandwidth_bytes_per_s
    assert any("4 x a10g" in note for note in cluster.notes)


def test_an_instance_type_with_tensor_parallelism() -> None:
    """The devices of a host may act as one node or as several; what does not divide them is refused."""
    request = read("nodes: [{name: p4, device: p4d.24xlarge, tensor_parallel: 4}]")
    assert [node.tensor_parallel for node in request.cluster.nodes] == [4, 4]
    assert request.cluster.nodes[0].price_per_hour == pytest.approx(21.957642 / 2)
    with pytest.raises(InputError, match="divisor of the 8 devices"):
        read("nodes: [{name: p4, device: p4d.24xlarge, tensor_parallel: 3}]")


def test_the_network_of_a_processor_is_not_the_bus_of_its_host() -> None:
    """A card before the main memory of a CPU of the catalog reaches it over its own bus."""
    card, cpu = {"device": "rtx-3090", "host": "pc"}, {"device": "cpu-ddr5-2ch-64gb", "host": "pc"}
    cluster = read_request({"model": "llama-3.1-8b", "nodes": [{"name": "g", **card}, {"name": "c", **cpu}]}).cluster
    assert cluster.bandwidth_bytes_per_s[0, 1] == cluster.bandwidth_bytes_per_s[1, 0] == 25e9


@pytest.mark.parametrize("network", [{"default": "ethernet-1g"}, {"within": {"default": "ethernet-1g"}}])
def test_lines_for_everything_speak_of_what_is_between_machines(network: dict[str, object]) -> None:
    """Of two hosts on a network, each has its own bus inside; of one host alone, the line is that bus."""
    both = [{"name": f"g{k}", "device": "a100-80gb-sxm", "host": f"h{k}", "count": 2} for k in range(2)]
    cluster = read_request({"model": "llama-3.1-8b", "nodes": both, "network": network}).cluster
    assert cluster.bandwidth_bytes_per_s[0, 1] == cluster.bandwidth_bytes_per_s[3, 2] == 240e9  # NVLink
    assert cluster.bandwidth_bytes_per_s[0, 2] == cluster.bandwidth_bytes_per_s[3, 0] == 0.117e9
    alone = read_request({"model": "llama-3.1-8b", "nodes": both[:1], "network": network}).cluster
    assert alone.bandwidth_bytes_per_s[0, 1] == 0.117e9


def test_the_devices_of_nodes_of_several_are_counted_for_people() -> None:
    """`count` says how many nodes there are, `tensor_parallel` how many devices each has; the product is told."""
    node = {"name": "a", "device": "a100-80gb-sxm", "count": 4, "tensor_parallel": 2}
    notes = read_request({"model": "llama-3.1-8b", "nodes": [node]}).cluster.notes
    assert "nodes of 'a': 4 of 2 devices each, 8 devices in all" in notes
