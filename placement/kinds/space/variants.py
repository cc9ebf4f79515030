"""The variants of a question: the same with groups of devices as its nodes.

Each is an ordinary question, whose solvers and bounds hold; the best answer to any of them is the best of the space,
and the least of their bounds is a bound on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product

from placement.costs.parts import can_leave
from placement.errors import InputError, nearest
from placement.export.base import Holds
from placement.export.checks import as_run_by, cpu_first
from placement.plan.plan import PlacedSpan, Plan
from placement.question.model import Block, Model
from placement.question.request import Away, Constraints, Request

from ..rules import exporter_of
from .groups import Sharing, group_name, grouped, home_of, members_of, ways
from .hosts import Grouping, Host, Mark, across, copies_of_cache, degrees_of, groupings, hosts_of
from .parts import Proposed, linked_both, part_variants, words

MOST_VARIANTS = 64
MOST_GROUPED = 8  # groupings whose groups may leave parts of blocks too


@dataclass(frozen=True)
class Variant:
    """A question that stands for a part of a wider space; its links between groups are made when it is looked at.

    Attributes
    ----------
    base : Request
        The question on single devices, or on the groups of the file.
    wider : bool
        False: the question as it was asked.
    least : float
        A bound on the cost of all questions that this one was chosen from; infinite where none was left out.
    groups : tuple of tuple of int
        Nodes that hold blocks together.
    shares : str or sequence of tuple of int
        What unlike members divide by, see `grouped`.
    alone : bool
        A group must be the only stage.
    """

    base: Request
    wider: bool = False
    least: float = math.inf
    groups: Grouping = ()
    shares: Sharing = "equal"
    alone: bool = False

    @property
    def n_nodes(self) -> int:
        """Nodes, each group one of them."""
        return self.base.cluster.n_nodes - sum(len(group) - 1 for group in self.groups)

    @property
    def largest(self) -> int:
        """Devices of the largest node."""
        sums = [sum(self.base.cluster.nodes[k].tensor_parallel for k in group) for group in self.groups]
        return max([*sums, *(node.tensor_parallel for node in self.base.cluster.nodes)])

    @cached_property
    def request(self) -> Request:
        """The question."""
        if not self.groups:
            return self.base
        found = with_groups(self.base, self.groups, self.shares)
        if found is None:
            raise ValueError("Expected groups that the constraints allow.")
        return _one_stage(found) if self.alone else found


def variants_of(request: Request) -> tuple[list[Variant], str]:
    """The variants of a question, the question itself first, and the space in words; no words where it is alone."""
    if request.kind != "pipeline":
        return [Variant(request)], ""
    asked = replace(request, away=()) if request.away else request
    grouped = list(group_choices(asked))
    most = max(variant.largest for variant in (Variant(asked), *grouped))
    apart = list(_apart(asked))
    both: list[Proposed] = []
    if apart and holds_of(asked) is None and len(grouped) <= MOST_GROUPED:
        both = [proposed for variant in grouped for proposed in _apart(variant.request)]
    parted = [Variant(proposed.request, wider=True, least=proposed.least) for proposed in (*apart, *both)]
    room = max(MOST_VARIANTS // 2, MOST_VARIANTS - len(parted) - 1)
    found = [Variant(asked), *grouped[:room], *parted]
    if len(found) == 1:
        return found, ""
    space = ["layers whole", *([words([proposed.request for proposed in apart])] if apart else [])]
    where = "several hosts" if asked.across_hosts else "one host"
    space += [f"tensor groups of {where} up to {most}"] if most > 1 else []
    return found, ", or ".join([*space, *(["groups with such parts"] if both else [])])


def _apart(request: Request) -> Iterator[Proposed]:
    """Questions with parts away, where the runtime can hold them."""
    exporter = exporter_of(request.runtime)
    if exporter is None:
        yield from part_variants(request, hosts=len(request.cluster.nodes))
    elif exporter.holds.parts:
        asked = as_run_by(exporter, request)
        for question in cpu_first(asked) if exporter.holds.cpu_first else (asked,):
            yield from part_variants(question, exporter.holds.parts)


def holds_of(request: Request) -> Holds | None:
    """What the runtime of a question can hold; None where it names none, or one of which only the costs are known."""
    exporter = exporter_of(request.runtime)
    return None if exporter is None else exporter.holds


def group_variants(request: Request) -> Iterator[Request]:
    """The same question with groups in the place of devices that may join; hosts that are alike are grouped alike."""
    return (variant.request for variant in group_choices(request))


def group_choices(request: Request) -> Iterator[Variant]:
    """The choices of groups worth a look that the constraints allow."""
    holds = holds_of(request)
    if holds is not None and not holds.groups:
        return
    cluster, model = request.cluster, request.model
    one = holds is not None and holds.groups == "one"
    if request.across_hosts:
        for groups in across(cluster, request.constraints, degrees_of(model, cluster.n_nodes)):
            if _allowed(request, groups):
                yield Variant(request, wider=True, groups=groups, alone=one)
    hosts: dict[Mark, list[Host]] = {}
    for host, mark in hosts_of(cluster, request.constraints):
        hosts.setdefault(mark, []).append(host)
    if not hosts:
        return
    most = max(len(members[0].devices) for members in hosts.values())
    degrees = degrees_of(model, most)
    shares = holds is None or holds.shares
    uneven = range(2, most + 1) if degrees and shares else degrees  # unlike devices may have equal shares too
    choices = [
        [
            tuple(_same(host, members[0], grouping) for host in members)
            for grouping in groupings(members[0], degrees, uneven)
        ]
        for members in hosts.values()
    ]
    for choice in islice(product(*choices), 4 * MOST_VARIANTS):
        groups = tuple(group for of_kind in choice for of_host in of_kind for group in of_host)
        if groups and _allowed(request, groups):
            for how in ways(cluster, groups) if shares else ("equal",):
                yield Variant(request, True, groups=groups, shares=how, alone=one)


def _allowed(request: Request, groups: Grouping) -> bool:
    """Whether constraints on devices leave room for groups."""
    names = request.cluster.names
    home = {names[number]: names[group[0]] for group in groups for number in group}
    return _rules(request.constraints, home, max(map(len, groups))) is not None


def with_groups(request: Request, groups: Grouping, shares: Sharing = "equal") -> Request | None:
    """The question on groups; None where a constraint forbids them."""
    cluster = grouped(request.cluster, groups, shares)
    largest = max(len(group) for group in groups)
    rules = _rules(request.constraints, home_of(cluster), largest)
    if rules is None:
        return None
    copies = max(copies_of_cache(request.model, len(group)) for group in groups)
    return replace(request, cluster=cluster, model=repeated_cache(request.model, copies), constraints=rules)


def named_groups(names: Sequence[str], request: Request) -> tuple[Grouping, tuple[tuple[int, ...], ...]]:
    """The groups that a layout names, and their shares; empty where it names single nodes only."""
    known = request.cluster.names
    found = [members_of(name, known) for name in dict.fromkeys(names) if name not in known]
    inside = [number for members, _ in found for number in members]
    if len(set(inside)) != len(inside):
        raise InputError("a device is in two groups of the layout")
    groups = tuple(members for members, _ in found if members)
    for group in groups:
        _ensure_cards(request, group)
        _ensure_linked(request, group)
    return groups, tuple(percents for members, percents in found if members)


def _ensure_cards(request: Request, group: Sequence[int]) -> None:
    homes = [request.cluster.nodes[number].name for number in group if request.cluster.nodes[number].main_memory]
    if homes and len(homes) < len(group):
        raise InputError(f"a group of cards takes no processor: '{homes[0]}' is the main memory of its host")


def _ensure_linked(request: Request, group: Sequence[int]) -> None:
    cluster = request.cluster
    for one in group:
        for other in group:
            if one != other and cluster.bandwidth_bytes_per_s[one, other] <= 0:
                names = cluster.names
                raise InputError(
                    f"a group needs links between its members: '{names[one]}' has none to '{names[other]}'"
                )


def asked_for(placement: Sequence[PlacedSpan], request: Request) -> Request:
    """The question that a layout answers: with the groups that it names, and the parts that it leaves elsewhere."""
    groups, shares = named_groups([span.node for span in placement], request)
    asked = (with_groups(request, groups, shares) or request) if groups else request
    return replace(asked, away=tuple(_away(placement, asked)))


def as_named(placement: Sequence[PlacedSpan], request: Request) -> list[PlacedSpan]:
    """The spans with the names that groups have here: ``a-0+a-1+a-2`` is ``a-0..a-2``."""
    cluster = request.cluster
    found = []
    for span in placement:
        members, percents = members_of(span.node, cluster.names)
        found.append(replace(span, node=group_name(cluster, members, percents)) if members else span)
    return found


def _away(placement: Sequence[PlacedSpan], request: Request) -> Iterator[Away]:
    """What a layout leaves in main memory, by part and home."""
    found: dict[tuple[str, str], list[PlacedSpan]] = {}
    for span in placement:
        if span.home is not None:
            for part in span.parts:
                found.setdefault((part, span.home), []).append(span)
    for (part, home), apart in found.items():
        cards = tuple(dict.fromkeys(span.node for span in apart))
        machine = request.cluster.nodes[request.cluster.index(home)]
        for name in cards:
            host = request.cluster.nodes[request.cluster.index(name)].host
            if name == home or host != machine.host or not linked_both(request, name, home):
                raise InputError(f"'{name}' leaves {part} on '{home}', which is not the main memory of its host")
        blocks = tuple(block for span in apart for block in range(span.start, span.stop))
        for block in blocks:
            if not can_leave(request.model.blocks[block], part):
                raise InputError(f"block '{request.model.blocks[block].name}' has no {part} that could lie elsewhere")
        yield Away(part, blocks, home, cards)


def with_running(variants: list[Variant], running: Plan) -> list[Variant]:
    """The variants, with one on the groups of the plan that runs where none of them has these.

    Raises
    ------
    InputError
        The plan is on nodes that the cluster lacks.
    """
    used = {span.node for span in running.placement}
    if any(used <= set(variant.request.cluster.names) for variant in variants):
        return variants
    asked = variants[0].base
    there = replace(asked_for(as_named(running.placement, asked), asked), away=())
    names = there.cluster.names
    for span in as_named(running.placement, asked):
        if span.node not in names:
            raise InputError(f"the plan uses node '{span.node}', which the cluster lacks{nearest(span.node, names)}")
    return [*variants, Variant(there, wider=True)]


def repeated_cache(model: Model, copies: int) -> Model:
    """The model whose caches take `copies` times the bytes: a group of more devices than KV heads repeats them."""
    if copies == 1:
        return model
    note = f"groups hold each byte of cache {copies} times: the cache has {model.kv_heads} KV heads to divide"
    return replace(model, blocks=tuple(_repeated(block, copies) for block in model.blocks), notes=(*model.notes, note))


def _repeated(block: Block, copies: int) -> Block:
    return replace(
        block,
        kv_bytes_per_token=block.kv_bytes_per_token * copies,
        kept_bytes_per_token=block.kept_bytes_per_token * copies,
        parts=tuple(
            replace(
                part,
                kv_bytes_per_token=part.kv_bytes_per_token * copies,
                kept_bytes_per_token=part.kept_bytes_per_token * copies,
            )
            for part in block.parts
        ),
    )


def _same(host: Host, like: Host, grouping: Grouping) -> Grouping:
    """The grouping of one host, of the devices in the same places of another."""
    place = dict(zip(_ordered(like), _ordered(host), strict=True))
    return tuple(tuple(place[number] for number in group) for group in grouping)


def _ordered(host: Host) -> list[int]:
    return [number for members in host.classes for number in members]


def _rules(rules: Constraints, home: Mapping[str, str], largest: int) -> Constraints | None:
    """Constraints on devices as constraints on their groups; None: a group of that size is more than may be used."""
    most = None if rules.max_nodes is None else rules.max_nodes // largest
    if most == 0:
        return None
    include = tuple(dict.fromkeys(home.get(name, name) for name in rules.include))
    if most is not None and len(include) > most:
        return None
    pins = {block: home.get(name, name) for block, name in rules.pins.items()}
    return replace(rules, pins=pins, include=include, max_nodes=most)


def _one_stage(request: Request) -> Request:
    """A group that must be the only stage."""
    return replace(request, constraints=replace(request.constraints, max_nodes=1))
