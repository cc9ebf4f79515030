"""What is known of machines: nodes with keys of a cluster file, links, and what had to be assumed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..catalog import hardware
from ..errors import InputError

GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node: keys of its entry in a cluster file, each with a remark (empty: as it was read).

    Attributes
    ----------
    name : str
    keys : tuple of (str, object, str)
        Key, value, remark; in the order in which they are written.
    devices : int
        Cards of this entry.
    """

    name: str
    keys: tuple[tuple[str, object, str], ...]

    def get(self, key: str) -> object:
        """The value of a key; None where there is none."""
        return next((value for name, value, _ in self.keys if name == key), None)


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link between two nodes: the name of a link type or bytes/s with seconds, and how it is known."""

    nodes: tuple[str, str]
    link: str = ""
    bandwidth_gb_s: float = 0.0
    latency_us: float = 0.0
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Nodes and links of one source; `topology`: links between cards of the host that was read before, by number."""

    nodes: tuple[FoundNode, ...] = ()
    links: tuple[FoundLink, ...] = ()
    topology: tuple[tuple[int, int, str], ...] = ()
    notes: tuple[str, ...] = field(default=())


def card(name: str, printed: str, host: str, memory_mib: float | None = None, region: str = "") -> FoundNode:
    """A card whose name a driver printed, with the figures of the catalog; what the catalog lacks is marked.

    Parameters
    ----------
    name, printed, host : str
        Name of the node, the device as printed, its machine.
    memory_mib : float or None
        Stated memory; written where it is not that of the catalog.
    region : str
    """
    place: list[tuple[str, object, str]] = [("region", region, "")] if region else []
    try:
        device = hardware.device(printed)
    except InputError:
        unknown = f"'{printed[:60]}' is none of the catalog: give its figures"
        memory = f"{memory_mib:.0f} MiB" if memory_mib else "8 GiB"
        return FoundNode(
            name,
            (
                *place,
                ("host", host, ""),
                ("memory", memory, "" if memory_mib else f"assumed: {unknown}"),
                ("memory_bandwidth", "300 GB/s", f"assumed: {unknown}"),
                ("compute", "20 TFLOP/s", f"assumed: {unknown}"),
            ),
        )
    keys: list[tuple[str, object, str]] = [("device", device.name, ""), *place, ("host", host, "")]
    if memory_mib and abs(memory_mib * 2**20 / device.memory_bytes - 1.0) > 0.03:
        keys.append(("memory", f"{memory_mib:.0f} MiB", "as stated; the catalog's card has another size"))
    return FoundNode(name, tuple(keys))


def cards(printed: Iterable[tuple[str, float | None]], host: str, region: str = "") -> tuple[FoundNode, ...]:
    """Cards of a host, ``HOST-gpu0``, ...; their names are those that links speak of."""
    rows = list(printed)
    return tuple(card(f"{host}-gpu{k}", name, host, mib, region) for k, (name, mib) in enumerate(rows))


def joined(parts: Sequence[Found]) -> Found:
    """Everything of several sources: topologies are of the cards that came before them; names are made different."""
    nodes: list[FoundNode] = []
    links: list[FoundLink] = []
    notes: list[str] = []
    last: tuple[FoundNode, ...] = ()
    for part in parts:
        taken = {node.name for node in nodes}
        fresh = tuple(_renamed(node, taken) for node in part.nodes)
        new_names = dict(zip((node.name for node in part.nodes), (node.name for node in fresh), strict=True))
        nodes += fresh
        links += [
            replace(
                link, nodes=(new_names.get(link.nodes[0], link.nodes[0]), new_names.get(link.nodes[1], link.nodes[1]))
            )
            for link in part.links
        ]
        notes += part.notes
        last = fresh or last
        links += topology_links(part.topology, last)
    return Found(tuple(nodes), tuple(links), (), tuple(notes))


def _renamed(node: FoundNode, taken: set[str]) -> FoundNode:
    name, k = node.name, 1
    while name in taken:
        k += 1
        name = f"{node.name}-{k}"
    taken.add(name)
    return replace(node, name=name)


# Of the rate of the card's own PCIe link: what remains over a bridge of the host, and between sockets.
PCIE_SHARES = {"PIX": 1.0, "PXB": 1.0, "PHB": 0.9, "NODE": 0.75, "SYS": 0.5}
PCIE_LATENCY_US = {"PIX": 8.0, "PXB": 9.0, "PHB": 10.0, "NODE": 12.0, "SYS": 15.0}
WORDS = {
    "PIX": "one PCIe switch",
    "PXB": "several PCIe switches",
    "PHB": "the host bridge of the CPU",
    "NODE": "two host bridges of one CPU",
    "SYS": "the link between CPUs",
}
# Links of a card whose NVLinks all lead to one switch or one peer: what the catalog's figure is of.
WHOLE = {"nvlink-2": 6, "nvlink-3": 12, "nvlink-4": 18, "nvlink-5": 18, "nvlink-a800": 8}
BRIDGE_GB_S = 11.2  # of one NVLink of a card with a bridge: 14 GB/s (Ampere), 0.8 of it sustained


def topology_links(topology: Sequence[tuple[int, int, str]], nodes: Sequence[FoundNode]) -> list[FoundLink]:
    """Links between cards, as ``nvidia-smi topo -m`` names them."""
    found = []
    for one, other, word in topology:
        if max(one, other) >= len(nodes):
            raise InputError(
                f"the topology speaks of GPU {max(one, other)}, but {len(nodes)} cards were read before it"
            )
        names = (nodes[one].name, nodes[other].name)
        found.append(_link(names, word, nodes[one]))
    return found


def _link(names: tuple[str, str], word: str, node: FoundNode) -> FoundLink:
    printed = node.get("device")
    interconnect = hardware.device(str(printed)).interconnect if printed is not None else "pcie-4-x16"
    if word.startswith("NV"):
        count = int(word[2:])
        if interconnect in WHOLE:
            if count == WHOLE[interconnect]:
                return FoundLink(names, interconnect, remark=f"{word}: all NVLinks of the card")
            rate = hardware.link(interconnect).bandwidth_bytes_per_s / 1e9 * count / WHOLE[interconnect]
            return FoundLink(names, "", round(rate, 1), 4.0, f"{word}: {count} of {WHOLE[interconnect]} NVLinks")
        return FoundLink(names, "", round(BRIDGE_GB_S * count, 1), 5.0, f"{word}: a bridge of {count} NVLinks")
    pcie = (
        interconnect
        if interconnect.startswith("pcie")
        else "pcie-5-x16"
        if interconnect == "nvlink-5"
        else "pcie-4-x16"
    )
    rate = hardware.link(pcie).bandwidth_bytes_per_s / 1e9 * PCIE_SHARES[word]
    return FoundLink(names, "", round(rate, 1), PCIE_LATENCY_US[word], f"{word}: {pcie} over {WORDS[word]}")
