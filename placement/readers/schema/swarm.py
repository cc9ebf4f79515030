"""What a swarm file may hold: servers with spans, rates and sites, and the round trips between sites."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from placement.errors import shown
from placement.files.entries import (
    LARGEST,
    MAX_NODES,
    SMALLEST,
    Count,
    Entry,
    Name,
    NonNegativeNumber,
    PositiveNumber,
    Probability,
    Text,
    unused,
)

from .fields import Duration, TokenRate

_SPAN = re.compile(r"\s{0,9}(\d{1,9})\s{0,9}:\s{0,9}(\d{1,9})\s{0,9}", re.ASCII)


def span_of(text: str) -> tuple[int, int]:
    """Read "a:b", the blocks a <= x < b; raise `ValueError` for anything else."""
    found = _SPAN.fullmatch(text)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"expected a span such as '0:8', its end exclusive, got {shown(text)}")
    return int(found[1]), int(found[2])


def _as_span(text: str) -> str:
    span_of(text)
    return text


Span: Any = Annotated[Text, AfterValidator(_as_span)]


class SwarmServer(Entry):
    """One server and the blocks that it holds."""

    name: Name | None = Field(default=None, description="by default server-0, server-1, ...")
    site: Name | None = Field(default=None, description="where it is, for rtt_ms; by default its name")
    blocks: Span = Field(description="'0:8': the blocks 0 to 7")
    ms_per_block: PositiveNumber = Field(description="milliseconds of one block for one token")
    tokens_per_s: PositiveNumber = Field(description="tokens per second that it can give to a chain")
    price: NonNegativeNumber = Field(default=0.0, description="$ of a block and token")
    survival: Probability = Field(default=1.0, description="probability that it stays for a session")
    petals: Any = unused("what it announces: peer, state, version, cache_tokens")


class SwarmClient(Entry):
    """Who asks."""

    site: Name = Field(default="client", description="where the client is, for rtt_ms")


class PetalsPart(Entry):
    """What advice for a Petals swarm needs."""

    prefix: Text = Field(default="", description="name of the model in the DHT")
    block_bytes: NonNegativeNumber = Field(default=0.0, description="bytes of a block's weights; 0: not known")
    load_bytes_per_s: PositiveNumber | None = Field(default=None, description="download rate of a server")
    imputed: Any = unused("pairs whose round trip nobody measured")


def _objective(value: object) -> object:
    """Check that an objective is a name, several names, or weights by name; which names there are is checked later."""
    if isinstance(value, dict):
        for name, weight in value.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not SMALLEST <= weight <= LARGEST:
                raise ValueError(f"expected a weight above 0 for {shown(name)}, got {shown(weight)}")
    elif not isinstance(value, str | list):
        raise ValueError(f"expected a name, a list of names, or weights by name, got {shown(value)}")
    if not value:
        raise ValueError("expected at least one objective, got none")
    return value


class RouteLimits(Entry):
    """Largest values, and for throughput and reliability the smallest."""

    latency: Duration | None = Field(default=None, description="time per token")
    time_per_token: Duration | None = Field(default=None, description="another name for latency")
    throughput: TokenRate | None = Field(default=None, description="least tokens/s of the slowest server")
    price: PositiveNumber | None = Field(default=None, description="$ per token")
    reliability: Probability | None = Field(default=None, description="least probability that every server stays")
    survival: Probability | None = Field(default=None, description="another name for reliability")


class SwarmFile(Entry):
    """A swarm as a client sees it, and what is asked of the chains through it."""

    blocks: Count = Field(description="blocks of the model")
    servers: list[SwarmServer] = Field(min_length=1, max_length=MAX_NODES)
    rtt_ms: dict[Name, dict[Name, NonNegativeNumber]] = Field(
        description="milliseconds of a round trip, between servers or sites: {berlin: {paris: 22}}"
    )
    client: SwarmClient = SwarmClient()
    hop_ms: NonNegativeNumber | None = Field(default=None, description="overhead of a hop; by default Petals' 18 ms")
    within_ms: NonNegativeNumber = Field(default=1.0, description="round trip within a site")
    petals: PetalsPart = PetalsPart()
    shape: Literal["star", "chain"] = Field(
        default="star", description="star: servers answer the client; chain: they hand over to each other"
    )
    precision: NonNegativeNumber = Field(
        default=0.02, description="of fronts of three objectives: leave out what gains less than this part"
    )
    objective: Annotated[Any, BeforeValidator(_objective)] = Field(
        default=("latency", "throughput"),
        description="latency, throughput, price, reliability: one name, several (a front), or weights by name",
    )
    limits: RouteLimits = RouteLimits()
