"""`placement links`: latency and bandwidth of links, over the transport that the executor uses.

A peer must know the server's token: both prove it (see `placement.run.proven_connection`), and the group that the two
then form is named by a secret derived from it. Under torchrun all pairs of processes are measured in turn.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from ..errors import InputError, PlacementError
from ..quantities import whole_number
from ..run.control import free_port
from ..run.device_groups import DeviceGroups, make_group
from ..run.proven_connection import PeerError, hear, prove, say
from ..run.proven_store import open_store
from ..run.transport import Transport
from .link_pings import part, ping, pong

_LIMIT_S = 20.0
_PROOF_LIMIT_S = 5.0
"""Whoever calls has this long for its proof: others wait meanwhile."""


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


def serve(
    token: str,
    *,
    bind: str = "127.0.0.1",
    port: int = 0,
    name: str = "",
    once: bool = False,
    ready: Callable[[int], None] | None = None,
    limit_s: float | None = None,
) -> None:
    """Answer measurements until stopped.

    Parameters
    ----------
    token : str
        Peers must know it; at least 8 characters.
    bind : str
        Address to listen on; nothing but loopback unless told otherwise.
    port : int
        TCP port to listen on; 0 for a free one.
    name : str
        What this end is called in the results; by default the name of the host.
    once : bool
        Stop after the first measurement.
    ready : callable, optional
        Called with the port.
    limit_s : float, optional
        Stop after that many seconds.

    Raises
    ------
    InputError
        The token is too short, or the address or port cannot be used.
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
            try:
                with prove(peer, token, serving=True, limit_s=_PROOF_LIMIT_S) as connection:
                    _answer(connection, token, bind, name or socket.gethostname())
            except (OSError, ValueError, PlacementError, RuntimeError):
                continue  # a stranger, or a peer that left: the next one may be fine
            if once:
                return


def measure_peer(address: str, token: str, *, name: str = "") -> LinkProfile:
    """Measure the link to a server at ``host:port``; raise `InputError` when it cannot be reached or says no."""
    _check_token(token)
    host, _, port = address.rpartition(":")
    number = whole_number(port, 5)
    if not host or number is None:
        raise InputError(f"expected host:port, got {address!r}", "--peers")
    try:
        own = socket.create_connection((host, number), timeout=_LIMIT_S)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot be reached ({getattr(error, 'strerror', None) or error})", address) from None
    mine, title, nonce = own.getsockname()[0], name or socket.gethostname(), secrets.token_hex(16)
    try:
        with prove(own, token, serving=False, limit_s=_LIMIT_S) as connection:
            say(connection, {"name": title, "nonce": nonce})
            told = hear(connection)
            secret = _group_secret(token, nonce, str(told["nonce"]))
            transport = _pair(open_store(host, int(told["store"]), secret, serve=False), secret, 1, mine)
            figures = ping(transport, 1, 0)
            part(transport, 1, 0)
    except PeerError as error:
        raise InputError(f"{error}: is the token the same there?", address) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"the measurement broke off ({str(error).splitlines()[0]})", address) from None
    return LinkProfile(title, str(told["name"]), *figures)


def measure_all_pairs(names: Sequence[str] | None = None, *, device: str = "cpu") -> list[LinkProfile]:
    """Measure every pair of processes of a torchrun launch; rank 0 gets the list, the others an empty one.

    Parameters
    ----------
    names : sequence of str, optional
        Of the processes, by rank.
    device : str
        "cpu": tensors in host memory, over gloo. "cuda": tensors on the GPU of the local rank, over nccl.
    """
    missing = [key for key in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if key not in os.environ]
    if missing:
        raise InputError(f"expected to be started by torchrun ({', '.join(missing)} not set)", "--all-pairs")
    dist.init_process_group("gloo")
    try:
        rank, size = dist.get_rank(), dist.get_world_size()
        titles = list(names) if names else [f"rank-{k}" for k in range(size)]
        figures = torch.zeros((size, size, 3), dtype=torch.float64)
        transport = _among_all(rank, size, device)
        for a in range(size):
            for b in range(a + 1, size):
                dist.barrier()
                if rank == a:
                    figures[a, b] = torch.tensor(ping(transport, a, b), dtype=torch.float64)
                elif rank == b:
                    pong(transport, b, a)
        dist.barrier()
        if size > 1:
            part(transport, rank, (rank + 1) % size)
        dist.all_reduce(figures)  # each pair has one row that is not zero; no collective of objects, which are pickled
        pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
        return [LinkProfile(titles[a], titles[b], *figures[a, b].tolist()) for a, b in pairs] if rank == 0 else []
    finally:
        dist.destroy_process_group()


def _among_all(rank: int, size: int, device: str) -> Transport:
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
        raise InputError("expected a token of at least 8 characters, the same on both sides", "PLACEMENT_TOKEN")


def _answer(connection: Connection, token: str, bind: str, name: str) -> None:
    told, nonce = hear(connection), secrets.token_hex(16)
    port, secret = free_port(bind), _group_secret(token, str(told.get("nonce")), nonce)
    say(connection, {"name": name, "nonce": nonce, "store": port})
    with closing(open_store(bind, port, secret, serve=True)) as store:
        transport = _pair(store, secret, 0, bind)
        pong(transport, 0, 1)
        part(transport, 0, 1)


def _pair(store: Any, secret: str, rank: int, address: str) -> Transport:
    return Transport(make_group(PrefixStore(secret, store), rank, 2, address, _LIMIT_S), [0, 1], rank)


def _group_secret(token: str, *nonces: str) -> str:
    return hmac.digest(token.encode(), "".join(["group", *nonces]).encode(), "sha256").hex()
