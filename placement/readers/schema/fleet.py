"""What a fleet file may hold: servers whose sessions reserve caches."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from placement.files.entries import (
    MAX_COUNT,
    Count,
    Entry,
    Name,
    NonNegativeNumber,
    PositiveNumber,
    unused,
)

LARGEST_GB = 9e6  # bytes are counted exactly up to 2^53
Gigabytes: Any = Annotated[PositiveNumber, Field(le=LARGEST_GB)]


def _as_name(value: object) -> object:
    """Read a whole number as a name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Identity: Any = Annotated[Name, BeforeValidator(_as_name, json_schema_input_type=str | int)]


class ServerEntry(Entry):
    """One server."""

    id: Identity | None = Field(default=None, description="its name; by default its number in the list")
    memory_gb: Gigabytes = Field(description="for weights and caches, in 10^9 bytes")
    tau_c_s: NonNegativeNumber = Field(description="seconds of a session for coming by, however many blocks it uses")
    tau_p_s: PositiveNumber = Field(description="seconds of a session for each block that it uses")
    type: Any = unused("class of the server")
    rtt_ms: Any = unused("round trip that tau_c_s was made of")
    forward_rps: Any = unused("announced rate of forward passes")
    network_rps: Any = unused("announced rate of the network")


class FleetFile(Entry):
    """Servers, a model of equal blocks, and sessions that arrive."""

    servers: list[ServerEntry] = Field(min_length=1, max_length=MAX_COUNT)
    num_blocks: Count = Field(description="blocks of the model")
    block_gb: Gigabytes = Field(description="weights of a block, in 10^9 bytes")
    cache_gb_per_block_job: Gigabytes = Field(description="cache of a session for a block, in 10^9 bytes")
    lambda_per_s: PositiveNumber = Field(description="sessions that arrive per second")
    name: Any = unused("what the fleet is called")
    note: Any = unused("a remark")
    seed: Any = unused("how it was drawn")
    J: Any = unused("number of servers")
    eta: Any = unused("part of the servers that are fast")
    net: Any = unused("network that the delays are from")
    l_in: Any = unused("tokens of a prompt that tau_p_s was made of")
    l_out: Any = unused("tokens of an answer that tau_p_s was made of")
    rho_target: Any = unused("load that lambda_per_s was made of")
    rho_bar: Any = unused("load of a reference method")
    rtt_ms: Any = unused("all round trips of the network")
    nu_ref_gbpcr_gca: Any = unused("rate of a reference method")
