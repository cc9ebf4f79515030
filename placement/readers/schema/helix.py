"""What a case in Helix's format may hold: measured rates by type of node and number of layers, and links."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from placement.files.entries import (
    MAX_COUNT,
    Count,
    Entry,
    Name,
    NonNegativeNumber,
    PositiveNumber,
    Probability,
    Text,
    unused,
)

from .fleet import Identity

Product: Any = Annotated[float, Field(strict=True, ge=0.75, le=1.25, allow_inf_nan=False)]
Row: Any = Annotated[list[NonNegativeNumber], Field(max_length=MAX_COUNT, fail_fast=True)]
Table: Any = Annotated[list[Row], Field(max_length=MAX_COUNT, fail_fast=True)]


def _shape(value: object) -> str:
    """Tag the branch of a union by the shape of the value, so that errors speak of one branch only."""
    return "<list>" if isinstance(value, list) else "<number>"


OneOrRow: Any = Annotated[
    Annotated[Row, Tag("<list>")] | Annotated[NonNegativeNumber, Tag("<number>")], Discriminator(_shape)
]
Point: Any = Annotated[list[NonNegativeNumber], Field(min_length=2, max_length=2)]
Curve: Any = Annotated[list[Point], Field(max_length=MAX_COUNT, fail_fast=True)]


class HelixModel(Entry):
    """The model: equal layers."""

    num_layers: Count
    token_bytes: PositiveNumber = Field(description="bytes of a token between client and nodes")
    activation_bytes: PositiveNumber = Field(description="bytes of a token between nodes")
    layer_bytes: NonNegativeNumber = Field(default=0.0, description="weights of a layer")
    name: Any = unused("name of the model")


class HelixType(Entry):
    """A type of node: what it does by the number of layers that it holds."""

    max_layers: Count
    throughput: Row = Field(description="tokens per second with 1, 2, ... layers; prompt tokens count")
    nic_in: PositiveNumber = Field(description="bytes per second into the node")
    nic_out: PositiveNumber = Field(description="bytes per second out of the node")
    kv_cache_tokens_x_layers: Row | None = Field(default=None, description="tokens times layers, with 1, 2, ... layers")
    prompt_ms_per_layer: Curve | None = Field(default=None, description="milliseconds by tokens of the batch")
    decode_ms_per_layer: Curve | None = Field(default=None, description="milliseconds by sequences of the batch")
    vram_bytes: Any = unused("memory of the node")


class HelixNode(Entry):
    """One node."""

    type: Identity = Field(description="a key of node_types")
    id: Identity | None = Field(default=None, description="by default its number in the list")
    region: Identity | None = None
    availability: Probability = 1.0
    price_per_hour: NonNegativeNumber = 0.0


class HelixLinks(Entry):
    """Links: N rows of N numbers, and of the client one number or N."""

    bandwidth: Table | None = Field(default=None, description="bytes per second; 0 is no link")
    latency: Table | None = Field(default=None, description="seconds, one way")
    source_bandwidth: OneOrRow = Field(default=0.0, description="bytes per second from the client")
    source_latency: OneOrRow = Field(default=0.0, description="seconds from the client")
    sink_bandwidth: OneOrRow = Field(default=0.0, description="bytes per second to the client")
    sink_latency: OneOrRow = Field(default=0.0, description="seconds to the client")


class HelixCoordinator(Entry):
    """The client."""

    nic_in: PositiveNumber
    nic_out: PositiveNumber


# Helix's own ("offline" serving): the caches of the fullest block are filled to 0.8. Y. Mei et al., ASPLOS 2025,
# doi:10.1145/3669940.3707215.
CACHE_FILL = 0.8
# The conversations of Azure's trace of 2023 (P. Patel et al., "Splitwise", ISCA 2024, arXiv:2311.18677), whose lengths
# Helix draws: prompts of 4 to 2,048 and outputs of 4 to 1,024 tokens, 4,428 of the first 5,000 requests.
LENGTH_PRODUCT = 1.155


class HelixWork(Entry):
    """The requests."""

    mean_prompt_tokens: PositiveNumber = 512.0
    mean_output_tokens: PositiveNumber = 128.0
    cache_fill: Probability = Field(
        default=CACHE_FILL, description="part of the caches that requests fill; by default Helix's own"
    )
    length_product: Product = Field(
        default=LENGTH_PRODUCT,
        description="mean of prompt times output tokens of a request over the product of both means, "
        "from 0.75 to 1.25; 1 where they are independent, by default that of Azure's conversations",
    )
    note: Any = unused("a remark")


class HelixFile(Entry):
    """A cluster by its measured rates."""

    model: HelixModel
    node_types: dict[Name, HelixType] = Field(min_length=1, max_length=MAX_COUNT)
    nodes: list[HelixNode] = Field(min_length=1, max_length=MAX_COUNT)
    links: HelixLinks
    coordinator: HelixCoordinator
    workload: HelixWork = HelixWork()
    name: Text = ""
    origin: Any = unused("where the case is from")
    units: Any = unused("a remark")
    note: Any = unused("a remark")
