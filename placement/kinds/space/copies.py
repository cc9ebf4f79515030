"""Copies: pipelines side by side on nodes of their own, each with its share of the requests.

The nodes are dealt to R parts: alike hosts in turn, the devices of a host where there are fewer hosts than copies, or
each class of hosts by itself. Every part is an ordinary question, with groups and parts of blocks, and gets sequences
in proportion to what it can do. Parts that are alike are asked once. Which R is best is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as joined

import numpy as np

from placement.errors import InputError, NotFoundError
from placement.plan.plan import PlacedSpan, Plan
from placement.question.alike import WITHOUT_EFFECT, kinds_of_nodes
from placement.question.cluster import Cluster, Node
from placement.question.request import Constraints, Request

from ..asked import Asked
from .beside import beside, renamed
from .groups import members_of

MOST_COPIES = 64
TRIALS = 0.4  # part of the time that goes into trying
LEAST_TRIAL_S = 0.1
MOST_FINAL = 3  # ways to deal that are searched at length
Part = tuple[int, ...]
Judge = Callable[[Request, Sequence[PlacedSpan]], tuple[Plan, tuple[str, ...]]]
Solve = Callable[[Asked, float], Plan | None]
"""The best plan of a question found in so many seconds; None where there is none."""


@dataclass
class Tried:
    """Answers to the questions of parts, each asked once."""

    asked: Asked
    solve: Solve
    found: dict[tuple[object, ...], tuple[Request, Plan | None]] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """The whole question."""
        request: Request = self.asked.question
        return request

    def plans(self, parts: Sequence[Part], sequences: Sequence[int], seconds: float) -> list[Plan] | None:
        """A plan of every part with so many sequences; None where one of them has none."""
        kinds, asked = (
            _kinds(self.request.cluster.nodes),
            self.asked if len(parts) == 1 else _without_totals(self.asked),
        )
        questions = [part_of(self.request, part, count) for part, count in zip(parts, sequences, strict=True)]
        marks = [
            (tuple(kinds[k] for k in part), look_of(question), len(parts) == 1, seconds)
            for part, question in zip(parts, questions, strict=True)
        ]
        each = seconds / len(set(marks))
        plans = []
        for question, mark in zip(questions, marks, strict=True):
            if mark not in self.found:
                self.found[mark] = question, self.solve(replace(asked, question=question), each)
            first, plan = self.found[mark]
            if plan is None:
                return None
            plans.append(renamed(plan, first.cluster, question.cluster))
        return plans


def with_copies(asked: Asked, seconds: float, solve: Solve) -> Plan:
    """The best plan of so many pipelines side by side; `copies` 0: of as many as are best.

    Parameters
    ----------
    asked : Asked
        A question whose request says how many copies.
    seconds : float
        For everything.
    solve : callable
        Answers a question without copies.

    Raises
    ------
    InputError
        Copies are asked for together with what speaks of one pipeline.
    NotFoundError
        There is no such plan.
    """
    request: Request = asked.question
    single = replace(asked, question=replace(request, copies=1))
    _ensure_apart(asked)
    tried = Tried(single, solve)
    wanted = [parts for count in counts_of(request) for parts in dealt(request, count)]
    each = max(LEAST_TRIAL_S, TRIALS * seconds / max(1, len(wanted)))
    trials = []
    for parts in wanted:
        plans = tried.plans(parts, shares(request, parts), each)
        if plans is not None:
            trials.append((sum(plan.figures["tokens_per_s"] for plan in plans), parts, plans))
    trials.sort(key=lambda trial: -trial[0])
    found = []
    each = (1.0 - TRIALS) * seconds / MOST_FINAL
    for _, parts, plans in trials[:MOST_FINAL]:
        rates = [plan.figures["tokens_per_s"] for plan in plans]
        again = tried.plans(parts, apportioned(request.workload.concurrency, rates), each)
        found += [beside(part, request.cluster.names) for part in (plans, again) if part]
    found = [plan for plan in found if _within(plan, asked)]
    if found:
        return max(found, key=lambda plan: plan.figures["tokens_per_s"])
    count = f"{request.copies} pipelines" if request.copies else "pipelines"
    raise NotFoundError([f"no {count} side by side were found that fit and keep the limits"])


def _ensure_apart(asked: Asked) -> None:
    """Refuse what speaks of one pipeline."""
    request: Request = asked.question
    if request.kind != "pipeline":
        raise InputError(f"copies are of pipelines; this asks for {request.kind}", "copies")
    wanted = asked.wish.objective
    if asked.wish.custom is not None or wanted.pareto or wanted.single != "throughput":
        raise InputError(
            f"copies serve more requests: they go with the objective throughput, not {wanted.name}", "copies"
        )
    rules = request.constraints
    for key, given in (("pins", rules.pins), ("include", rules.include), ("max_nodes", rules.max_nodes)):
        if given:
            raise InputError(f"{key} speaks of one pipeline, copies of several: expected one of the two", "copies")
    free = request.cluster.n_nodes - len(rules.exclude)
    if request.copies > min(free, request.workload.concurrency):
        least = min(free, request.workload.concurrency)
        raise InputError(
            f"expected at most {least} copies: there are {free} nodes and {request.workload.concurrency} sequences, "
            f"got {request.copies}",
            "copies",
        )


def counts_of(request: Request) -> list[int]:
    """Numbers of copies worth a look: the one asked for, or all that memory may hold, in steps of a third at most."""
    if request.copies:
        return [request.copies]
    free = [node for node in request.cluster.nodes if node.name not in request.constraints.exclude]
    room = sum(node.memory_bytes - node.reserve_bytes for node in free)
    most = min(MOST_COPIES, len(free), request.workload.concurrency, int(room / max(1.0, request.model.weight_bytes)))
    sizes = sorted({step * 2**k for k in range(8) for step in (1, 3)} | {len(free), most})
    return [size for size in sizes if size <= max(1, most)]


def dealt(request: Request, count: int) -> Iterator[list[Part]]:
    """Ways to deal the nodes to so many parts."""
    hosts = _hosts(request)
    classes: dict[tuple[int, ...], list[Part]] = {}
    kinds = _kinds(request.cluster.nodes)
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


def _kinds(nodes: Sequence[Node]) -> list[int]:
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


def _without_totals(asked: Asked) -> Asked:
    """The wish of one of several copies: limits on throughput and price are on all of them together."""
    objective = asked.wish.objective
    limits = {name: limit for name, limit in objective.limits.items() if name not in ("throughput", "price")}
    return replace(asked, wish=replace(asked.wish, objective=replace(objective, limits=limits)))


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
        names = dict.fromkeys(name for span in layout for name in (span.node, span.home) if name)
        part = sorted({k for name in names for k in members_of(name, cluster.names)[0] or (cluster.index(name),)})
        twice = next((cluster.names[k] for k in part if k in taken), "")
        if twice:
            raise InputError(f"node '{twice}' is in two of the {len(layouts)} pipelines: each needs nodes of its own")
        taken |= set(part)
        parts.append(tuple(part))
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


def _within(plan: Plan, asked: Asked) -> bool:
    """Whether the whole keeps the limits on throughput and price."""
    limits = asked.wish.objective.limits
    rate, price = plan.figures["tokens_per_s"], plan.figures["price_per_hour"]
    fast = "throughput" not in limits or rate * (1 + 1e-9) >= limits["throughput"]
    return fast and ("price" not in limits or price <= limits["price"] * (1 + 1e-9))
