"""Reader of fleets whose sessions reserve caches: one JSON file with `servers`, `num_blocks` and `block_gb`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from objectives.sessions.chains import Fleet

from ..errors import InfeasibleError, InputError
from ..files import read_json

KEYS = frozenset({"servers", "num_blocks", "block_gb", "cache_gb_per_block_job"})
GB = 10**9


def is_fleet(data: object) -> bool:
    """Tell whether a document is one of these, by its keys."""
    return isinstance(data, Mapping) and data.keys() >= KEYS


def read_fleet(path: Path) -> Fleet:
    """Read a fleet from a file; errors name the file, the key and the value."""
    data = read_json(path)
    try:
        return fleet_of(data)
    except InputError as error:
        raise error.under(str(path)) from None


def fleet_of(data: Any) -> Fleet:
    """Build a fleet from plain data.

    Raises
    ------
    InputError
        A key is missing or holds something else than a number in its range.
    InfeasibleError
        The servers cannot hold all blocks, or none of them holds a block with the cache of one session.
    """
    if not is_fleet(data):
        missing = sorted(KEYS - data.keys()) if isinstance(data, Mapping) else sorted(KEYS)
        raise InputError(f"expected the keys {', '.join(missing)}")
    n_blocks = data["num_blocks"]
    if isinstance(n_blocks, bool) or not isinstance(n_blocks, int) or n_blocks < 1:
        raise InputError(f"expected a whole number of at least 1, got {n_blocks!r}", "num_blocks")
    servers = data["servers"]
    if not isinstance(servers, list) or not servers:
        raise InputError("expected a list of at least one server", "servers")
    names = tuple(_name(server, k) for k, server in enumerate(servers))
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"expected different ids, got {double!r} twice", "servers")
    fleet = Fleet(
        names,
        np.array([_bytes(server, "memory_gb", f"servers[{k}]") for k, server in enumerate(servers)], dtype=np.int64),
        np.array([_number(s, "tau_c_s", f"servers[{k}]", zero=True) for k, s in enumerate(servers)], dtype=float),
        np.array([_number(server, "tau_p_s", f"servers[{k}]") for k, server in enumerate(servers)], dtype=float),
        n_blocks,
        _bytes(data, "block_gb", ""),
        _bytes(data, "cache_gb_per_block_job", ""),
        _number(data, "lambda_per_s", ""),
    )
    ensure_chain(fleet)
    return fleet


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


def _name(server: Any, k: int) -> str:
    if not isinstance(server, Mapping):
        raise InputError(f"expected a mapping, got {server!r}", f"servers[{k}]")
    return str(server.get("id", k))


def _number(data: Mapping[str, Any], key: str, where: str, *, zero: bool = False) -> float:
    place = f"{where}.{key}" if where else key
    if key not in data:
        raise InputError("is missing", place)
    value = data[key]
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero):
        raise InputError(f"expected a number {'of at least' if zero else 'above'} 0, got {value!r}", place)
    return float(value)


def _bytes(data: Mapping[str, Any], key: str, where: str) -> int:
    return max(1, round(_number(data, key, where) * GB))
