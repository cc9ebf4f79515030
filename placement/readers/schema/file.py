"""The one schema of cluster.yaml: what a file may say, checked once, at the door."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from objectives.combine import REPLICATED, TERMS, TermSet
from placement.errors import InputError, nearest, shown
from placement.files.entries import MAX_COUNT, Bool, Count, Entry, Name, PositiveInt
from placement.question.goodput import ALONE, GOODPUT

from .extras import Extras
from .fields import BlockRef, Duration, Energy, Fraction, PriceLimit, RequestRate, Size, TokenRate, Weight
from .model import InlineModel
from .nodes import Client, Degree, Network, NodeEntry


def _open(value: object) -> object:
    """Read "max" as 0; anything else is a count, and says so."""
    if value == "max":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**12:
        raise ValueError(f"expected max, or a whole number of at least 1, got {shown(value)}")
    return value


def _copies(value: object) -> object:
    """Read "auto" as 0; anything else is a count, and says so."""
    if value == "auto":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise ValueError(f"expected auto, or a whole number of at least 1, got {shown(value)}")
    return value


Copies: Any = Annotated[int, BeforeValidator(_copies, json_schema_input_type=int | str)]
Open: Any = Annotated[int, BeforeValidator(_open, json_schema_input_type=int | str)]


MOST_FORMATS = 16


class WorkloadEntry(Entry):
    """The requests that the placement serves."""

    prompt_tokens: PositiveInt = 512
    output_tokens: PositiveInt = 128
    concurrency: Open = Field(default=1, description="sequences that want to be in flight at once; max: as many as fit")
    context: Open | None = Field(
        default=None, description="tokens of prompt and output together; max: the longest that fits"
    )
    rate: RequestRate | None = Field(default=None, description="requests by time, for goodput: 4/s")


class Limits(Entry):
    """Largest values allowed (smallest where more is better); `by_term` refuses those of the other kind."""

    ttft: Duration | None = Field(default=None, description="time to first token")
    time_per_token: Duration | None = Field(default=None, description="one decode step of one sequence")
    latency: Duration | None = Field(default=None, description="another word for time_per_token")
    request_time: Duration | None = Field(default=None, description="a whole request")
    throughput: TokenRate | None = Field(default=None, description="the least tokens per second, prompts included")
    decode_rate: TokenRate | None = Field(default=None, description="the least tokens per second of decode steps alone")
    served: TokenRate | None = Field(default=None, description="another word for it, of replicated placements")
    flow: TokenRate | None = Field(default=None, description="replicated: the least max flow")
    best_chain: Duration | None = Field(default=None, description="replicated: a decode step on the fastest chain")
    replicas: Count | None = Field(default=None, description="replicated: the least holders of any block")
    survival: Fraction | None = Field(default=None, description="replicated: the least probability to be all up")
    moved_bytes: Size | None = Field(default=None, description="replicated: loaded against the running placement")
    price: PriceLimit | None = Field(default=None, description="of all nodes in use")
    energy: Energy | None = Field(default=None, description="per generated token")
    bottleneck: Duration | None = Field(default=None, description="of the slowest stage or link")
    goodput: RequestRate | None = Field(
        default=None, description="the least requests by time that are served within ttft and time_per_token, simulated"
    )

    def by_term(self, terms: TermSet) -> dict[str, float]:
        """Return the limits that are given, by the term that each one bounds; an `InputError` for one of no term."""
        limits: dict[str, float] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None or name == GOODPUT:  # which no term says: it is simulated
                continue
            if name not in terms.limits:
                kind = "pipelines" if terms is REPLICATED else "replicated placements"
                raise InputError(f"this is a limit of {kind}", f"limits.{name}")
            term = terms.limits[name]
            tighter = max if term in terms.maximised else min
            limits[term] = tighter(value, limits.get(term, value))
        return limits


def _check_term(name: object) -> None:
    if name == GOODPUT:
        raise ValueError(ALONE)
    known = (*TERMS, *REPLICATED.names, *REPLICATED.aliases)  # a tuple: what stands in a file may be no name at all
    if name not in known:
        hint = nearest(str(name), (*TERMS, *REPLICATED.names))
        raise ValueError(f"unknown objective {shown(name)} (known: {', '.join(TERMS)}){hint}")


def _objective(value: object) -> object:
    """Check the names of an objective: one, several (a Pareto front), or weights."""
    if value == GOODPUT:
        return value
    if isinstance(value, str):
        for name in value.split(","):
            _check_term(name.strip())
    elif isinstance(value, (list, dict)):
        if not value:
            raise ValueError("expected at least one objective, got none")
        for name in value:
            _check_term(name)
        if len(set(value)) < len(value):
            raise ValueError("an objective is named twice")
    else:
        raise ValueError(f"expected a name, a list of names, or weights by name, got {shown(value)}")
    return value


def _shape(value: object) -> str:
    """Tag the branch of a union by the shape of the value, so that errors speak of one branch only."""
    if isinstance(value, (dict, InlineModel)):
        return "<mapping>"
    return "<list>" if isinstance(value, (list, tuple)) else "<text>"


ModelSpec = Annotated[
    Annotated[Name, Tag("<text>")]
    | Annotated[InlineModel, Tag("<mapping>")]
    | Annotated[Name, Tag("<list>")],  # a list is no model: the text branch says so
    Discriminator(_shape),
]
ObjectiveSpec = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[str], Tag("<list>")]
    | Annotated[dict[str, Weight], Tag("<mapping>")],
    Discriminator(_shape),
    BeforeValidator(_objective),
]


def _formats(value: object) -> object:
    """Read one name as a list of one."""
    return [value] if isinstance(value, str) else value


Formats: Any = Annotated[
    Annotated[list[Name], Field(min_length=1, max_length=MOST_FORMATS)],
    BeforeValidator(_formats, json_schema_input_type=str | list[str]),
]


class ClusterFile(Entry):
    """A whole question: model, nodes, network, workload, objective and constraints."""

    model: ModelSpec | None = Field(
        default=None,
        description="catalog preset, path to config.json, a checkpoint folder, a .gguf file, or blocks inline",
    )
    quantization: Formats | None = Field(
        default=None,
        description="fp8, int8, nf4, or a GGUF name such as q4_k_m; several, the best first: the first that fits",
    )
    dtype: Name | None = Field(default=None, description="number format of unquantized weights, such as bfloat16")
    kv_dtype: Name | None = Field(default=None, description="number format of the KV cache")
    workload: WorkloadEntry = WorkloadEntry()
    objective: ObjectiveSpec | None = Field(
        default=None,
        description="one name (latency; served where replicated), a list (a Pareto front), or weights by name: "
        + ", ".join(dict.fromkeys((*TERMS, *REPLICATED.names, *REPLICATED.aliases)))
        + "; or goodput, which stands alone",
    )
    limits: Limits = Limits()
    extras: Extras = Field(default=Extras(), description="a draft model and a vision tower, beside the model")
    client: Client = Client()
    nodes: list[NodeEntry] = Field(min_length=1, max_length=MAX_COUNT)
    network: Network = Network()
    pins: dict[BlockRef, Name] = Field(default={}, description="block (name or number) to the node that must hold it")
    include: list[Name] = Field(default=[], description="nodes that must hold something")
    exclude: list[Name] = Field(default=[], description="nodes that must hold nothing")
    max_nodes: PositiveInt | None = Field(default=None, description="how many nodes may be used")
    contiguous: Bool = Field(default=True, description="false: a node may hold several runs of blocks")
    tensor_parallel: Degree | None = Field(
        default=None, description="of every node that states none: auto (the default), or devices that act as one node"
    )
    across_hosts: Bool = Field(
        default=False, description="true: devices of several linked hosts may form a tensor parallel group too"
    )
    copies: Copies | None = Field(
        default=None,
        description="pipelines side by side, each on nodes of its own; auto: as many as serve most; not given: one, or "
        "several where a short look shows that they serve more",
    )
    placement: Literal["pipeline", "replicated"] = "pipeline"
    edges: Literal["exact", "partial"] = Field(
        default="exact", description="replicated: spans meet end to start, or a chain enters a span anywhere"
    )
    min_replicas: Count = Field(default=1, description="holders of every block in a replicated placement")
    max_stages: PositiveInt | None = Field(default=None, description="longest chain of a replicated placement")
    runtime: Name | None = Field(default=None, description="the runtime that the plan is for")
    server_push: Bool = Field(default=False, description="petals: servers hand on to each other, not by the client")
