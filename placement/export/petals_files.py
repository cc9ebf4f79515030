"""The servers of a Petals swarm as shell commands, as systemd units, and as a compose file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .base import Target, on_node
from .quoting import compose_word, remark, shell_word, slug, systemd_word, yaml_string

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
    """Name of the k-th server: its node, with a number where a name comes again."""
    taken: set[str] = set()
    name = ""
    for node in nodes[: k + 1]:
        base = name = f"petals-{slug(node)}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
    return name


def command(server: Server, target: Target) -> list[str]:
    """The words that start a server; how it finds its peers comes after them."""
    blocks = f"{server.start}:{server.stop}"
    return ["python", "-m", "petals.cli.run_server", target.model, "--block_indices", blocks]


def shell(servers: Sequence[Server], target: Target) -> str:
    """Commands, one for each server."""
    lines = []
    for number, server in enumerate(servers):
        peers = "--new_swarm" if number == 0 else "--initial_peers $PEER"
        lines += [on_node(server.node), " ".join([*map(shell_word, command(server, target)), peers])]
        if number == 0:
            lines.append("PEER=...  # the /ip4/.../p2p/... address that the first server prints")
    return "\n".join(lines) + "\n"


def systemd(servers: Sequence[Server], target: Target) -> str:
    """Units, each for a file of its own on its node."""
    parts = []
    for number, server in enumerate(servers):
        first = number == 0
        words = ["/usr/bin/env", *map(systemd_word, command(server, target))]
        # A fixed identity and port: the address in /etc/petals/peer outlives a restart.
        identity = f"--port {PORT} --identity_path /var/lib/petals/{server.name}.id"
        start = f"--new_swarm {identity}" if first else "--initial_peers ${PEER}"
        file = [] if first else ["EnvironmentFile=/etc/petals/peer"]
        parts += [
            remark(f"/etc/systemd/system/{server.name}.service on {server.node}"),
            *([] if first else ["# /etc/petals/peer holds PEER=, the address that the first server prints"]),
            "[Unit]",
            f"Description=Petals server, layers {server.start} to {server.stop - 1}",
            "After=network-online.target",
            "Wants=network-online.target",
            "",
            "[Service]",
            *file,
            f"ExecStart={' '.join([*words, start])}",
            "Restart=always",
            "RestartSec=10",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    return "\n".join(parts)


def compose(servers: Sequence[Server], target: Target) -> str:
    """One file; ``docker compose up NAME`` starts the server of a node there."""
    lines = ["services:"]
    for number, server in enumerate(servers):
        first = number == 0
        identity = ["--new_swarm", "--port", str(PORT), "--identity_path", f"/cache/{server.name}.id"]
        words = [compose_word(word) for word in command(server, target)]
        words += [yaml_string(word) for word in (identity if first else ["--initial_peers", "${PEER}"])]
        lines += [
            f"  {on_node(server.node)}",
            f"  {server.name}:",
            f"    image: {IMAGE}",
            f"    command: [{', '.join(words)}]",
            "    network_mode: host",
            "    volumes: [petals-cache:/cache]",
            "    restart: unless-stopped",
            "    deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        ]
    return "\n".join([*lines, "volumes: {petals-cache: {}}", ""])


WRITERS: Mapping[str, Callable[[Sequence[Server], Target], str]] = MappingProxyType(
    {"shell": shell, "systemd": systemd, "compose": compose}
)
