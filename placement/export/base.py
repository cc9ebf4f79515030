"""What an exporter is: what its runtime can hold, the text that it writes, and how it reads that text back.

Runtimes speak of decoder layers 0 .. L-1; a plan speaks of blocks: `embed`, the layers, `head`. `stages` and `placed`
are the two ways over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from ..errors import InputError, shown
from ..files import load_json
from ..plan.plan import PlacedGroup, PlacedSpan, Plan
from ..quantities import whole_number
from .quoting import json_text, remark, slug

EMBED, HEAD = "embed", "head"
LONGEST_SPLIT = 1_000_000  # characters: the regular expressions of all runtimes are linear in it
MOST_DIGITS = 9  # of a layer's number


@dataclass(frozen=True, slots=True)
class Holds:
    """What a runtime can hold.

    Attributes
    ----------
    runs : str
        "one": a node holds one run of blocks; "cyclic": or several, when the stages go round the nodes in one order;
        "any": any number.
    embed : str
        "first": with the first layer; "head": with the head; "free": wherever a plan has it.
    head : str
        "last": with the last layer; "free".
    replicas : bool
        A block may be on several nodes.
    alike : str
        What all nodes in use must have in common: "region" (one host), "tensor_parallel", or nothing.
    tied : str
        Embedding and head that share a tensor: "copies" when each stage gets its own, "together" when one device holds
        both.
    layers : bool
        False: it has no place for a layer placement at all.
    groups : str
        Tensor parallel groups: "stages": a stage may be one; "one": only where it is the whole plan; "": none.
    parts : tuple of str
        Parts of a layer that may lie in main memory: "experts", "ffn", "cache".
    copies : bool
        What lies in main memory is copied to a card in every pass and computed there.
    everywhere : bool
        Every node holds embedding and head beside its layers.
    shares : bool
        Members of a group may hold unequal parts.
    cpu : str
        What it does with nodes that are CPUs, for people.
    cpu_first : bool
        The CPU of the host that runs holds the first layers, or parts only.
    """

    runs: str = "one"
    embed: str = "first"
    head: str = "last"
    replicas: bool = False
    alike: str = ""
    tied: str = "copies"
    layers: bool = True
    groups: str = ""
    shares: bool = False
    parts: tuple[str, ...] = ()
    copies: bool = False
    everywhere: bool = False
    cpu: str = "yes"
    cpu_first: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a text needs besides the plan: the model to load, addresses, devices per node, kind of text, groups."""

    model: str = "MODEL"
    at: Mapping[str, str] = field(default_factory=dict)
    tensor_parallel: int = 1
    style: str = ""
    groups: Mapping[str, PlacedGroup] = field(default_factory=dict)

    def devices(self, node: str) -> tuple[str, ...]:
        """Where the devices of a node are: one, or those of its group; empty where that is not known."""
        return tuple(self.at[member] for member in self.members(node) if member in self.at)

    def members(self, node: str) -> tuple[str, ...]:
        """The devices of a group, or the node itself."""
        return self.groups[node].devices if node in self.groups else (node,)

    def host(self, node: str) -> str:
        """Host name or address of a node, without a port."""
        address = self.at.get(node, slug(self.members(node)[0]))
        return address.rpartition(":")[0] if ":" in address else address


@dataclass(frozen=True, slots=True)
class Exported:
    """A plan in a runtime's own words.

    Attributes
    ----------
    text : str
        The configuration, or the commands.
    nodes : tuple of str
        Nodes in the order in which the text counts them.
    lost : tuple of str
        What the runtime does in another way than the plan says.
    """

    text: str
    nodes: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A split in a runtime's words: the text, the number of decoder layers, and the nodes that it counts.

    Attributes
    ----------
    text : str
    n_layers : int
    nodes : tuple of str
        In the order in which the text counts its stages or devices; empty: the text itself names them.
    at : mapping of str to str
        Node to the device or address that stands for it in the text.
    known : tuple of str
        All nodes of the cluster, for texts that name none.
    parts : tuple of mapping of str to float
        Bytes by part of each decoder layer, where they are known.
    memory : mapping of str to float
        Bytes that each node has for a model.
    memories : tuple of str
        Nodes that are CPUs with the main memory of their host.
    together : mapping of str to int
        Devices of each node.
    cached : frozenset of int
        Decoder layers that have a KV cache; empty: all of them.
    """

    text: str
    n_layers: int
    nodes: tuple[str, ...] = ()
    at: Mapping[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    parts: tuple[Mapping[str, float], ...] = ()
    memory: Mapping[str, float] = field(default_factory=dict)
    memories: tuple[str, ...] = ()
    together: Mapping[str, int] = field(default_factory=dict)
    cached: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST_SPLIT:
            raise InputError(f"expected a split of at most {LONGEST_SPLIT} characters, got {len(self.text)}")


@dataclass(frozen=True, slots=True)
class Stage:
    """Node `node` holds the decoder layers ``start <= l < stop``, and perhaps the embedding and the head."""

    node: str
    start: int
    stop: int
    embed: bool = False
    head: bool = False

    @property
    def count(self) -> int:
        """Number of decoder layers."""
        return self.stop - self.start


@runtime_checkable
class Runtime(Protocol):
    """One runtime that plans can be written for."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    @property
    def holds(self) -> Holds:
        """What it can hold."""
        ...

    def check(self, plan: Plan) -> list[str]:
        """Reasons why it cannot hold a plan; empty when it can."""
        ...

    def write(self, plan: Plan, target: Target) -> Exported:
        """The plan in its words; only for plans that `check` lets pass."""
        ...

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """The spans that a text stands for."""
        ...


def stages(plan: Plan) -> tuple[Stage, ...]:
    """Stages in block order; neighbouring spans of one node are one stage."""
    last = plan.n_blocks - 1
    return tuple(
        Stage(span.node, max(span.start, 1) - 1, min(span.stop, last) - 1, span.start == 0, span.stop == last + 1)
        for span in merged([PlacedSpan(span.node, span.start, span.stop) for span in plan.placement])
    )


def merged(placement: Sequence[PlacedSpan]) -> tuple[PlacedSpan, ...]:
    """Spans in block order, neighbours on one node joined where the same part of them lies elsewhere."""
    out: list[PlacedSpan] = []
    for span in sorted(placement, key=lambda span: (span.start, span.stop)):
        if out and out[-1] == replace(span, start=out[-1].start, stop=span.start):
            out[-1] = replace(span, start=out[-1].start)
        else:
            out.append(span)
    return tuple(out)


def placed(runs: Sequence[tuple[str, int]], n_layers: int) -> tuple[PlacedSpan, ...]:
    """Spans of consecutive runs of layers (node, how many); the first has the embedding, the last the head."""
    total = sum(count for _, count in runs)
    if total != n_layers:
        raise InputError(f"the split has {total} layers, the model has {n_layers}")
    spans, reached = [], 0
    for number, (node, count) in enumerate(runs):
        if count < 0:
            raise InputError(f"expected layer counts of at least 0, got {count}")
        stop = reached + count + (number == 0) + (number == len(runs) - 1)
        if stop > reached:
            spans.append(PlacedSpan(node, reached, stop))
        reached = stop
    return merged(spans)


def node_order(plan: Plan) -> tuple[str, ...]:
    """Nodes in use, by their first block."""
    return tuple(dict.fromkeys(stage.node for stage in stages(plan)))


def length_flag(flag: str, plan: Plan) -> str:
    """The option that holds sequences to the context that memory was counted for; empty where that is not known."""
    return f" {flag} {plan.context_tokens}" if plan.context_tokens else ""


def length_note(plan: Plan) -> tuple[str, ...]:
    """What that option means for whoever asks for more."""
    told = f"sequences are held to {plan.context_tokens:,} tokens of prompt and output, for which memory was counted"
    return (f"{told}: `workload.context` plans for more",) if plan.context_tokens else ()


def nodes_line(nodes: Sequence[str]) -> str:
    """The comment by which a text names its nodes."""
    return f"# nodes: {json_text(list(nodes))}"


def named_nodes(source: Source, count: int | None = None) -> tuple[str, ...]:
    """The nodes of a text: those given, those that it names, or all; as many as it has stages, or an `InputError`."""
    nodes = source.nodes or _nodes_in(source.text) or source.known
    if not nodes:
        raise InputError("the split does not name its nodes: give them in its order with --nodes a,b")
    if count is not None and len(nodes) != count:
        raise InputError(
            f"the split has {count} stages, there are {len(nodes)} nodes ({', '.join(nodes)}): name them with --nodes"
        )
    return nodes


def _nodes_in(text: str) -> tuple[str, ...]:
    """The names in the line ``# nodes: ["a", "b"]`` of a text, if it has one."""
    for line in text.splitlines():
        comment = line.strip().removeprefix("#").removeprefix("//").lstrip()
        if comment.startswith("nodes:") and not line.lstrip().startswith("nodes:"):
            listed = comment.removeprefix("nodes:").strip()
            data = load_json(listed)
            if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
                raise InputError(f"expected a list of node names, got {shown(listed)}")
            return tuple(data)
    return ()


def whole(text: str, what: str) -> int:
    """A whole number of a text; raise `InputError` for anything else, or one that is too long."""
    number = whole_number(text.strip(), MOST_DIGITS)
    if number is None:
        raise InputError(f"expected {what}, got {shown(text.strip())}")
    return number


def counts_in(text: str, key: str, example: str) -> list[int]:
    """The whole numbers of ``key "20,12"``, ``key=20,12`` or a bare ``20,12``."""
    found = re.search(re.escape(key) + r"[=\s]+[\"']?([0-9][0-9,\s]*)", text)
    body = found[1] if found else text
    parts = [part.strip() for part in body.strip().strip("\"'").rstrip(",").split(",")]
    numbers = [whole_number(part, 6) for part in parts]
    good = [number for number in numbers if number is not None]
    if len(good) < len(parts):
        raise InputError(f"expected {key}, such as {example}, got {shown(' '.join(text[:200].split()))}")
    return good


def partition_text(key: str, stages: Sequence[Stage]) -> str:
    """The layers of every stage as an environment variable of a shell."""
    return f'export {key}="{",".join(str(stage.count) for stage in stages)}"'


def ranges_text(numbers: Sequence[int]) -> str:
    """Whole numbers as the alternatives of a regular expression."""
    return "|".join(map(str, sorted(numbers)))


def on_node(node: str, what: str = "") -> str:
    """The comment that says on which node something is done."""
    return remark(f"on {node}: {what}" if what else f"on {node}")


def stage_lines(parts: Sequence[Stage]) -> list[str]:
    """What every stage holds, as comments."""
    return [remark(f"stage {k} on {part.node}: {layers_text(part)}") for k, part in enumerate(parts)]


def layers_text(stage: Stage) -> str:
    """What a stage holds, for people."""
    layers = f"layers {stage.start} to {stage.stop - 1}" if stage.count else ""
    parts = [EMBED if stage.embed else "", layers, HEAD if stage.head else ""]
    return ", ".join(part for part in parts if part)
