"""Clusters as graphs and back."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from placement.errors import InputError
from placement.readers.cluster.graph import from_graph, to_graph
from placement.readers.cluster.read import read_request

FOLDER = Path(__file__).parents[3] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.yaml") if "\nnodes:" in path.read_text())


def star() -> nx.Graph:
    """Three nodes around a switch, the client beside them."""
    graph = nx.Graph()
    for name in "abc":
        graph.add_node(name, memory="8 GiB", compute="10 TFLOP/s", memory_bandwidth="100 GB/s")
    graph.add_node("switch", kind="switch")
    for name in ("a", "b", "c", "client"):
        graph.add_edge(name, "switch", bandwidth="1 Gbit/s", latency="1 ms")
    return graph


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_there_and_back_is_the_identity(path: Path) -> None:
    """The cluster of every example survives the way through a graph."""
    cluster = read_request(path).cluster
    again = from_graph(to_graph(cluster))
    assert again.nodes == cluster.nodes
    np.testing.assert_array_equal(again.latency_s, cluster.latency_s)
    np.testing.assert_array_equal(again.bandwidth_bytes_per_s, cluster.bandwidth_bytes_per_s)


def test_switches_are_routed_through() -> None:
    """Latencies along a path add up, the narrowest link sets the bandwidth, a switch holds nothing."""
    graph = star()
    graph.edges["b", "switch"]["bandwidth"] = 1e6
    cluster = from_graph(graph)
    assert cluster.names == ("a", "b", "c")
    assert cluster.latency_s[0, 2] == pytest.approx(0.002)
    assert cluster.bandwidth_bytes_per_s[0, 2] == 125e6
    assert cluster.bandwidth_bytes_per_s[0, 1] == 1e6


def test_an_edge_wins_over_a_faster_path() -> None:
    """Adjacent nodes use their own link, however slow."""
    graph = star()
    graph.add_edge("a", "b", bandwidth="10 Gbit/s", latency="50 ms")
    assert from_graph(graph).latency_s[0, 1] == 0.05


def test_directions_differ() -> None:
    """A directed graph keeps its directions."""
    graph = star().to_directed()
    graph.edges["a", "switch"]["bandwidth"] = "100 Mbit/s"
    cluster = from_graph(graph)
    assert cluster.bandwidth_bytes_per_s[0, 1] == 12.5e6
    assert cluster.bandwidth_bytes_per_s[1, 0] == 125e6


def test_without_a_client_it_sits_beside_the_first_node() -> None:
    """The client then has the first node's links, and the cluster says so."""
    graph = star()
    graph.remove_node("client")
    cluster = from_graph(graph)
    assert cluster.latency_s[-1, 1] == cluster.latency_s[0, 1]
    assert cluster.bandwidth_bytes_per_s[-1, 0] == 10e9
    assert any("beside 'a'" in note for note in cluster.notes)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda graph: graph.nodes["b"].update(memory="8 GBps"), "node 'b'.memory: expected a size"),
        (lambda graph: graph.nodes["b"].update(memroy=3), "did you mean 'memory'?"),
        (lambda graph: graph.nodes["b"].update(kind="swich"), "did you mean 'switch'?"),
        (lambda graph: graph.nodes["b"].update(count=2), "leave 'count' out"),
        (lambda graph: graph.nodes["b"].update(memory=float("nan")), "node 'b'.memory"),
        (lambda graph: graph.edges["a", "switch"].pop("latency"), "graph edge 'a' to 'switch': 'latency' is missing"),
        (lambda graph: graph.edges["a", "switch"].update(bandwidth=-1), "bandwidth: expected a bandwidth above zero"),
        (lambda graph: graph.remove_edge("c", "switch"), "no link leads from the client to 'c'"),
        (lambda graph: graph.remove_nodes_from("abc"), "at least one node"),
        (lambda graph: graph.nodes["switch"].update(kind="client"), "expected one client"),
    ],
)
def test_mistakes_name_the_place(change: object, fragment: str) -> None:
    """A wrong attribute is one line that names the node or edge."""
    graph = star()
    change(graph)  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        from_graph(graph)
    assert fragment in str(caught.value)
