"""A cluster as a networkx graph and back: for drawing, for analysis, and for topologies with switches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from placement.catalog import hardware
from placement.errors import InputError, nearest
from placement.files.entries import parse
from placement.question.cluster import CLIENT, Cluster, FloatArray, Node

from ..schema.file import ClusterFile
from ..schema.nodes import LinkEntry
from .links import LOOPBACK, check_connected
from .nodes import LinkSpeed, expand, link_speed

if TYPE_CHECKING:
    import networkx as nx

_KINDS = ("node", "switch", CLIENT)
# Units of plain numbers in a graph, by the keys of a node entry and of a link.
_BASE = {
    "memory": "B",
    "reserve": "B",
    "compute": "FLOP/s",
    "memory_bandwidth": "B/s",
    "bandwidth": "B/s",
    "latency": "s",
    "overhead": "s",
    "pass_overhead": "s",
    "price": "dollar/h",
    "power": "W",
}


def to_graph(cluster: Cluster) -> nx.DiGraph:
    """Return the cluster as a directed graph.

    Parameters
    ----------
    cluster : Cluster

    Returns
    -------
    networkx.DiGraph
        Nodes carry the keys of a node entry in base units (bytes, FLOP/s, bytes/s, s, $/h, W), of one device each;
        edges carry `bandwidth` (bytes/s) and `latency` (s, one way). The client is the node named "client".
    """
    import networkx as nx  # here, because planning does not need it

    graph = nx.DiGraph()
    for node in cluster.nodes:
        graph.add_node(node.name, **_attributes(node))
    graph.add_node(CLIENT, kind=CLIENT)
    names = [*cluster.names, CLIENT]
    for i, j in zip(*np.nonzero(cluster.bandwidth_bytes_per_s), strict=True):
        if i != j:
            bandwidth, latency = cluster.bandwidth_bytes_per_s[i, j], cluster.latency_s[i, j]
            graph.add_edge(names[i], names[j], bandwidth=float(bandwidth), latency=float(latency))
    return graph


def from_graph(graph: nx.Graph | nx.DiGraph) -> Cluster:
    """Return the cluster that a graph describes.

    Parameters
    ----------
    graph : networkx.Graph or networkx.DiGraph
        Node attributes are the keys of a node entry in cluster.yaml, as text with a unit or as plain numbers in base
        units; edges have `bandwidth` and `latency`, or `link` (a catalog name). A node with ``kind="switch"`` holds no
        blocks. The node "client" sends the prompts; without one the client sits beside the first node.

    Returns
    -------
    Cluster
        Pairs without an edge are routed along the path of least latency: its latencies add up, its narrowest link
        sets the bandwidth.

    Raises
    ------
    InputError
        The node or edge, the key and the value.
    """
    if graph.is_multigraph():
        raise InputError("expected a Graph or DiGraph, got a multigraph", "graph")
    places: dict[Any, str] = {}
    for key, attributes in graph.nodes(data=True):
        kind = CLIENT if str(key) == CLIENT else attributes.get("kind", "node")
        if kind not in _KINDS:
            raise InputError(
                f"expected the kind node, switch or client, got {kind!r}{nearest(kind, _KINDS)}", f"graph node {key!r}"
            )
        places[key] = kind
    keys = [key for key, kind in places.items() if kind == "node"]
    clients = [key for key, kind in places.items() if kind == CLIENT]
    if not keys:
        raise InputError("expected at least one node that can hold blocks, got none", "graph")
    if len(clients) > 1:
        raise InputError(f"expected one client, got {len(clients)}", "graph")
    notes: list[str] = []
    nodes = _nodes(graph, keys, notes)
    latency, bandwidth = _tables(_speeds(graph), [*keys, *clients])
    if not clients:
        notes.append(f"graph: no client given; it is taken to sit beside '{nodes[0].name}' (10 GB/s, 50 us)")
        latency, bandwidth = _beside_first(latency, bandwidth)
    cluster = Cluster(tuple(nodes), latency, bandwidth, tuple(notes))
    check_connected(cluster)
    return cluster


def _attributes(node: Node) -> dict[str, Any]:
    """Return a node as the keys of a node entry; what is unknown is left out."""
    many = node.tensor_parallel
    found: dict[str, Any] = {
        "kind": "node",
        "region": node.region,
        "memory": node.memory_bytes / many,
        "reserve": node.reserve_bytes / many,
        "overhead": node.overhead_s,
        "pass_overhead": node.pass_overhead_s,
        "price": node.price_per_hour / many,
        "power": node.power_w / many,
        "availability": node.availability,
        "efficiency": {"compute": node.compute_efficiency, "bandwidth": node.bandwidth_efficiency},
        "tensor_parallel": "auto" if node.joins else many,
        "decode_batch": node.decode_batch,
    }
    if node.cores:
        found["cores"] = round(node.cores / many)
    if node.main_memory:
        found["main_memory"] = True
    found["offload"] = list(node.offload) or "none"
    if node.host:
        found["host"] = node.host
    if node.topology != "ring":
        found["topology"] = node.topology
    if node.device in hardware.devices():
        found["device"] = node.device
    if node.compute_flops_per_s:
        found["compute"] = {dtype: rate / many for dtype, rate in node.compute_flops_per_s.items()}
    if node.memory_bandwidth_bytes_per_s:
        found["memory_bandwidth"] = node.memory_bandwidth_bytes_per_s / many
    if many > 1:
        speed = {"bandwidth": node.all_reduce_bandwidth_bytes_per_s, "latency": node.all_reduce_latency_s}
        found["interconnect"] = speed
    if node.decode_s_per_block:
        found["decode_seconds_per_block"] = list(node.decode_s_per_block)
    if node.prefill_s_per_block:
        found["prefill_seconds_per_block"] = list(node.prefill_s_per_block)
    if node.decode_table:
        found["decode_table"] = {size: list(seconds) for size, seconds in node.decode_table.items()}
    return found


def _nodes(graph: nx.Graph, keys: Sequence[Any], notes: list[str]) -> list[Node]:
    entries = []
    for key in keys:
        attributes = {name: _with_unit(name, value) for name, value in graph.nodes[key].items() if name != "kind"}
        if "count" in attributes:
            raise InputError("a node of a graph is one node: leave 'count' out", f"graph node {key!r}")
        entries.append({**attributes, "name": str(key)})
    try:
        checked = parse(ClusterFile, {"nodes": entries}, "graph").nodes
    except InputError as error:
        raise _named(error, keys) from None
    longest = max(
        len(seconds)
        for entry in checked
        for seconds in (
            (),
            entry.decode_seconds_per_block or (),
            entry.prefill_seconds_per_block or (),
            *(entry.decode_table or {}).values(),
        )
    )
    try:
        nodes, _ = expand(checked, n_blocks=longest, notes=notes)
    except InputError as error:
        raise _named(error.under("graph"), keys) from None
    return nodes


def _named(error: InputError, keys: Sequence[Any]) -> InputError:
    """Put names in the place of positions: a graph's nodes have no order that people know."""

    def name(match: re.Match[str]) -> str:
        return f"node {keys[int(match[1])]!r}"

    pattern = re.compile(r"nodes\[(\d+)\]")
    return InputError.several([(pattern.sub(name, place), pattern.sub(name, told)) for place, told in error.findings])


def _with_unit(name: str, value: Any) -> Any:
    """Return a plain number as text in the base unit of its key, so that one parser checks everything."""
    if isinstance(value, Mapping):
        return (
            {key: _with_unit(key if key in _BASE else name, item) for key, item in value.items()}
            if (name in ("compute", "interconnect"))
            else dict(value)
        )
    if name in _BASE and isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        number = float(value)
        return f"{number!r} {_BASE[name]}" if np.isfinite(number) else number
    return value.item() if isinstance(value, np.generic) else value


def _speeds(graph: nx.Graph) -> nx.DiGraph:
    """Return the links alone, checked, as a directed graph."""
    import networkx as nx

    links = nx.DiGraph()
    links.add_nodes_from(graph.nodes)
    for one, other, attributes in graph.edges(data=True):
        where = f"graph edge {one!r} to {other!r}"
        entry = parse(LinkEntry, {key: _with_unit(key, value) for key, value in attributes.items()}, where)
        speed = link_speed(entry, where)
        links.add_edge(one, other, bandwidth=speed.bandwidth, latency=speed.latency)
        if not graph.is_directed():
            links.add_edge(other, one, bandwidth=speed.bandwidth, latency=speed.latency)
    return links


def _tables(links: nx.DiGraph, keys: Sequence[Any]) -> tuple[FloatArray, FloatArray]:
    """Return latency and bandwidth between all `keys`: the edge, or else the path of least latency."""
    import networkx as nx

    latency, bandwidth = np.zeros((len(keys), len(keys))), np.zeros((len(keys), len(keys)))
    for i, source in enumerate(keys):
        _, paths = nx.single_source_dijkstra(links, source, weight="latency")
        for j, target in enumerate(keys):
            if i == j or target not in paths:
                continue
            path = [source, target] if links.has_edge(source, target) else paths[target]
            edges = [links.edges[pair] for pair in pairwise(path)]
            latency[i, j] = sum(edge["latency"] for edge in edges)
            bandwidth[i, j] = min(edge["bandwidth"] for edge in edges)
    np.fill_diagonal(bandwidth, np.inf)
    return latency, bandwidth


def _beside_first(latency: FloatArray, bandwidth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Add a client that has the first node's links, and a loopback to that node."""
    speed: LinkSpeed = LOOPBACK
    latency, bandwidth = (np.pad(table, (0, 1)) for table in (latency, bandwidth))
    for table, value, diagonal in ((latency, speed.latency, 0.0), (bandwidth, speed.bandwidth, np.inf)):
        table[-1, :-1], table[:-1, -1] = table[0, :-1], table[:-1, 0]
        table[-1, 0] = table[0, -1] = value
        table[-1, -1] = diagonal
    return latency, bandwidth
