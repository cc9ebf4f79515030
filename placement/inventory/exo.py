"""exo's state as JSON: nodes with chips and memory, and their connections; also the topology of its first version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .apple import mac
from .found import Found, FoundLink, FoundNode

RDMA, WIRE = "thunderbolt-5", "ethernet-1g"


def _parts(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The nodes by their number, and the topology."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}, {}
    if not isinstance(data, Mapping):
        return {}, {}
    if isinstance(data.get("nodeIdentities"), Mapping):
        return data["nodeIdentities"], data.get("topology") or {}
    nodes = data.get("nodes")
    if not isinstance(nodes, Mapping):
        return {}, {}
    first = next(iter(nodes.values()), None)
    return (nodes, data) if isinstance(first, Mapping) and "chip" in first else ({}, {})


@dataclass(frozen=True, slots=True)
class Exo:
    """Both versions."""

    def tells(self, text: str) -> bool:
        """Whether it has nodes with chips."""
        return bool(_parts(text)[0])

    def read(self, text: str, host: str) -> Found:
        """A node for each machine; a link between each two."""
        rows, topology = _parts(text)
        memory = json.loads(text).get("nodeMemory") or {}
        nodes: dict[str, FoundNode] = {}
        for number, row in rows.items():
            name = str(row.get("friendlyName") or row.get("model") or number).replace(" ", "-")
            taken = {node.name for node in nodes.values()}
            name = name if name not in taken else f"{name}-{len(nodes)}"
            total = (memory.get(number) or {}).get("ramTotal") or {}
            n_bytes = total.get("inBytes") if isinstance(total, Mapping) else None
            mib = n_bytes / 2**20 if isinstance(n_bytes, int | float) else row.get("memory")
            nodes[number] = mac(name, str(row.get("chipId") or row.get("chip") or ""), float(mib) if mib else None)
        connections = topology.get("connections") if isinstance(topology, Mapping) else {}
        links = [_link(nodes[a], nodes[b], _between(connections, a, b)) for a, b in combinations(nodes, 2)]
        return Found(tuple(nodes.values()), tuple(links))


def _between(connections: Any, a: str, b: str) -> str:
    """What is said of the connection of two nodes, as text."""
    if not isinstance(connections, Mapping):
        return ""
    return json.dumps([(connections.get(one) or {}).get(other) for one, other in ((a, b), (b, a))])


def _link(one: FoundNode, other: FoundNode, said: str) -> FoundLink:
    if "rdma" in said.lower():
        return FoundLink((one.name, other.name), RDMA, remark="RDMA over Thunderbolt 5, as exo found it")
    return FoundLink((one.name, other.name), WIRE, remark="assumed: exo does not say how fast it is")


EXO = Exo()
