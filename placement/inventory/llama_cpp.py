"""llama.cpp's --list-devices: cards of this machine, and RPC servers elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .apple import mac
from .found import Found, FoundNode, card

DEVICE = re.compile(r"^\s{2,}(\S+): (.+) \((\d+) MiB, (\d+) MiB free\)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Devices:
    """The list under "Available devices"."""

    def tells(self, text: str) -> bool:
        """Whether it has that list."""
        return "Available devices:" in text and bool(DEVICE.search(text))

    def read(self, text: str, host: str) -> Found:
        """A node for each device: what is free counts; of RPC servers only the memory is known."""
        nodes: list[FoundNode] = []
        for called, printed, _, free in DEVICE.findall(text):
            if called.startswith("RPC"):
                where = called.removeprefix("RPC").strip("[]0123456789") and called.partition("[")[2].rstrip("]")
                other = (where or called).rpartition(":")[0] or where or called
                node = card(f"rpc-{len(nodes)}", printed, other or called, float(free))
                nodes.append(FoundNode(node.name, node.keys))
            elif called.startswith(("Metal", "MTL")):
                nodes.append(mac(host, printed if printed.startswith("Apple") else f"Apple {printed}", None))
            else:
                nodes.append(card(f"{host}-{called.lower()}", printed, host, float(free)))
        return Found(tuple(nodes))


DEVICES = Devices()
