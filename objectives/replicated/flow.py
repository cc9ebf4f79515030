"""Max flow of a replicated placement in plain Python: the reference that the kernels are held equal to.

A node that holds [start, stop) is an arc from `start` to `stop`; nodes are joined where the edge rule allows it. The
network is that of Helix (Y. Mei et al., ASPLOS 2025, doi:10.1145/3669940.3707215): network cards of nodes and client,
links, and compute, all in tokens/s. Flow by Dinic's algorithm (E. A. Dinic, Soviet Math. Dokl. 11, 1970).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..spans import Span
from .meeting import Meeting
from .tables import ReplicatedTables

Vertex = Hashable
SOURCE, SINK = "source", "sink"
# Flow below this part of the total counts as none: the residue of rounded subtractions.
SLACK = 1e-12


@dataclass
class Network:
    """A directed graph with capacities in tokens/s."""

    capacity: dict[Vertex, dict[Vertex, float]] = field(default_factory=dict)

    def add(self, tail: Vertex, head: Vertex, capacity: float) -> None:
        """Add an arc (and its reverse with no capacity)."""
        row = self.capacity.setdefault(tail, {})
        row[head] = row.get(head, 0.0) + capacity
        self.capacity.setdefault(head, {}).setdefault(tail, 0.0)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of nodes in block order and the tokens/s that it carries."""

    nodes: tuple[int, ...]
    tokens_per_s: float


Edge = tuple[int | str, int | str]


def edges(tables: ReplicatedTables, spans: Iterable[Span]) -> list[Edge]:
    """Return the edges that the rule allows, without those into nodes that lead nowhere or out of nodes never reached.

    One pass of that removal, as Helix does it: it leaves the flow as it is but for the network cards, whose load per
    token depends on whether a node talks to the client only.
    """
    held = [span for span in spans if span.stop > span.start]
    band, client = tables.bandwidth_bytes_per_s, tables.client
    found: list[Edge] = []
    meeting = Meeting(held, partial=tables.partial)
    for a in held:
        if a.start == 0 and band[client, a.node] > 0:
            found.append((SOURCE, a.node))
        if a.stop == tables.n_blocks and band[a.node, client] > 0:
            found.append((a.node, SINK))
        found += [(a.node, b.node) for b in meeting.after(a) if a.node != b.node and band[a.node, b.node] > 0]
    leads = {tail for tail, _ in found}
    found = [(tail, head) for tail, head in found if head == SINK or head in leads]
    reached = {head for _, head in found}
    return [(tail, head) for tail, head in found if tail == SOURCE or tail in reached]


def network(tables: ReplicatedTables, spans: Sequence[Span]) -> Network:
    """Build the flow network of a placement, all capacities in tokens/s."""
    found = edges(tables, spans)
    band, client = tables.bandwidth_bytes_per_s, tables.client
    between = tables.token_bytes + tables.activation_bytes
    fed_by_node = {head for tail, head in found if tail != SOURCE}
    feeds_node = {tail for tail, head in found if head != SINK}
    to_client = {tail for tail, head in found if head == SINK}
    from_client = {head for tail, head in found if tail == SOURCE}
    net = Network()
    net.add(SOURCE, "out", tables.client_out / tables.token_bytes)
    net.add("in", SINK, tables.client_in / tables.token_bytes)
    for span in spans:
        node, k = span.node, span.stop - span.start
        if k <= 0:
            continue
        rate = float(tables.rate[node, k - 1]) if k <= tables.rate.shape[1] else 0.0
        size_in = tables.token_bytes if node in from_client and node not in fed_by_node else between
        size_out = tables.token_bytes if node in to_client and node not in feeds_node else between
        net.add((node, "in"), (node, "start"), float(tables.nic_in[node]) / size_in)
        net.add((node, "start"), (node, "end"), rate)
        net.add((node, "end"), (node, "out"), float(tables.nic_out[node]) / size_out)
    for tail, head in found:
        if isinstance(tail, int) and isinstance(head, int):
            net.add((tail, "out"), (head, "in"), float(band[tail, head]) / between)
        elif isinstance(head, int):
            net.add("out", (head, "in"), float(band[client, head]) / tables.token_bytes)
        elif isinstance(tail, int):
            net.add((tail, "out"), "in", float(band[tail, client]) / tables.token_bytes)
    return net


def max_flow(net: Network) -> tuple[float, dict[tuple[Vertex, Vertex], float]]:
    """Return the max flow from source to sink and the flow on every arc that carries some."""
    residual = {tail: dict(row) for tail, row in net.capacity.items()}
    total = 0.0
    while (level := _levels(residual)) is not None:
        heads = {vertex: list(row) for vertex, row in residual.items()}
        todo = dict.fromkeys(residual, 0)
        while (pushed := _push(residual, level, heads, todo)) > 0.0:
            total += pushed
    flow = {
        (tail, head): capacity - residual[tail][head]
        for tail, row in net.capacity.items()
        for head, capacity in row.items()
        if capacity - residual[tail][head] > SLACK * max(total, 1e-300)
    }
    return total, flow


def _levels(residual: dict[Vertex, dict[Vertex, float]]) -> dict[Vertex, int] | None:
    level: dict[Vertex, int] = {SOURCE: 0}
    queue: deque[Vertex] = deque([SOURCE])
    while queue:
        tail = queue.popleft()
        for head, room in residual[tail].items():
            if room > 1e-9 and head not in level:
                level[head] = level[tail] + 1
                queue.append(head)
    return level if SINK in level else None


def _push(
    residual: dict[Vertex, dict[Vertex, float]],
    level: dict[Vertex, int],
    heads: dict[Vertex, list[Vertex]],
    todo: dict[Vertex, int],
) -> float:
    """Push flow along one shortest path; 0 when none is left. `todo` is the first arc worth a look, by vertex."""
    path: list[Vertex] = [SOURCE]
    while path[-1] != SINK:
        tail = path[-1]
        row, room, deeper = heads[tail], residual[tail], level[tail] + 1
        k = todo[tail]
        while k < len(row) and not (room[row[k]] > 1e-9 and level.get(row[k]) == deeper):
            k += 1
        todo[tail] = k
        if k < len(row):
            path.append(row[k])
        elif len(path) == 1:
            return 0.0
        else:
            path.pop()
            todo[path[-1]] += 1
    arcs = list(pairwise(path))
    amount = min(residual[tail][head] for tail, head in arcs)
    for tail, head in arcs:
        residual[tail][head] -= amount
        residual[head][tail] += amount
    return amount


def flow_value(tables: ReplicatedTables, spans: Sequence[Span]) -> float:
    """Tokens/s that a placement can carry from the client through all blocks and back."""
    return 0.0 if not spans else max_flow(network(tables, spans))[0]


def decompose(tables: ReplicatedTables, spans: Sequence[Span]) -> tuple[Chain, ...]:
    """Split a max flow into chains of nodes; their tokens/s sum to the flow."""
    if not spans:
        return ()
    total, flow = max_flow(network(tables, spans))
    out: dict[Vertex, dict[Vertex, float]] = {}
    for (tail, head), amount in flow.items():
        out.setdefault(tail, {})[head] = amount
    chains: dict[tuple[int, ...], float] = {}
    least = total * 1e-10
    while True:
        path: list[Vertex] = [SOURCE]
        while path[-1] != SINK:
            row = out.get(path[-1], {})
            head = max(row, key=lambda vertex: row[vertex], default=None)
            if head is None or row[head] <= least:
                break
            path.append(head)
        if path[-1] != SINK:
            return tuple(Chain(nodes, rate) for nodes, rate in sorted(chains.items(), key=lambda item: -item[1]))
        arcs = list(pairwise(path))
        amount = min(out[tail][head] for tail, head in arcs)
        for tail, head in arcs:
            out[tail][head] -= amount
        nodes = tuple(int(vertex[0]) for vertex in path if isinstance(vertex, tuple) and vertex[1] == "start")
        chains[nodes] = chains.get(nodes, 0.0) + amount
