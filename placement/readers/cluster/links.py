"""The link tables of a cluster: the most specific statement wins, and everything must be reachable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from placement.errors import InputError, nearest
from placement.question.cluster import CLIENT, Cluster, FloatArray, Node

from ..schema.nodes import Client, LinkEntry, Network
from .nodes import Group, LinkSpeed, link_speed

BUS = LinkSpeed(25e9, 10e-6)  # PCIe 4.0 x16, where no device says what it sits on
LOOPBACK = LinkSpeed(10e9, 50e-6)  # two processes of one host over TCP, cautiously


@dataclass(frozen=True, slots=True)
class _Tables:
    """Link tables while they are filled; the client is the last row and column."""

    latency: FloatArray
    bandwidth: FloatArray

    @classmethod
    def empty(cls, size: int) -> _Tables:
        return cls(np.zeros((size, size)), np.zeros((size, size)))

    def put(self, rows: Sequence[int], columns: Sequence[int], speed: LinkSpeed, *, both: bool = True) -> None:
        """Set the links from every row to every column, and back."""
        block = np.ix_(np.asarray(rows, dtype=np.intp), np.asarray(columns, dtype=np.intp))
        self.bandwidth[block], self.latency[block] = speed.bandwidth, speed.latency
        if both:
            self.put(columns, rows, speed, both=False)

    def put_missing(self, members: Sequence[int], speed: LinkSpeed) -> bool:
        """Set the links among `members` that nothing has set; say whether there were any."""
        block = np.ix_(np.asarray(members, dtype=np.intp), np.asarray(members, dtype=np.intp))
        missing = self.bandwidth[block] == 0
        np.fill_diagonal(missing, False)
        if not missing.any():
            return False
        self.bandwidth[block] = np.where(missing, speed.bandwidth, self.bandwidth[block])
        self.latency[block] = np.where(missing, speed.latency, self.latency[block])
        return True


def connect(
    nodes: Sequence[Node],
    groups: Sequence[Group],
    network: Network,
    client: Client,
    notes: list[str],
    unused: Iterable[str] = (),
) -> Cluster:
    """Return the cluster: nodes and the links that the file states between them and the client.

    Parameters
    ----------
    nodes, groups
        As `expand` returns them.
    network, client
        As the file states them.
    notes : list of str
        What had to be assumed is added here.
    unused : iterable of str
        Names of nodes that need no link because nothing may run there.

    Raises
    ------
    InputError
        Unknown regions or nodes, or nodes that the client cannot reach.
    """
    client_region = client.region or nodes[0].region
    regions: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        regions.setdefault(node.region, []).append(index)
    regions.setdefault(client_region, []).append(len(nodes))
    tables = _Tables.empty(len(nodes) + 1)
    if network.default is not None:
        everything = range(len(nodes) + 1)
        tables.put(everything, everything, link_speed(network.default, "network.default"), both=False)
    _put_regions(tables, regions, network)
    _forget_inside(tables, groups)
    for group in groups:
        if group.siblings is not None and len(group.members) > 1:
            tables.put(group.members, group.members, group.siblings, both=False)
    _put_pairs(tables, nodes, groups, network, client)
    hosts = _hosts(tables, nodes, groups, notes)
    _assume(tables, regions, groups, len(nodes), hosts, notes)
    nodes = [replace(node, host=hosts.get(k, "")) for k, node in enumerate(nodes)]
    np.fill_diagonal(tables.bandwidth, np.inf)
    np.fill_diagonal(tables.latency, 0.0)
    cluster = Cluster(tuple(nodes), tables.latency, tables.bandwidth, tuple(notes))
    check_connected(cluster, frozenset(unused))
    return cluster


def _put_regions(tables: _Tables, regions: Mapping[str, Sequence[int]], network: Network) -> None:
    for region, entry in network.within.items():
        where = f"network.within.{region}"
        members = _region(regions, region, where)
        tables.put(members, members, link_speed(entry, where), both=False)
    given: set[tuple[str, str]] = set()
    for number, between in enumerate(network.between):
        where = f"network.between[{number}]"
        one, other = between.regions
        if one == other:
            raise InputError(f"expected two regions, got '{one}' twice (see network.within)", f"{where}.regions")
        directions = {(one, other)} if between.one_way else {(one, other), (other, one)}
        if directions & given:
            raise InputError(f"the link from '{one}' to '{other}' is given twice", f"{where}.regions")
        given |= directions
        rows, columns = (_region(regions, name, f"{where}.regions") for name in (one, other))
        tables.put(rows, columns, link_speed(between, where), both=not between.one_way)


def _region(regions: Mapping[str, Sequence[int]], name: str, where: str) -> Sequence[int]:
    if name not in regions:
        hint = nearest(name, regions) or f" (known: {', '.join(list(regions)[:8])})"
        raise InputError(f"no node is in the region '{name}'{hint}", where)
    return regions[name]


def _forget_inside(tables: _Tables, groups: Sequence[Group]) -> None:
    """Of several machines, lines for everything or a region speak of the network between them, not of their buses."""
    machines: dict[str, list[int]] = {}
    for group in groups:
        machines.setdefault(f"host {group.host}" if group.host else f"entry {group.name}", []).extend(group.members)
    hosts = {f"host {group.host}" for group in groups if group.host}
    for machine in hosts if len(machines) > 1 else ():
        inside = np.ix_(machines[machine], machines[machine])
        tables.bandwidth[inside] = tables.latency[inside] = 0.0


def _put_pairs(
    tables: _Tables, nodes: Sequence[Node], groups: Sequence[Group], network: Network, client: Client
) -> None:
    places: dict[str, Sequence[int]] = {group.name: group.members for group in groups}
    places.update({node.name: (index,) for index, node in enumerate(nodes)})
    places[CLIENT] = (len(nodes),)

    def find(name: str, where: str) -> Sequence[int]:
        if name not in places:
            raise InputError(f"there is no node '{name}'{nearest(name, places)}", where)
        return places[name]

    entries: list[tuple[str, Sequence[str], LinkEntry, bool]] = [
        (f"network.links[{number}]", pair.nodes, pair, pair.one_way) for number, pair in enumerate(network.links)
    ]
    entries += [
        (f"client.links[{number}]", (CLIENT, link.node), link, False) for number, link in enumerate(client.links)
    ]
    found = [
        (find(names[0], f"{where}.nodes"), find(names[1], f"{where}.nodes"), where, names, entry, one_way)
        for where, names, entry, one_way in entries
    ]
    # A line that names an entry with `count` speaks of all its nodes; one that names a single node is more specific.
    found.sort(key=lambda item: -len(item[0]) * len(item[1]))
    for rows, columns, where, names, entry, one_way in found:
        if names[0] == names[1]:
            if len(rows) == 1:
                raise InputError(f"expected two nodes, got '{names[0]}' twice", f"{where}.nodes")
            one_way = True
        tables.put(rows, columns, link_speed(entry, where), both=not one_way)


def _hosts(tables: _Tables, nodes: Sequence[Node], groups: Sequence[Group], notes: list[str]) -> dict[int, str]:
    """The host of each node that has one: stated, or that of an entry whose devices are linked to each other.

    Entries of one host that nothing links are taken to share its bus, at the speed of the slower device's link; that of
    a processor leads to other hosts.
    """
    named: dict[str, list[Group]] = {}
    for group in groups:
        if group.host:
            named.setdefault(group.host, []).append(group)
    for host, members in named.items():
        cards = [group for group in members if not nodes[group.members[0]].main_memory]
        speeds = [speed for group in cards if (speed := group.siblings or group.assumed) is not None]
        for group in cards:
            if group.assumed is not None:
                tables.put_missing(group.members, group.assumed)
        everything = [index for group in members for index in group.members]
        slowest = min(speeds, key=lambda speed: speed.bandwidth, default=BUS)
        if len(members) > 1 and tables.put_missing(everything, slowest):
            rate = f"{slowest.bandwidth / 1e9:.3g} GB/s"
            notes.append(f"host '{host}': no link given; its devices are taken to share a bus of {rate}")
    found: dict[int, str] = {}
    for group in groups:
        inside = np.ix_(np.asarray(group.members), np.asarray(group.members))
        alone = group.assumed is not None and not tables.bandwidth[inside].any()
        if group.host or (len(group.members) > 1 and (group.siblings is not None or alone)):
            found |= dict.fromkeys(group.members, group.host or group.name)
    return found


def _assume(
    tables: _Tables,
    regions: Mapping[str, Sequence[int]],
    groups: Sequence[Group],
    client: int,
    hosts: Mapping[int, str],
    notes: list[str],
) -> None:
    """Fill what goes without saying: devices of one entry share a host, a lone host talks to a client beside it."""
    for group in groups:
        if group.assumed is None or len(group.members) < 2:
            continue
        if tables.put_missing(group.members, group.assumed):
            notes.append(f"nodes of '{group.name}': no link given; taken to share a host, as the catalog says")
    for region, members in regions.items():
        here = [index for index in members if index != client]
        alone = any(set(here) == set(group.members) for group in groups)
        alone = alone or len({hosts.get(index, str(index)) for index in here}) == 1
        if client not in members or not alone:
            continue
        toward = [index for index in here if tables.bandwidth[index, client] == 0 == tables.bandwidth[client, index]]
        if toward:
            tables.put(toward, [client], LOOPBACK)
            notes.append(
                f"region '{region}': no link given; the client is taken to sit beside the node (10 GB/s, 50 us)"
            )


def check_connected(cluster: Cluster, unused: frozenset[str] = frozenset()) -> None:
    """Refuse nodes that cannot take part: unreachable from the client, or without a way back to it."""
    linked = cluster.bandwidth_bytes_per_s > 0
    usable = _reached(linked) & _reached(linked.T)
    lost = [node.name for index, node in enumerate(cluster.nodes) if not usable[index] and node.name not in unused]
    if lost:
        names = ", ".join(f"'{name}'" for name in lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        region = next(node.region for node in cluster.nodes if node.name == lost[0])
        raise InputError(
            f"no link leads from the client to {names} and back: add network.within.{region}, network.between, "
            "network.links or network.default",
            "network",
        )


def _reached(linked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which places the client (the last one) reaches, over any number of links."""
    seen = np.zeros(len(linked), dtype=bool)
    front = seen.copy()
    front[-1] = True
    while front.any():
        seen |= front
        front = linked[front].any(axis=0) & ~seen
    return seen
