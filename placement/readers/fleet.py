"""Reader of fleets whose sessions reserve caches: a file with `servers`, `num_blocks` and `block_gb`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from objectives.sessions.chains import Fleet

from ..errors import InfeasibleError, InputError
from ..files import read_document
from ..files.entries import ensure_different, parse
from .schema.fleet import FleetFile

KEYS = frozenset({"servers", "num_blocks", "block_gb", "cache_gb_per_block_job"})
GB = 10**9
MAX_CELLS = 2_000_000  # servers times blocks: the table of cache slots has a cell for each
MAX_SESSIONS = 10_000_000  # servers times sessions that fit on one: the solver's table has a cell for each, 0.3 GB


def is_fleet(data: object) -> bool:
    """Tell whether a document is one of these, by its keys."""
    return isinstance(data, Mapping) and data.keys() >= KEYS


def read_fleet(path: Path | str) -> Fleet:
    """Read a fleet from a JSON or YAML file; errors name the file, the key and the value."""
    return fleet_of(read_document(path, expect=("servers", "num_blocks")), str(path))


def fleet_of(data: Any, where: str = "fleet") -> Fleet:
    """Build a fleet from plain data.

    Parameters
    ----------
    data : mapping
        The keys are those of `FleetFile`; sizes in 10^9 bytes, times in seconds.
    where : str
        The file, for error messages.

    Raises
    ------
    InputError
        A key is missing, unknown, or holds something else than a number in its range.
    InfeasibleError
        The servers cannot hold all blocks, or none of them holds a block with the cache of one session.
    """
    file = parse(FleetFile, data, where)
    names = tuple(str(k) if server.id is None else server.id for k, server in enumerate(file.servers))
    ensure_different(names, f"{where}: servers", "id")
    if len(names) * file.num_blocks > MAX_CELLS:
        found = f"{len(names)} servers and {file.num_blocks} blocks"
        raise InputError(f"expected at most {MAX_CELLS} for servers times blocks, got {found}", where)
    fleet = Fleet(
        names,
        np.array([_bytes(server.memory_gb) for server in file.servers], dtype=np.int64),
        np.array([server.tau_c_s for server in file.servers], dtype=float),
        np.array([server.tau_p_s for server in file.servers], dtype=float),
        file.num_blocks,
        _bytes(file.block_gb),
        _bytes(file.cache_gb_per_block_job),
        file.lambda_per_s,
    )
    ensure_chain(fleet)
    _ensure_countable(fleet, f"{where}: cache_gb_per_block_job")
    return fleet


def _ensure_countable(fleet: Fleet, where: str) -> None:
    """Raise when caches are so small that tables by number of sessions do not fit into memory."""
    most = int((fleet.memory_bytes.max() - fleet.block_bytes) // fleet.cache_bytes)
    if most * fleet.n_servers > MAX_SESSIONS:
        least = (int(fleet.memory_bytes.max()) - fleet.block_bytes) * fleet.n_servers / MAX_SESSIONS / GB
        found = f"{fleet.cache_bytes / GB:g} ({most} sessions on the largest)"
        raise InputError(f"expected at least {least:.3g} for {fleet.n_servers} servers, got {found}", where)


def ensure_chain(fleet: Fleet) -> None:
    """Raise when no placement can have a chain."""
    need = fleet.block_bytes + fleet.cache_bytes
    if not (fleet.most_blocks > 0).any():
        largest = int(np.argmax(fleet.memory_bytes))
        raise InfeasibleError(
            [
                f"no server holds one block with the cache of one session ({need / GB:g} GB); the largest, "
                f"{fleet.names[largest]}, has {fleet.memory_bytes[largest] / GB:g} GB"
            ]
        )
    # A session needs one slot for each block that it uses on a server, so one session fills a server at this size.
    held = int(np.minimum(fleet.memory_bytes // need, fleet.n_blocks).sum())
    if held < fleet.n_blocks:
        raise InfeasibleError(
            [f"block {held} is held by nobody: all servers together hold {held} of {fleet.n_blocks} blocks with caches"]
        )


def _bytes(gigabytes: float) -> int:
    return max(1, round(gigabytes * GB))
