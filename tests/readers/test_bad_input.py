"""Forty and more mistakes, each with the line that the user reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from placement.errors import InputError
from placement.readers.cluster.read import read_request

MODEL = "model: {name: m, blocks: [{name: embed, weights: 1 MiB, activation_per_token: 1 KiB}, "
MODEL += "{name: layer, repeat: 4, weights: 1 MiB}, {name: head, weights: 1 MiB}]}\n"
NODES = "nodes: [{name: a, memory: 1 GiB, decode_seconds_per_block: 0.01}, "
NODES += "{name: b, count: 2, memory: 1 GiB, decode_seconds_per_block: 0.01}]\n"
NETWORK = "network: {within: {default: {bandwidth: 1 Gbit/s, latency: 1 ms}}}\n"
ONE = "nodes: [{name: a, memory: 1 GiB, decode_seconds_per_block: 0.01, %s}]\n"
GOOD = MODEL + NODES + NETWORK


def model(text: str) -> str:
    """A file whose model has the given keys."""
    return "model: {" + text + "}\n" + NODES + NETWORK


def node(text: str) -> str:
    """A file whose one node has the given further keys."""
    return MODEL + ONE % text


BAD = {
    "not a mapping": ("- 1", "expected a mapping with keys such as 'model' and 'nodes', got [1]"),
    "empty": ("", "got nothing"),
    "tab": ("model: x\n\tnodes: 1", "(line 2, column 1)"),
    "unclosed": ("model: [", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "python tag": ("model: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    "duplicate key": (GOOD + "nodes: []", "the key 'nodes' is given twice (line 4)"),
    "duplicate key inside": (MODEL + "nodes: [{name: a, name: b}]", "the key 'name' is given twice (line 2)"),
    "no model": (NODES, "model: this key is missing"),
    "no nodes key": (MODEL, "nodes: this key is missing"),
    "zero nodes": (MODEL + "nodes: []", "nodes: expected at least 1 of them, got []"),
    "unknown key": (GOOD + "objectiv: latency", "unknown key 'objectiv'; did you mean 'objective'?"),
    "unknown node key": (node("memroy: 1 GiB"), "nodes[0]: unknown key 'memroy'; did you mean 'memory'?"),
    "wrong unit": (
        MODEL + "nodes: [{name: a, memory: 24 GBps}]",
        "nodes[0].memory: expected a size such as '24 GiB', got '24 GBps'",
    ),
    "no unit": (
        MODEL + "nodes: [{name: a, memory: 24}]",
        "nodes[0].memory: expected a size such as '24 GiB', got 24: ",
    ),
    "negative": (node("reserve: -1 GiB"), "nodes[0].reserve: expected a size above zero"),
    "zero memory": (MODEL + "nodes: [{name: a, memory: 0 GiB}]", "nodes[0].memory: expected a size above zero"),
    "decimal comma": (node("reserve: '1,5 GiB'"), "write decimals with a point"),
    "nan": (MODEL + "nodes: [{name: a, memory: .nan}]", "nodes[0].memory"),
    "infinite": (MODEL + "nodes: [{name: a, memory: .inf}]", "not a sensible number"),
    "nan seconds": (
        MODEL + "nodes: [{name: a, memory: 1 GiB, decode_seconds_per_block: .nan}]",
        "nodes[0].decode_seconds_per_block: expected a number of seconds",
    ),
    "missing memory": (MODEL + "nodes: [{name: a}]", "nodes[0]: the key 'memory' (or 'device') is missing"),
    "missing speed": (MODEL + "nodes: [{name: a, memory: 1 GiB}]", "the key 'compute' is missing for node 'a'"),
    "number as name": (MODEL + "nodes: [{name: 7, memory: 1 GiB}]", "nodes[0].name: expected text (quote it), got 7"),
    "unknown device": (
        MODEL + "nodes: [{name: a, device: rtx-4091}]",
        "nodes[0].device: the catalog has no device 'rtx-4091'; did you mean 'rtx-4090'?",
    ),
    "duplicate node": (
        MODEL + "nodes: [{name: a, device: t4}, {name: a, device: t4}]",
        "nodes[1].name: the node name 'a' is used twice (nodes[0] too)",
    ),
    "duplicate by count": (
        MODEL + "nodes: [{name: a, device: t4, count: 2}, {name: a-1, device: t4}]",
        "the node name 'a-1' is used twice",
    ),
    "reserved name": (MODEL + "nodes: [{name: client, device: t4}]", "the name 'client' is taken"),
    "zero count": (node("count: 0"), "nodes[0].count: expected a whole number of at least 1, got 0"),
    "too many nodes": (node("count: 10001"), "nodes[0].count: expected a whole number of at most 10000, got 10001"),
    "too many in sum": (
        MODEL + "nodes: [{name: a, device: t4, count: 9999}, {name: b, device: t4, count: 9}]",
        "nodes: expected at most 2000 nodes, got 10008",
    ),
    "half a node": (node("count: 1.5"), "nodes[0].count: expected a whole number, got 1.5"),
    "reserve above memory": (node("reserve: 2 GiB"), "nodes[0].reserve: expected less than the memory"),
    "efficiency above 1": (node("efficiency: 1.5"), "expected a number above 0 and at most 1, got 1.5"),
    "availability": (node("availability: 0"), "nodes[0].availability: expected a number above 0, got 0"),
    "compute unit": (node("compute: 5 GB/s"), "nodes[0].compute: expected a compute rate such as '40 TFLOP/s'"),
    "number format": (node("compute: {bf17: 1 TFLOP/s}"), "nodes[0].compute: expected a number format"),
    "tensor parallel alone": (node("tensor_parallel: 2"), "nodes[0].interconnect: this key is missing"),
    "list length": (
        node("prefill_seconds_per_block: [1, 2]"),
        "prefill_seconds_per_block: expected one number, or one for each of the 6 blocks, got 2",
    ),
    "table size": (node("decode_table: {none: 1}"), "expected micro-batch sizes of at least 1 as keys, got 'none'"),
    "table length": (node("decode_table: {2: [1, 1]}"), "nodes[0].decode_table[2]: expected one number"),
    "link to nobody": (
        GOOD.replace("}}}", "}}, links: [{nodes: [a, c], bandwidth: 1 GB/s, latency: 1 ms}]}"),
        "network.links[0].nodes: there is no node 'c'",
    ),
    "link to itself": (
        GOOD.replace("}}}", "}}, links: [{nodes: [a, a], bandwidth: 1 GB/s, latency: 1 ms}]}"),
        "expected two nodes, got 'a' twice",
    ),
    "half a link": (GOOD.replace(", latency: 1 ms", ""), "network.within.default: 'latency' is missing"),
    "unknown link type": (GOOD.replace("{bandwidth: 1 Gbit/s, latency: 1 ms}", "wifi-9"), "did you mean 'wifi-"),
    "three ends": (
        GOOD.replace("}}}", "}}, links: [{nodes: [a, b, c], bandwidth: 1 GB/s, latency: 1 ms}]}"),
        "network.links[0].nodes: expected at most 2 of them",
    ),
    "unknown region": (
        GOOD.replace("default:", "defalt:"),
        "no node is in the region 'defalt'; did you mean 'default'?",
    ),
    "region to itself": (
        GOOD.replace("}}}", "}}, between: [{regions: [default, default], link: pcie-3}]}"),
        "(see network.within)",
    ),
    "between twice": (
        (
            MODEL + "nodes: [{name: a, device: t4}, {name: b, device: t4, region: x}]\n"
            "network: {between: [{regions: [default, x], link: pcie-3}, {regions: [x, default], link: pcie-4}]}"
        ),
        "network.between[1].regions: the link from",
    ),
    "disconnected": (MODEL + NODES, "network: no link leads from the client to 'a', 'b-0', 'b-1' and back"),
    "one way only": (
        (
            MODEL + "nodes: [{name: a, device: t4}, {name: b, device: t4, region: x}]\n"
            "network: {between: [{regions: [default, x], link: pcie-3, one_way: true}]}"
        ),
        "no link leads from the client to 'b' and back",
    ),
    "client nowhere": (GOOD + "client: {region: moon}", "no link leads from the client to 'a'"),
    "objective": (GOOD + "objective: speed", "objective: unknown objective 'speed'"),
    "objective of replicas": (GOOD + "objective: flow", "objective: 'flow' is an objective of replicated placements"),
    "objective of pipelines": (
        GOOD + "placement: replicated\nobjective: energy",
        "objective: 'energy' is an objective of pipelines",
    ),
    "objective in a list": (GOOD + "objective: [[]]", "objective: unknown objective []"),
    "objective weight": (GOOD + "objective: {latency: -1}", "objective.latency: expected a number above 0, got -1"),
    "limit unit": (GOOD + "limits: {ttft: 2}", "limits.ttft: expected a time such as '12 ms', got 2: write the unit"),
    "limit name": (GOOD + "limits: {tttf: 2 s}", "limits: unknown key 'tttf'; did you mean 'ttft'?"),
    "workload": (
        GOOD + "workload: {concurrency: 0}",
        "workload.concurrency: expected max, or a whole number of at least 1",
    ),
    "workload text": (
        GOOD + "workload: {concurrency: many}",
        "workload.concurrency: expected max, or a whole number of at least 1, got 'many'",
    ),
    "pin to nobody": (GOOD + "pins: {embed: c}", "pins.embed: there is no node 'c'"),
    "pin to many": (GOOD + "pins: {embed: b}", "it stands for 2 nodes, 'b-0' to 'b-1'"),
    "pin of nothing": (GOOD + "pins: {embedd: a}", "the model has no block 'embedd' (it has 6); did you mean 'embed'?"),
    "pinned twice": (GOOD + "pins: {embed: a, 0: b-0}", "block 0 is pinned to 'a' too"),
    "pinned to excluded": (GOOD + "pins: {embed: a}\nexclude: [a]", "node 'a' is in exclude"),
    "exclude nobody": (GOOD + "exclude: [z]", "exclude[0]: there is no node 'z'"),
    "exclude all": (GOOD + "exclude: [a, b]", "expected at least one node that is not excluded"),
    "include excluded": (GOOD + "include: [a]\nexclude: [a]", "node 'a' is in exclude too"),
    "no nodes allowed": (GOOD + "max_nodes: 0", "max_nodes: expected a whole number of at least 1, got 0"),
    "fewer than included": (GOOD + "max_nodes: 1\ninclude: [b]", "max_nodes: expected at least 2"),
    "kind": (
        GOOD + "placement: pipelin",
        "expected 'pipeline' or 'replicated', got 'pipelin'; did you mean 'pipeline'?",
    ),
    "yes and no": (GOOD + "contiguous: 'no'", "contiguous: expected true or false, got 'no'"),
    "both formats": (GOOD + "dtype: bfloat16\nquantization: q4_k_m", "expected quantization or dtype, got both"),
    "model is a list": (GOOD.replace(MODEL, "model: [1]\n"), "model: expected text (quote it), got [1]"),
    "no blocks": (model("blocks: []"), "model.blocks: expected at least 1 of them, got []"),
    "zero weights": (model("blocks: [{name: x, weights: 0}]"), "model.blocks[0].weights: expected a size above zero"),
    "same block": (
        model("blocks: [{name: x, weights: 1 B}, {name: x, weights: 1 B, activation_per_token: 1 B}]"),
        "the block name 'x' is used twice",
    ),
    "no activation": (model("blocks: [{name: x, weights: 1 B, repeat: 2}]"), "'activation_per_token' is missing"),
    "too many blocks": (
        model(
            "blocks: [{name: x, weights: 1 B, activation_per_token: 1 B, repeat: 6000}, "
            "{name: y, weights: 1 B, repeat: 6000}]"
        ),
        "expected at most 2000 blocks, got 12000",
    ),
    "cut outside": (
        GOOD.replace("}]}\n", "}], forbidden_cuts: [6]}\n", 1),
        "model.forbidden_cuts: expected a block number",
    ),
    "tie of nothing": (
        GOOD.replace("}]}\n", "}], ties: [[embed, hed]]}\n", 1),
        "model.ties[0]: the model has no block",
    ),
    "tie of one": (GOOD.replace("}]}\n", "}], ties: [[embed]]}\n", 1), "model.ties[0].blocks: expected at least 2"),
    "experts": (model("blocks: [{name: x, weights: 1 MiB, experts: 4}]"), "experts also needs experts_per_token"),
    "unknown preset": ("model: llama-3.1-71b\n" + NODES + NETWORK, "llama-3.1-7"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name: str, tmp_path: Path) -> None:
    """Each mistake is an InputError that names the file, the place and the value."""
    text, fragment = BAD[name]
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_request(path)
    message = str(caught.value)
    assert fragment in message
    assert all(line.startswith(str(path)) for line in message.splitlines())
    assert len(message.splitlines()) == 1
    assert len(message) - len(str(path)) < 250


def test_the_base_of_the_table_is_good(tmp_path: Path) -> None:
    """The file that the mistakes are made in is right without them."""
    path = tmp_path / "cluster.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert read_request(path).cluster.names == ("a", "b-0", "b-1")


def test_several_mistakes_are_several_lines(tmp_path: Path) -> None:
    """All mistakes of a file are told at once, each with the file's name."""
    path = tmp_path / "cluster.yaml"
    path.write_text(MODEL + "nodes: [{name: a, memory: 1}, {name: b, memory: 2}]", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_request(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["nodes[0].memory", "nodes[1].memory"]


def test_alias_bombs_are_refused(tmp_path: Path) -> None:
    """A billion laughs, a hundred aliases and an alias in itself are refused before they cost anything."""
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for above, here in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{here}: &{here} [{', '.join(['*' + above] * 9)}]\n"
    path = tmp_path / "bomb.yaml"
    for text, fragment in (
        (laughs, "values, aliases written out"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]", "at most 100 YAML aliases, got 101"),
        ("a: &a [*a]", "contains itself"),
        ("a: " + "[" * 20_000, "not valid YAML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=fragment):
            read_request(path)


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    """Anchors and merges are a normal part of YAML."""
    path = tmp_path / "cluster.yaml"
    nodes = "nodes: [&n {name: a, memory: 1 GiB, decode_seconds_per_block: 0.01}, {<<: *n, name: b}]\n"
    path.write_text(MODEL + nodes + NETWORK, encoding="utf-8")
    assert read_request(path).cluster.names == ("a", "b")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, too big, not text: one line, nothing parsed."""
    big = tmp_path / "big.yaml"
    with big.open("wb") as file:
        file.truncate(10_000_001)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, fragment in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "expected a file, got a folder"),
        (big, "expected at most 10 MB, got 10.0 MB"),
        (binary, "expected text in UTF-8"),
        ("a\0b.yaml", "cannot be read"),
    ):
        with pytest.raises(InputError, match=fragment):
            read_request(path)
    if os.geteuid() != 0:
        binary.chmod(0)
        with pytest.raises(InputError, match="cannot be read"):
            read_request(binary)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('{"model": 1, "model": 2}', "the key 'model' is given twice"),
        ('{"model": }', r"not valid JSON: Expecting value \(line 1, column 11\)"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "expected a mapping"),
    ],
)
def test_bad_json(text: str, fragment: str, tmp_path: Path) -> None:
    """JSON is read with the same care."""
    path = tmp_path / "cluster.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=fragment):
        read_request(path)


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("nonsense", "expected key=value"),
        ("nodes[9].count=2", "has 2 elements"),
        ("nodes.count=2", "nodes is not a mapping"),
        ("model[0]=2", "model is not a list"),
        ("[0]=2", "expected a key path"),
        ("nodes[x]=2", "expected a key path"),
        ("=2", "expected a key path"),
        ("workload.concurrency=[", "not valid YAML"),
        ("workload.concurrency=none", "expected max, or a whole number of at least 1, got 'none'"),
    ],
)
def test_bad_overrides(override: str, fragment: str, tmp_path: Path) -> None:
    """A wrong override names itself."""
    path = tmp_path / "cluster.yaml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_request(path, overrides=[override])
    assert fragment in str(caught.value)


def test_a_mapping_is_checked_too() -> None:
    """Python callers get the same lines."""
    with pytest.raises(InputError, match=r"^cluster: nodes: this key is missing"):
        read_request(json.loads('{"model": "x"}'))
