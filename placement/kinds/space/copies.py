"""Copies: pipelines side by side on nodes of their own, each with its share of the requests.

The nodes are dealt to R parts: alike hosts in turn, the devices of a host where there are fewer hosts than copies, or
each class of hosts by itself. Every part is an ordinary question, with groups and parts of blocks, and gets sequences
in proportion to what it can do. Parts that are alike are asked once. Which R is best is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain as joined

import numpy as np

from placement.errors import InputError
from placement.plan.plan import PlacedSpan, Plan
from placement.question.alike import WITHOUT_EFFECT, kinds_of_nodes
from placement.question.cluster import Cluster, Node
from placement.question.request import Constraints, Request

from .beside import beside
from .groups import members_of

MOST_COPIES = 64
MANY_NODES = 16  # of which the question of all of them takes long
Part = tuple[int, ...]
Judge = Callable[[Request, Sequence[PlacedSpan]], tuple[Plan, tuple[str, ...]]]


def counts_of(request: Request) -> list[int]:
    """Numbers of copies worth a look: the one asked for, or all that memory may hold, in steps of a third at most.

    Where nobody asked, one is known already. The fewest come first, which are best most often; of many nodes the most:
    their questions are the smallest, and time may end before the large ones are asked.
    """
    if request.copies:
        return [request.copies]
    most, least = most_copies(request), 1 if request.copies == 0 else 2
    sizes = {step * 2**k for k in range(8) for step in (1, 3)} | {most}
    return sorted((size for size in sizes if least <= size <= most), reverse=request.cluster.n_nodes > MANY_NODES)


def most_copies(request: Request) -> int:
    """Copies that there are nodes, sequences and memory for, as far as sums tell."""
    free = [node for node in request.cluster.nodes if node.name not in request.constraints.exclude]
    room = sum(node.memory_bytes - node.reserve_bytes for node in free)
    held = int(room / max(1.0, request.model.weight_bytes))
    return max(1, min(MOST_COPIES, len(free), request.workload.concurrency, held))


def dealt(request: Request, count: int) -> Iterator[list[Part]]:
    """Ways to deal the nodes to so many parts."""
    hosts = _hosts(request)
    classes: dict[tuple[int, ...], list[Part]] = {}
    kinds = kinds_apart(request.cluster.nodes)
    for host in hosts:
        classes.setdefault(tuple(sorted(kinds[k] for k in host)), []).append(host)
    yield _in_turn(list(classes.values()), count) if len(hosts) >= count else _within_hosts(hosts, kinds, count)
    if 1 < len(classes) <= count <= len(hosts):
        parts = _by_class(request.cluster, list(classes.values()), kinds, count)
        if len(parts) == count and all(parts):
            yield parts


def _hosts(request: Request) -> list[Part]:
    found: dict[str, list[int]] = {}
    for number, node in enumerate(request.cluster.nodes):
        if node.name not in request.constraints.exclude:
            found.setdefault(f"host {node.host}" if node.host else f"node {node.name}", []).append(number)
    return [tuple(numbers) for numbers in found.values()]


def kinds_apart(nodes: Sequence[Node]) -> list[int]:
    """Kinds of nodes, by all that tells answers to parts apart."""
    return kinds_of_nodes(
        nodes, tuple(name for name in WITHOUT_EFFECT if name not in ("region", "offload", "main_memory"))
    )


def _in_turn(classes: Sequence[Sequence[Part]], count: int) -> list[Part]:
    """Hosts of every class in turn, each class going on where the one before ended."""
    parts: list[list[int]] = [[] for _ in range(count)]
    for number, host in enumerate(joined.from_iterable(classes)):
        parts[number % count] += host
    return [tuple(sorted(part)) for part in parts]


def _within_hosts(hosts: Sequence[Part], kinds: Sequence[int], count: int) -> list[Part]:
    """Copies to the hosts, one by one to the one with most devices for each; devices are cut in runs of alike ones."""
    copies = [1] * len(hosts)
    for _ in range(count - len(hosts)):
        copies[max(range(len(hosts)), key=lambda k: len(hosts[k]) / (copies[k] + 1))] += 1
    parts: list[Part] = []
    for host, mine in zip(hosts, copies, strict=True):
        devices = sorted(host, key=lambda k: (kinds[k], k))
        ends = [round(len(devices) * k / mine) for k in range(mine + 1)]
        parts += [tuple(sorted(devices[ends[k] : ends[k + 1]])) for k in range(mine)]
    return parts


def _by_class(cluster: Cluster, classes: Sequence[Sequence[Part]], kinds: Sequence[int], count: int) -> list[Part]:
    """Copies of one class of hosts each, in proportion to the memory of the class."""
    room = [sum(cluster.nodes[k].memory_bytes for host in hosts for k in host) for hosts in classes]
    copies = apportioned(count, room)
    parts = (
        _in_turn([hosts], mine) if mine <= len(hosts) else _within_hosts(hosts, kinds, mine)
        for hosts, mine in zip(classes, copies, strict=True)
    )
    return list(joined.from_iterable(parts))


def shares(request: Request, parts: Sequence[Part]) -> list[int]:
    """Sequences of each part, in proportion to its memory bandwidth."""
    nodes = request.cluster.nodes
    rates = [sum(nodes[k].memory_bandwidth_bytes_per_s * nodes[k].bandwidth_efficiency for k in part) for part in parts]
    return apportioned(request.workload.concurrency, rates if min(rates) > 0 else [len(part) for part in parts])


def apportioned(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers above 0 with a sum, in proportion to weights: the largest remainders are rounded up (Hamilton)."""
    free = total - len(weights)
    exact = np.array(weights, dtype=np.float64) / sum(weights) * free
    counts = np.floor(exact + 1e-9).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: free - int(counts.sum())]
    counts[rest] += 1
    return [int(count) + 1 for count in counts]


def part_of(request: Request, part: Part, sequences: int) -> Request:
    """The question of one copy: its nodes, its sequences; limits on the whole are looked at when all are known."""
    places = [*part, request.cluster.n_nodes]
    tables = np.ix_(places, places)
    cluster = Cluster(
        tuple(request.cluster.nodes[k] for k in part),
        request.cluster.latency_s[tables].copy(),
        request.cluster.bandwidth_bytes_per_s[tables].copy(),
        request.cluster.notes,
    )
    rules = Constraints(contiguous=request.constraints.contiguous)
    work = replace(request.workload, concurrency=sequences)
    return replace(request, cluster=cluster, workload=work, constraints=rules, copies=1)


def look_of(request: Request) -> tuple[object, ...]:
    """What the answer to a part depends on beside the kinds of its nodes."""
    cluster = request.cluster
    hosts = [node.host for node in cluster.nodes]
    together = tuple(hosts.index(host) if host else -1 for host in hosts)
    return together, cluster.latency_s.tobytes(), cluster.bandwidth_bytes_per_s.tobytes(), request.workload.concurrency


def one_by_one(placement: Sequence[PlacedSpan]) -> list[list[PlacedSpan]]:
    """The layouts of pipelines that follow each other: each begins at the first block, once the one before ends."""
    found: list[list[PlacedSpan]] = []
    for span in placement:
        if span.start == 0 or not found:
            found.append([])
        found[-1].append(span)
    return found


def devices_of(cluster: Cluster, layout: Sequence[PlacedSpan]) -> Part:
    """Numbers of the nodes that a layout is on, members of groups and homes of parts of blocks included."""
    names = dict.fromkeys(name for span in layout for name in (span.node, span.home) if name)
    return tuple(sorted({k for name in names for k in members_of(name, cluster.names)[0] or (cluster.index(name),)}))


def judged_beside(
    request: Request, layouts: Sequence[Sequence[PlacedSpan]], judge: Judge
) -> tuple[Plan, tuple[str, ...]]:
    """Layouts that somebody has side by side as one plan, and the rules that they break.

    Parameters
    ----------
    request : Request
    layouts : sequence of sequence of PlacedSpan
        One pipeline each.
    judge : callable
        A question with a layout of one pipeline to a plan and what it breaks.
    """
    cluster, taken, parts = request.cluster, set[int](), []
    for layout in layouts:
        part = devices_of(cluster, layout)
        twice = next((cluster.names[k] for k in part if k in taken), "")
        if twice:
            raise InputError(f"node '{twice}' is in two of the {len(layouts)} pipelines: each needs nodes of its own")
        taken |= set(part)
        parts.append(part)
    if len(parts) > request.workload.concurrency:
        raise InputError(
            f"{len(parts)} pipelines serve at least as many sequences; concurrency is {request.workload.concurrency}"
        )
    counts = shares(request, parts)
    for _ in range(2):  # first by what nodes can do, then by what the layouts do
        answers = [
            judge(part_of(request, part, count), layout)
            for part, count, layout in zip(parts, counts, layouts, strict=True)
        ]
        plans = [plan for plan, _ in answers]
        counts = apportioned(request.workload.concurrency, [plan.figures["tokens_per_s"] for plan in plans])
    broken = tuple(dict.fromkeys(rule for _, rules in answers for rule in rules))
    plan = beside(plans, cluster.names)
    return replace(plan, status="infeasible") if broken else plan, broken
