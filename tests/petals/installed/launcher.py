"""A private swarm on loopback: one process group for each server, all of them gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shim  # noqa: F401  (first of all)
from hivemind import P2P, PeerID

HERE = Path(__file__).parent
PREFIX = "_tiny"
START_S = 180.0


@dataclass
class Swarm:
    """Servers by name; `spans` is filled by `start`."""

    folder: Path
    model: Path
    rtt_s: Mapping[str, Mapping[str, float]]
    block_s: Mapping[str, float]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    peer_ids: dict[str, str] = field(default_factory=dict)
    first: str = ""

    def prepare(self) -> None:
        """Identities, so that delays between peers can be told before they start."""
        for name in self.block_s:
            path = self.folder / f"{name}.id"
            if not path.exists():
                P2P.generate_identity(str(path))
            self.peer_ids[name] = PeerID.from_identity(path.read_bytes()).to_base58()
        world = {
            "peers": {peer: name for name, peer in self.peer_ids.items()},
            "rtt_s": self.rtt_s,
            "block_s": dict(self.block_s),
        }
        (self.folder / "world.json").write_text(json.dumps(world))

    def start(self, name: str, *words: str) -> None:
        """Start a server; the first one is the peer that the others are told of."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"/ip4/127.0.0.1/tcp/{port}"
        peers = ["--initial_peers", self.first] if self.first else ["--new_swarm"]
        command = [
            sys.executable,
            str(HERE / "server.py"),
            name,
            str(self.folder / "world.json"),
            *self.extra(words),
            str(self.model),
            "--dht_prefix",
            PREFIX,
            "--device",
            "cpu",
            "--torch_dtype",
            "float32",
            "--host_maddrs",
            address,
            "--announce_maddrs",
            address,
            "--identity_path",
            str(self.folder / f"{name}.id"),
            "--num_handlers",
            "1",
            "--throughput",
            "auto",
            "--update_period",
            "5",
            "--public_name",
            name,
            "--attn_cache_tokens",
            "2048",
            *[word for word in words if word != "--our-rules"],
            *peers,
        ]
        log = (self.folder / f"{name}.log").open("wb")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parents[2]))),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
            "HF_HUB_OFFLINE": "1",
        }
        self.running[name] = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
        )
        if not self.first:
            self.first = f"{address}/p2p/{self.peer_ids[name]}"
            self.wait(name, word=b"Running a server on")

    @staticmethod
    def extra(words: tuple[str, ...]) -> list[str]:
        """Our own switches, before those of Petals."""
        return [word for word in words if word == "--our-rules"]

    def wait(self, *names: str, word: bytes = b"Started") -> None:
        """Until the servers say that they serve."""
        end = time.monotonic() + START_S
        for name in names:
            log = self.folder / f"{name}.log"
            while word not in log.read_bytes():
                if self.running[name].poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"server {name} did not start: {log.read_text()[-2000:]}")
                time.sleep(0.2)

    def wait_any(self, names: Iterable[str], word: bytes, times: int = 1) -> str:
        """Until one of the servers has said something so many times; its name."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for name in names:
                if (self.folder / f"{name}.log").read_bytes().count(word) >= times:
                    return name
            time.sleep(0.2)
        raise RuntimeError(f"none of {', '.join(names)} said {word.decode()!r} {times} times")

    def kill(self, name: str) -> None:
        """End a server and its children at once."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End them all."""
        for name in list(self.running):
            self.kill(name)
        self.first = ""


@contextlib.contextmanager
def swarm(folder: Path, model: Path, rtt_s: Any, block_s: Mapping[str, float]) -> Iterator[Swarm]:
    """A swarm that is gone when the block ends, also on SIGTERM."""
    made = Swarm(folder, model, rtt_s, block_s)

    def stop(*_: Any) -> None:
        made.stop()
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        made.prepare()
        yield made
    finally:
        made.stop()
        signal.signal(signal.SIGTERM, before)
