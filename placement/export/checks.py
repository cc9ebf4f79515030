"""Why a runtime cannot hold a plan, and the questions whose answers it can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise

from ..errors import InputError
from ..plan.plan import Plan
from ..question.cluster import Node
from ..question.model import Model, Tie
from ..question.request import Constraints, Request
from .base import EMBED, HEAD, Holds, Runtime, Stage, stages

COMMON = {"region": "on one host (nodes of one region)", "tensor_parallel": "of one tensor_parallel"}

MOST_QUESTIONS = 64  # each gets its share of the time


class Checked:
    """Gives a runtime the check that follows from what it holds."""

    name: str
    holds: Holds

    def check(self, plan: Plan) -> list[str]:
        """Reasons why the runtime cannot hold a plan."""
        return refusals(self.name, self.holds, plan)


def refusals(name: str, holds: Holds, plan: Plan) -> list[str]:
    """Rules of a runtime that a plan breaks, in sentences."""
    names = plan.block_names or ("?",)
    if plan.n_blocks < 3 or names[0] != EMBED or names[-1] != HEAD:
        shown = f"{names[0]}, ..., {names[-1]}"
        return [f"exports are for models of the blocks {EMBED}, decoder layers, {HEAD}; this one has {shown}"]
    held = {block for span in plan.placement for block in range(span.start, span.stop)}
    if lacking := [names[block] for block in range(plan.n_blocks) if block not in held][:1]:
        return [f"the plan gives block {lacking[0]} to no node"]
    parts = stages(plan)
    away = next((span for span in plan.placement if set(span.parts) - set(holds.parts)), None)
    if away is not None:
        keeps = f"leaves {' and '.join(holds.parts)} elsewhere at most" if holds.parts else "keeps a layer in one piece"
        return [f"{name} {keeps}, the plan leaves {away.parts_words} of '{away.node}' on '{away.home}'"]
    homes = dict.fromkeys(span.home for span in plan.placement if span.home)
    if len(homes) > 1:
        return [f"{name} leaves parts of layers in one main memory, the plan in those of {' and '.join(homes)}"]
    if overlapping(plan) and not holds.replicas:
        return [f"{name} holds every block once, the plan has several copies"]
    memories = {place.name for place in (plan.picture.places if plan.picture else ()) if place.main_memory} | {*homes}
    return [*_groups(name, holds, plan), *_runs(name, holds, parts), *_ends(name, holds, parts, memories)]


def _groups(name: str, holds: Holds, plan: Plan) -> list[str]:
    if not plan.groups:
        return []
    first, used = plan.groups[0].name, {part.node for part in stages(plan) if part.count or part.head}
    if not holds.groups:
        return [f"{name} holds no tensor parallel groups, the plan has '{first}'; plan with tensor_parallel: 1"]
    if any(span.away for span in plan.placement):
        return [f"{name} holds groups or parts of layers elsewhere, the plan has '{first}' with a part elsewhere"]
    found = []
    sizes = {len(group.devices) for group in plan.groups} | ({1} if len(used) > len(plan.groups) else set())
    if holds.groups == "one" and len(used) > 1:
        found.append(f"{name} holds one tensor parallel group or a row of stages, the plan has '{first}' among others")
    elif holds.alike == "tensor_parallel" and len(sizes) > 1:
        found.append(f"{name} needs groups of one size, the plan has {', '.join(map(str, sorted(sizes)))}")
    if not holds.shares and any(group.shares for group in plan.groups):
        found.append(f"{name} divides equally, the plan has unequal shares")
    return found


def overlapping(plan: Plan) -> bool:
    """Whether a block is on several nodes."""
    spans = sorted(plan.placement, key=lambda span: span.start)
    return any(left.stop > right.start for left, right in pairwise(spans))


def _runs(name: str, holds: Holds, parts: tuple[Stage, ...]) -> list[str]:
    # An embedding that lies with the head is a stage of its own that does not count as a run of layers.
    counted = [part for part in parts if part.count] if holds.embed == "head" else list(parts)
    order = list(dict.fromkeys(part.node for part in counted))
    if holds.runs == "any" or len(order) == len(counted):
        return []
    several = next(part.node for part in counted if sum(part.node == other.node for other in counted) > 1)
    if holds.runs == "one":
        return [f"{name} gives every node one run of layers, '{several}' has several"]
    rounds, rest = divmod(len(counted), len(order))
    if rest or [part.node for part in counted] != order * rounds:
        return [f"{name} gives a node several runs only where the stages go round all nodes in one order"]
    return []


def _ends(name: str, holds: Holds, parts: tuple[Stage, ...], memories: Collection[str]) -> list[str]:
    """`memories`: nodes that are main memory, where some runtimes keep the embedding."""
    found = []
    embed, head = (next(part for part in parts if getattr(part, end)) for end in (EMBED, HEAD))
    if holds.embed == "first" and not embed.count and not (holds.cpu_first and embed.node in memories):
        found.append(f"{name} keeps the embedding with the first layer, the plan has it alone on '{embed.node}'")
    if holds.embed == "head" and embed.node != head.node:
        found.append(f"{name} keeps the embedding with the head: it is on '{embed.node}', the head on '{head.node}'")
    if holds.head == "last" and not head.count:
        found.append(f"{name} keeps the head with the last layer, the plan has it alone on '{head.node}'")
    return found


def cluster_refusals(runtime: Runtime, plan: Plan, request: Request) -> list[str]:
    """Rules that depend on the nodes and ties of the question too."""
    holds, used, found = runtime.holds, {span.node for span in plan.placement}, []
    nodes = [node for node in request.cluster.nodes if node.name in used]
    values = sorted({str(common(node, holds.alike)) for node in nodes})
    if len(values) > 1:
        found.append(f"{runtime.name} needs all nodes {COMMON[holds.alike]}; the plan has {', '.join(values)}")
    if holds.cpu_first:
        memories = [node.name for node in request.cluster.nodes if node.main_memory]
        homes = {span.home for span in plan.placement if span.home} or set(memories if len(memories) == 1 else ())
        found += [
            f"{runtime.name} keeps the first layers on the CPU, the plan gives '{name}' others"
            for name in sorted(homes & used)
            if not _first(plan, name)
        ]
    if holds.tied == "together":
        holder = {block: span.node for span in plan.placement for block in range(span.start, span.stop)}
        for tie in request.model.ties:
            if len({holder.get(block) for block in tie.blocks}) > 1:
                words = " and ".join(request.model.blocks[block].name for block in tie.blocks)
                found.append(f"{runtime.name} keeps tied weights on one device: {words} share a tensor")
    return found


def _first(plan: Plan, node: str) -> bool:
    """Whether what a node holds begins with the first decoder layer, if it holds any, and has no gaps."""
    held = sorted({block for span in plan.placement if span.node == node for block in range(span.start, span.stop)})
    return held in (list(range(len(held))), list(range(1, len(held) + 1)))


def common(node: Node, alike: str) -> str | int:
    """What a node must have in common with the others."""
    value: str | int = getattr(node, alike) if alike else ""
    return value


def under(request: Request, runtime: Runtime) -> tuple[Request, ...]:
    """The questions whose answers a runtime can hold; the best answer to any of them is the best that it can hold."""
    holds = runtime.holds
    request = as_run_by(runtime, request)
    model = request.model
    if model.n_blocks < 3 or (model.blocks[0].name, model.blocks[-1].name) != (EMBED, HEAD):
        raise InputError(
            f"plans for {runtime.name} need a model of the blocks {EMBED}, decoder layers, {HEAD}", "runtime"
        )
    rules = request.constraints if holds.runs == "any" else replace(request.constraints, contiguous=True)
    if not holds.layers:  # slices of every layer: what it runs is one group of devices that holds all of them
        rules = replace(rules, max_nodes=1)
    note = rules_note(runtime, request.runtime)
    cluster = replace(request.cluster, notes=(*request.cluster.notes, note))
    base = replace(
        request,
        model=_model(model, holds),
        cluster=cluster,
        constraints=rules,
        runtime="",
        costs=request.costs or request.runtime,
    )
    groups = defaultdict(list)
    for node in request.cluster.nodes:
        groups[common(node, holds.alike)].append(node.name)
    if holds.embed == "head":
        return _rings(base)
    if len(groups) == 1:
        return cpu_first(base) if holds.cpu_first else (base,)
    wanted = {*rules.include, *rules.pins.values()}
    chosen = [names for names in groups.values() if wanted <= set(names) and not set(names) <= set(rules.exclude)]
    if not chosen:
        raise InputError(
            f"{runtime.name} needs all nodes {COMMON[holds.alike]}, pins and include name others", "runtime"
        )
    return tuple(replace(base, constraints=_only(rules, names, request)) for names in chosen)


def rules_note(runtime: Runtime, asked: str) -> str:
    """Under whose rules a plan was made: those of the runtime that was asked for, or that it is a release of."""
    also = f", which {asked} runs" if asked not in ("", runtime.name) else ""
    return f"planned under the rules of {runtime.name}{also}"


def cpu_first(request: Request) -> tuple[Request, ...]:
    """The questions in which a CPU with main memory holds the first layers, or parts of layers only.

    One for each CPU that may be the one of the host that runs, with the embedding there; one without any. What the
    question says of its nodes comes first: where it leaves none of these, it stays as it is.
    """
    rules, model = request.constraints, request.model
    out = {*rules.exclude, *rules.parts_only}
    homes = [node.name for node in request.cluster.nodes if node.main_memory and node.name not in out]
    others = [name for name in request.cluster.names if name not in (*out, *homes)]
    wanted = {*rules.include, *rules.pins.values()}
    pins: dict[str | int, str] = {model.blocks[model.index(block)].name: name for block, name in rules.pins.items()}
    found = []
    if others and not wanted & set(homes):
        found.append(replace(rules, parts_only=(*rules.parts_only, *homes)))
    for home in homes:
        rest = tuple(name for name in homes if name != home)
        if pins.get(EMBED, home) == home and not wanted & set(rest):
            found.append(replace(rules, pins={**pins, EMBED: home}, parts_only=(*rules.parts_only, *rest)))
    return tuple(replace(request, constraints=one) for one in found) if homes and found else (request,)


def as_run_by(runtime: Runtime, request: Request, cpus: Collection[str] = ()) -> Request:
    """The question with what a runtime does beside the plan: ends that every node holds, main memory that is copied.

    Parameters
    ----------
    cpus : collection of str
        Nodes that are main memory, beside those that the question knows to be.
    """
    cluster, model = request.cluster, request.model
    nodes = list(cluster.nodes)
    if runtime.holds.everywhere:
        ends = (0, model.n_blocks - 1)
        beside = sum(model.blocks[block].weight_bytes for block in ends)
        nodes = [replace(node, reserve_bytes=node.reserve_bytes + beside) for node in nodes]
        model = replace(model, everywhere=ends)
    if runtime.holds.copies:
        homes = [k for k, node in enumerate(nodes) if node.main_memory or node.name in cpus]
        cards = [k for k in range(len(nodes)) if k not in homes]
        for home in homes:
            linked = [k for k in cards if cluster.bandwidth_bytes_per_s[home, k] > 0]
            if linked:
                card = max(linked, key=lambda k: nodes[k].peak_flops_per_s(model.compute_dtype))
                nodes[home] = _copied(nodes[home], nodes[card], float(cluster.bandwidth_bytes_per_s[home, card]))
    return replace(request, model=model, cluster=replace(cluster, nodes=tuple(nodes)))


def _copied(home: Node, card: Node, bandwidth: float) -> Node:
    """Main memory whose blocks a card computes: the bus is what it reads them through."""
    return replace(
        card,
        name=home.name,
        region=home.region,
        host=home.host,
        memory_bytes=home.memory_bytes,
        reserve_bytes=home.reserve_bytes,
        memory_bandwidth_bytes_per_s=bandwidth,
        bandwidth_efficiency=1.0,
        price_per_hour=home.price_per_hour,
        main_memory=True,
        copied=True,
        offload=(),
        joins=False,
    )


def _rings(request: Request) -> tuple[Request, ...]:
    """A question for each pair of the node that holds embedding and head and the one that holds the first layer.

    A tie alone would let the node begin with the embedding and some layers and end with others. On large clusters the
    nodes with the most memory are tried.
    """
    rules, model = request.constraints, request.model
    free = [node for node in request.cluster.nodes if node.name not in rules.exclude]
    free.sort(key=lambda node: -node.memory_bytes)
    found = [(_pins(model, node, node), 1) for node in free if node.memory_bytes > model.weight_bytes]
    most = rules.max_nodes or len(free)
    found += [(_pins(model, ends, first), most) for ends in free for first in free if first is not ends]
    theirs: dict[str | int, str] = {model.blocks[model.index(b)].name: name for b, name in rules.pins.items()}
    fitting = [pair for pair in found if all(theirs.get(block, name) == name for block, name in pair[0].items())]
    if not fitting:
        raise InputError("the pins leave no node that could hold embedding and head together", "runtime")
    return tuple(
        replace(request, constraints=replace(rules, pins={**theirs, **pins}, max_nodes=most))
        for pins, most in fitting[:MOST_QUESTIONS]
    )


def _pins(model: Model, ends: Node, first: Node) -> dict[str | int, str]:
    return {EMBED: ends.name, HEAD: ends.name, model.blocks[1].name: first.name}


def _only(rules: Constraints, names: list[str], request: Request) -> Constraints:
    others = (name for name in request.cluster.names if name not in names)
    return replace(rules, exclude=tuple(dict.fromkeys((*rules.exclude, *others))))


def _model(model: Model, holds: Holds) -> Model:
    cuts = set(model.forbidden_cuts)
    if holds.embed == "first":
        cuts.add(1)
    if holds.head == "last":
        cuts.add(model.n_blocks - 1)
    copies = holds.tied == "copies"
    ties = tuple(replace(tie, copies=copies) for tie in model.ties)
    if holds.embed == "head":
        ties = (Tie((0, model.n_blocks - 1), copies=False, shared_bytes=_shared(model)),)
    return replace(model, forbidden_cuts=tuple(sorted(cuts)), ties=ties)


def _shared(model: Model) -> float:
    return max((tie.shared_bytes for tie in model.ties if set(tie.blocks) == {0, model.n_blocks - 1}), default=0.0)
