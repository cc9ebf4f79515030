"""The servers of a Petals swarm as shell commands, as systemd units, and as a compose file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .base import Target, quoted, slug

IMAGE = "learningathome/petals:main"  # the image of Petals' own README
PORT = 31330


@dataclass(frozen=True, slots=True)
class Server:
    """One process: its name, the node that it runs on, layers ``start <= l < stop``."""

    name: str
    node: str
    start: int
    stop: int


def unique(nodes: Sequence[str], k: int) -> str:
    """Name of the k-th server: its node, with a number where a node has several."""
    earlier = nodes[:k].count(nodes[k])
    return f"petals-{slug(nodes[k])}" + (f"-{earlier + 1}" if earlier else "")


def command(server: Server, target: Target, peers: str) -> str:
    """What starts a server."""
    return (
        f"python -m petals.cli.run_server {quoted(target.model)} --block_indices {server.start}:{server.stop} {peers}"
    )


def shell(servers: Sequence[Server], target: Target) -> str:
    """Commands, one for each server."""
    lines = []
    for number, server in enumerate(servers):
        peers = "--new_swarm" if number == 0 else "--initial_peers $PEER"
        lines += [f"# on {server.node}", command(server, target, peers)]
        if number == 0:
            lines.append("PEER=...  # the /ip4/.../p2p/... address that the first server prints")
    return "\n".join(lines) + "\n"


def systemd(servers: Sequence[Server], target: Target) -> str:
    """Units, each for a file of its own on its node."""
    parts = []
    for number, server in enumerate(servers):
        first = number == 0
        # A fixed identity and port: the address in /etc/petals/peer outlives a restart.
        identity = f"--port {PORT} --identity_path /var/lib/petals/{server.name}.id"
        start = f"--new_swarm {identity}" if first else "--initial_peers ${PEER}"
        file = [] if first else ["EnvironmentFile=/etc/petals/peer"]
        parts += [
            f"# /etc/systemd/system/{server.name}.service on {server.node}"
            + ("" if first else "; /etc/petals/peer holds PEER=, the address that the first server prints"),
            "[Unit]", f"Description=Petals server, layers {server.start} to {server.stop - 1}",
            "After=network-online.target", "Wants=network-online.target", "", "[Service]", *file,
            f"ExecStart=/usr/bin/env {command(server, target, start)}", "Restart=always", "RestartSec=10", "",
            "[Install]", "WantedBy=multi-user.target", "",
        ]  # fmt: skip
    return "\n".join(parts)


def compose(servers: Sequence[Server], target: Target) -> str:
    """One file; ``docker compose up NAME`` starts the server of a node there."""
    lines = ["services:"]
    for number, server in enumerate(servers):
        first = number == 0
        identity = f"--port {PORT} --identity_path /cache/{server.name}.id"
        peers = f"--new_swarm {identity}" if first else "--initial_peers ${PEER}"
        lines += [
            f"  {server.name}:  # on {server.node}",
            f"    image: {IMAGE}",
            f"    command: {command(server, target, peers)}",
            "    network_mode: host",
            "    volumes: [petals-cache:/cache]",
            "    restart: unless-stopped",
            "    deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        ]
    return "\n".join([*lines, "volumes: {petals-cache: {}}", ""])


WRITERS: Mapping[str, Callable[[Sequence[Server], Target], str]] = MappingProxyType(
    {"shell": shell, "systemd": systemd, "compose": compose}
)
