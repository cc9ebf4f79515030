"""`placement profile --serve` and `--peers`: latency and bandwidth of links, over the transport that the executor uses.

A peer must know the server's token: both prove it by an HMAC over the other's random number, and the group that the two
then form is named by a secret derived from it. Under torchrun all pairs of processes are measured in turn.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, PlacementError
from .link_pings import part, ping, pong

_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A measured link.

    Attributes
    ----------
    a, b : str
        Names of the two ends.
    latency_s, latency_p95_s : float
        Half a round trip of a small message: median and 95th percentile.
    bandwidth_bytes_per_s : float
        Of large messages, latency taken off; the slower direction.
    """

    a: str
    b: str
    latency_s: float
    latency_p95_s: float
    bandwidth_bytes_per_s: float

    def entry(self) -> dict[str, Any]:
        """Return the entry of `network.links` in cluster.yaml."""
        return {
            "nodes": [self.a, self.b],
            "latency": f"{self.latency_s * 1e6:.5g} us",
            "bandwidth": f"{self.bandwidth_bytes_per_s / 1e6:.5g} MB/s",
        }


def serve(token: str, *, bind: str = "127.0.0.1", port: int = 0, name: str = "", once: bool = False,
          ready: Any = None, limit_s: float | None = None) -> None:  # fmt: skip
    """Answer measurements until stopped.

    Parameters
    ----------
    token : str
        Peers must know it; at least 8 characters.
    bind : str
        Address to listen on; nothing but loopback unless told otherwise.
    ready : callable, optional
        Called with the port.
    once : bool
        Stop after the first measurement.
    limit_s : float, optional
        Stop after that many seconds.
    """
    _check_token(token)
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((bind, port))
        server.listen(4)
    except OSError as error:
        server.close()
        raise InputError(f"cannot listen on {bind}:{port} ({error.strerror or error})", "--serve") from None
    until = time.monotonic() + limit_s if limit_s else float("inf")
    with server:
        server.settimeout(0.5)
        if ready is not None:
            ready(server.getsockname()[1])
        while time.monotonic() < until:
            try:
                peer, _ = server.accept()
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(_LIMIT_S)
                try:
                    _answer(peer, token, bind, name or socket.gethostname())
                except (OSError, ValueError, PlacementError, RuntimeError):
                    continue  # a stranger, or a peer that left: the next one may be fine
                if once:
                    return


def measure_peer(address: str, token: str, *, name: str = "") -> LinkProfile:
    """Measure the link to a server at ``host:port``; raise `InputError` when it cannot be reached or says no."""
    _check_token(token)
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"expected host:port, got {address!r}", "--peers")
    try:
        with socket.create_connection((host, int(port)), timeout=_LIMIT_S) as peer:
            peer.settimeout(_LIMIT_S)
            mine = peer.getsockname()[0]
            secret, hello = _prove(peer, token, {"name": name or socket.gethostname()})
            transport = _pair(host, int(hello["store"]), secret, 1, mine)
            figures = ping(transport, 1, 0)
            part(transport, 1, 0)
    except OSError as error:
        raise InputError(f"cannot be reached ({error.strerror or error})", address) from None
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the measurement broke off ({str(error).splitlines()[0]})", address) from None
    return LinkProfile(name or socket.gethostname(), str(hello["name"]), *figures)


def measure_all_pairs(names: Sequence[str] | None = None, *, device: str = "cpu") -> list[LinkProfile]:
    """Measure every pair of processes of a torchrun launch; rank 0 gets the list, the others an empty one.

    Parameters
    ----------
    names : sequence of str, optional
        Of the processes, by rank.
    device : str
        "cpu": tensors in host memory, over gloo. "cuda": tensors on the GPU of the local rank, over nccl.
    """
    import torch.distributed as dist

    missing = [key for key in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if key not in os.environ]
    if missing:
        raise InputError(f"expected to be started by torchrun ({', '.join(missing)} not set)", "--all-pairs")
    dist.init_process_group("gloo")
    try:
        rank, size = dist.get_rank(), dist.get_world_size()
        titles = list(names) if names else [f"rank-{k}" for k in range(size)]
        found: list[LinkProfile] = []
        transport = _among_all(rank, size, device)
        for a in range(size):
            for b in range(a + 1, size):
                dist.barrier()
                if rank == a:
                    found.append(LinkProfile(titles[a], titles[b], *ping(transport, a, b)))
                elif rank == b:
                    pong(transport, b, a)
        dist.barrier()
        if size > 1:
            part(transport, rank, (rank + 1) % size)
        gathered: list[Any] = [None] * size
        rows = [(f.a, f.b, f.latency_s, f.latency_p95_s, f.bandwidth_bytes_per_s) for f in found]
        dist.all_gather_object(gathered, rows)
        return [LinkProfile(*row) for rows in gathered for row in rows] if rank == 0 else []
    finally:
        dist.destroy_process_group()


def _among_all(rank: int, size: int, device: str) -> Any:
    import torch
    import torch.distributed as dist

    from ..run.device_groups import DeviceGroups
    from ..run.transport import Transport

    if not device.startswith("cuda"):
        return Transport(dist.group.WORLD, range(size), rank)
    if not torch.cuda.is_available():
        raise InputError("torch sees no CUDA device here", device)
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device
    torch.cuda.set_device(own)
    groups = DeviceGroups.make(dist.distributed_c10d._get_default_store(), rank, size)
    groups.meet(rank, [(a, b) for a in range(size) for b in range(size) if a != b], own)
    return Transport(dist.group.WORLD, range(size), rank, between_gpus=groups, device=own)


def _check_token(token: str) -> None:
    if len(token) < 8:
        raise InputError("expected a token of at least 8 characters, the same on both sides", "--token")


def _answer(peer: socket.socket, token: str, bind: str, name: str) -> None:
    from ..run.control import open_store

    nonce = secrets.token_hex(16)
    _say(peer, {"nonce": nonce})
    hello = _hear(peer)
    if not hmac.compare_digest(_sign(token, "peer", nonce), str(hello.get("proof"))):
        _say(peer, {"error": "the token is not the same"})
        raise InputError("a peer with another token", "--serve")
    with socket.socket() as probe:
        probe.bind((bind, 0))
        port = probe.getsockname()[1]
    store = open_store(bind, port, serve=True)
    _say(peer, {"proof": _sign(token, "server", str(hello["nonce"])), "store": port, "name": name})
    secret = _sign(token, "group", nonce + str(hello["nonce"]))
    transport = _pair(bind, port, secret, 0, bind, store)
    pong(transport, 0, 1)
    part(transport, 0, 1)


def _prove(peer: socket.socket, token: str, about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    challenge, nonce = _hear(peer), secrets.token_hex(16)
    _say(peer, {"proof": _sign(token, "peer", str(challenge["nonce"])), "nonce": nonce, **about})
    hello = _hear(peer)
    if "error" in hello or not hmac.compare_digest(_sign(token, "server", nonce), str(hello.get("proof"))):
        raise InputError("the server has another token", "--token")
    return _sign(token, "group", str(challenge["nonce"]) + nonce), hello


def _pair(host: str, port: int, secret: str, rank: int, address: str, store: Any = None) -> Any:
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    from ..run.control import open_store
    from ..run.device_groups import make_group
    from ..run.transport import Transport

    own = store if store is not None else open_store(host, port, serve=False)
    return Transport(make_group(PrefixStore(secret, own), rank, 2, address, _LIMIT_S), [0, 1], rank)


def _sign(token: str, role: str, text: str) -> str:
    return hmac.new(token.encode(), f"{role}:{text}".encode(), hashlib.sha256).hexdigest()


def _say(peer: socket.socket, data: dict[str, Any]) -> None:
    peer.sendall((json.dumps(data) + "\n").encode())


def _hear(peer: socket.socket) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        piece = peer.recv(1)
        if not piece or len(line) > 4096:
            raise ValueError("the other side ended the talk")
        line += piece
    data = json.loads(line)
    if not isinstance(data, dict):
        raise ValueError("not a message of this program")
    return data
