"""`placement new` and `check`: what programs print becomes a file that loads, with the links that they tell."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from placement.catalog import hardware
from placement.cli import run
from placement.errors import InputError
from placement.inventory import READERS, read_output
from placement.inventory.found import Found, FoundNode
from placement.inventory.write import cluster_text
from placement.kinds.asked import ask
from placement.question.request import Request

from . import outputs as say


@dataclass(frozen=True)
class Recorded:
    """Outputs of one cluster: their texts by file name, the devices, and some links in GB/s between nodes by number."""

    files: dict[str, str]
    devices: tuple[str, ...]
    links: dict[tuple[int, int], float] = field(default_factory=dict)
    hosts: int = 1


NV3 = hardware.link("nvlink-3").bandwidth_bytes_per_s / 1e9
NV4 = hardware.link("nvlink-4").bandwidth_bytes_per_s / 1e9
A100, H100 = "NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"
RECORDED = {
    "one card, query": Recorded({"pc": say.QUERY}, ("rtx-4090",)),
    "one card, -q": Recorded({"pc": say.LONG}, ("h100-sxm",)),
    "one card, table with MIG, a matrix of one": Recorded({"vm": say.TABLE_MIG, "topo": say.matrix()}, ("h200",)),
    "two cards, table, PHB": Recorded({"pc": say.TABLE, "topo": say.matrix("PHB")}, ("rtx-3090",) * 2, {(0, 1): 22.5}),
    "two cards, a bridge": Recorded(
        {"pc": say.listed(*["NVIDIA GeForce RTX 3090"] * 2), "topo": say.matrix("NV4")},
        ("rtx-3090",) * 2,
        {(0, 1): 44.8},
    ),
    "four cards, PIX and SYS": Recorded(
        {"pc": say.listed(*["NVIDIA L40S"] * 4), "topo": say.matrix("PIX SYS SYS", "SYS SYS", "PIX", nics=2)},
        ("l40s",) * 4,
        {(0, 1): 25.0, (2, 3): 25.0, (0, 2): 12.5, (1, 3): 12.5},
    ),
    "eight cards, all NVLinks": Recorded(
        {"dgx": say.listed(*[A100] * 8), "topo": say.matrix(*[" ".join(["NV12"] * (7 - k)) for k in range(7)], nics=9)},
        ("a100-80gb-sxm",) * 8,
        {(0, 1): NV3, (0, 7): NV3, (3, 4): NV3},
    ),
    "four cards, a part of the NVLinks": Recorded(
        {"box": say.listed(*[A100] * 4), "topo": say.matrix("NV4 NV4 NV4", "NV4 NV4", "NV4")},
        ("a100-80gb-sxm",) * 4,
        {(0, 3): NV3 / 3},
    ),
    "two hosts of NVLink": Recorded(
        {
            "a": say.listed(H100, H100),
            "a-topo": say.matrix("NV18"),
            "b": say.listed(H100, H100),
            "b-topo": say.matrix("NODE"),
        },
        ("h100-sxm",) * 4,
        {(0, 1): NV4, (2, 3): 18.75, (0, 2): 0.117},
        hosts=2,
    ),
    "rocm-smi, JSON": Recorded({"amd": say.ROCM_JSON}, ("mi300x",) * 2, {(0, 1): 50.0}),
    "rocm-smi, text": Recorded({"amd": say.ROCM_TEXT}, ("rx-7900-xtx",)),
    "three Macs": Recorded(
        {"studio": say.mac("Apple M2 Ultra", 192), "mini": say.MAC_JSON, "book": say.mac("Apple M1 Max", 32)},
        ("m2-ultra-192gb", "m4-pro-64gb", "m1-max-32gb"),
        {(0, 1): 0.117},
        hosts=3,
    ),
    "Ray": Recorded({"ray": say.RAY}, ("a10g",) * 8, {(0, 3): 25.0, (0, 4): 0.117}, hosts=2),
    "Kubernetes": Recorded({"k8s": say.KUBERNETES}, (*("a100-80gb-sxm",) * 8, "t4"), {(0, 7): NV3}, hosts=2),
    "exo": Recorded(
        {"exo": say.EXO}, ("m3-ultra-512gb", "m3-ultra-256gb", "m4-max-128gb"), {(0, 1): 6.0, (0, 2): 0.117}, hosts=3
    ),
    "exo, first version": Recorded({"exo": say.EXO_FIRST}, ("m1-max-64gb",)),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_outputs_become_files_that_load(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The devices, their hosts, and the links that the topology says; every assumption has its comment."""
    monkeypatch.chdir(tmp_path)
    case = RECORDED[name]
    for file, text in case.files.items():
        Path(f"{file}.txt").write_text(text, encoding="utf-8")
    files = [f"{file}.txt" for file in case.files]
    assert run(["new", *files, "--model", "llama-3.2-1b", "--out", "cluster.yaml"]) == 0
    text = Path("cluster.yaml").read_text(encoding="utf-8")
    request = ask(None, Path("cluster.yaml")).question
    assert isinstance(request, Request)
    assert tuple(node.device for node in request.cluster.nodes) == case.devices
    assert len({node.host or node.name for node in request.cluster.nodes}) == case.hosts
    assert ("assumed: gigabit" in text) == (case.hosts > 1)
    for (i, j), rate in case.links.items():
        assert request.cluster.bandwidth_bytes_per_s[i, j] / 1e9 == pytest.approx(rate, rel=0.01), (i, j)
    capsys.readouterr()
    assert run(["check", "cluster.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]


def test_llama_cpp_tells_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card by its name with the memory that is free; of an RPC server the memory, the rest is marked."""
    monkeypatch.chdir(tmp_path)
    Path("devices.txt").write_text(say.LLAMA)
    assert run(["new", "devices.txt", "--model", "llama-3.2-1b", "--out", "cluster.yaml"]) == 0
    text = Path("cluster.yaml").read_text()
    assert "memory: 11500 MiB" in text
    assert text.count("is none of the catalog") == 2
    request = ask(None, Path("cluster.yaml")).question
    assert [node.host for node in request.cluster.nodes] == ["192.168.1.20", "devices"]
    assert request.cluster.nodes[1].device == "rtx-4090"


def test_instances_and_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance stands for its devices; the link that is given is no assumption."""
    monkeypatch.chdir(tmp_path)
    words = ["new", "--instance", "g5.12xlarge", "--instance", "g5.xlarge", "--network", "ethernet-25g"]
    assert run([*words, "--model", "llama-3.1-8b", "--out", "cluster.yaml"]) == 0
    request = ask(None, Path("cluster.yaml")).question
    assert request.cluster.n_nodes == 5
    assert "assumed: gigabit" not in Path("cluster.yaml").read_text()


def test_a_host_is_asked_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is `placement new --node` there; its entries stand under the name of the host."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "ssh"
    entry = "nodes:\\n  - {name: gpu-0, device: rtx-3090, host: here}\\n"
    program.write_text(f'#!/bin/sh\necho "$@" > asked\nprintf "{entry}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert run(["new", "--ssh", "me@box", "--model", "llama-3.2-1b", "--out", "cluster.yaml"]) == 0
    assert Path("asked").read_text().split()[-4:] == ["me@box", "placement", "new", "--node"]
    assert [node.name for node in ask(None, Path("cluster.yaml")).question.cluster.nodes] == ["box-gpu-0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.txt"], "nothing.txt: there is no such file"),
        (["strange.txt"], "strange.txt: expected the output of one of"),
        (["topo.txt"], "topo.txt: the topology speaks of GPU 1, but 0 cards"),
        (["alone.txt"], "alone.txt: expected cards or machines"),
        (["headless.txt"], "headless.txt: expected a row with the names of the GPUs"),
        (["wrong.txt"], "expected NV#, PIX, PXB, PHB, NODE, SYS between GPUs, got 'FOO'"),
        (["--instance", "g5.12xlarges"], "did you mean 'g5.12xlarge'"),
        (["--ssh", "-oProxyCommand=x"], "expected a host name"),
        (["pc.txt", "--network", "ethernet-7g"], "the catalog has no link type 'ethernet-7g'"),
        (["pc.txt", "--out", "pc.txt"], "is there already"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 1."""
    monkeypatch.chdir(tmp_path)
    Path("strange.txt").write_text("hello\n")
    Path("pc.txt").write_text(say.QUERY)
    Path("topo.txt").write_text(say.matrix("SYS"))
    Path("wrong.txt").write_text(say.matrix("FOO"))
    Path("alone.txt").write_text(say.matrix())
    Path("headless.txt").write_text("GPU0\t X \t NV12\n")
    assert run(["new", *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", READERS)
def test_readers_survive_what_is_cut_off(name: str) -> None:
    """Any beginning of any output is read or refused by an `InputError`, never by another error."""
    texts = [value for value in vars(say).values() if isinstance(value, str) and len(value) > 60]
    reader = READERS[name].load()
    for text in [*texts, say.listed(A100), say.matrix("NV12 SYS", "PIX"), say.mac("Apple M2", 8)]:
        for stop in range(0, len(text), 97):
            if reader.tells(text[:stop]):
                try:
                    reader.read(text[:stop], "host")
                except InputError:
                    continue


def test_names_are_no_yaml() -> None:
    """A name of a host that YAML would read as something else, or as two lines, comes back as it is."""
    for wicked in ("yes", "1e3", "a: b", "x # y", "ü\u2028z", '"', "null", "- a"):
        node = FoundNode(wicked, (("device", "rtx-4090", "a\nremark"), ("host", wicked, "")))
        text = cluster_text(Found((node,)), model="llama-3.2-1b")
        assert read_output(text, "h", "w").nodes[0].name == wicked


def test_check_says_what_was_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Facts, assumptions, an estimate; a model that does not fit has exit code 2 and the bytes that are missing."""
    monkeypatch.chdir(tmp_path)
    file = {"model": "llama-3.1-8b", "nodes": [{"name": "a", "device": "rtx-4090"}]}
    Path("cluster.json").write_text(json.dumps(file))
    assert run(["check", "cluster.json"]) == 0
    shown = capsys.readouterr().out
    assert "assumed" in shown
    assert "time per token" in shown
    assert run(["check", "cluster.json", "--model", "llama-3.1-70b"]) == 2
    assert "are missing" in " ".join(capsys.readouterr().out.split())
