"""A question, whole: model, cluster, workload, objective and constraints, as a cluster file states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from objectives.combine import Objective

from .cluster import Cluster
from .model import Model
from .workload import Workload


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a placement must respect besides memory, cuts and ties.

    Attributes
    ----------
    pins : mapping of str or int to str
        Block (name or number) to the node that must hold it.
    include, exclude : tuple of str
        Nodes that must hold something, and nodes that must hold nothing.
    max_nodes : int or None
        How many nodes may be used.
    contiguous : bool
        True: every node holds one run of blocks (and tied blocks beside it). False: any number of runs.
    parts_only : tuple of str
        Nodes that may hold parts of others' blocks, and none of their own.
    """

    pins: Mapping[str | int, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_nodes: int | None = None
    contiguous: bool = True
    parts_only: tuple[str, ...] = ()


PARTS = ("experts", "ffn", "cache")
"""Parts of a block that may lie apart from the rest, in the order in which they are named."""
CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Away:
    """One part of some blocks that lies in the main memory of a host, whose CPU computes it for the cards beside it.

    Attributes
    ----------
    part : str
        "experts", "ffn", or "cache" (the KV cache with its attention scores).
    blocks : tuple of int
        The blocks whose part it is.
    home : str
        The node that is the CPU with the main memory.
    cards : tuple of str
        Nodes of the same host: one of them holds the rest of each of these blocks.
    """

    part: str
    blocks: tuple[int, ...]
    home: str
    cards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a question leaves open beside the layout.

    Attributes
    ----------
    models : tuple of Model
        The model in several number formats, the best one first; empty: the format is given.
    context : bool
        The longest context that fits is wanted.
    concurrency : bool
        The most sequences in flight are wanted.
    """

    models: tuple[Model, ...] = ()
    context: bool = False
    concurrency: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What proposes tokens that the model then looks at together.

    Attributes
    ----------
    model : Model
        A small model, or one block that stands for heads of the large one. It is among the extras of the large one too.
    tokens : int
        How many it proposes at a time.
    acceptance : float
        Probability that one of them is right, those before it being right.
    block : int
        The node that holds this block runs it.
    """

    model: Model
    tokens: int
    acceptance: float
    block: int


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that a solver needs to know, from a cluster file or from Python.

    Attributes
    ----------
    model, cluster, workload, objective, constraints
        The parts.
    kind : str
        "pipeline" or "replicated".
    min_replicas : int
        Holders that every block needs in a replicated placement.
    max_stages : int or None
        Longest chain allowed in a replicated placement.
    edges : str
        Replicated placements: "exact" joins spans end to start, "partial" lets a chain enter a span anywhere.
    runtime : str
        Name of the runtime that must be able to hold the plan; empty for any.
    costs : str
        Name of the runtime whose costs hold where `runtime` is empty: a question that already keeps its rules.
    server_push : bool
        Petals' servers push to each other; in no release so far, where every hop goes through the client.
    choices : Choices or None
        What is left open; None: nothing.
    copies : int or None
        Pipelines side by side, each on nodes of its own; 0: as many as are best, also where that takes long. None: one,
        or several where a look at them within the time limit shows that they serve more.
    away : tuple of Away
        Parts of blocks that lie apart from the rest: of a block its experts or its FFN at most, and its cache beside
        them. Empty: every block lies in one piece.
    goodput : bool
        What is wanted is the rate that is served within the limits on TTFT and time per token (`question.goodput`);
        `objective` is then the one by which single layouts are judged.
    least_goodput_per_s : float or None
        Requests/s that must be served within these limits, beside another objective; None: no such limit.
    across_hosts : bool
        Devices of different hosts may hold blocks together where their links are stated.
    draft : Draft or None
        Proposes tokens. Figures with it stand beside the others; the search leaves it out but for its memory.
    """

    model: Model
    cluster: Cluster
    workload: Workload = field(default_factory=Workload)
    objective: Objective = field(default_factory=Objective)
    constraints: Constraints = field(default_factory=Constraints)
    kind: str = "pipeline"
    min_replicas: int = 1
    max_stages: int | None = None
    edges: str = "exact"
    runtime: str = ""
    server_push: bool = False
    costs: str = ""
    copies: int | None = None
    away: tuple[Away, ...] = ()
    choices: Choices | None = None
    goodput: bool = False
    least_goodput_per_s: float | None = None
    across_hosts: bool = False
    draft: Draft | None = None

    @property
    def away_by_block(self) -> dict[int, tuple[Away, ...]]:
        """What lies apart of each block of which something does, by the block's number."""
        found: dict[int, tuple[Away, ...]] = {}
        for away in self.away:
            for block in away.blocks:
                found[block] = (*found.get(block, ()), away)
        return found
