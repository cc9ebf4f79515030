"""Reader of swarm files: servers with spans, rates and places, and the round trips between places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from objectives.routes.swarm import HOP_S, Swarm

from ..errors import InfeasibleError, InputError, nearest
from ..files import read_text

TOP = ("blocks", "servers", "client", "rtt_ms", "hop_ms", "within_ms", "churn", "petals")
SERVER = ("name", "site", "blocks", "ms_per_block", "tokens_per_s", "price", "survival", "count", "petals")


def read_swarm(path: Path) -> Swarm:
    """Read a swarm from a YAML or JSON file; errors name the file, the key and the value."""
    return swarm_of(load(path), str(path))


def load(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file."""
    try:
        data = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not a YAML file ({' '.join(str(error).split())[:120]})", str(path)) from None
    if not isinstance(data, dict):
        raise InputError("expected a mapping with 'blocks', 'servers' and 'rtt_ms'", str(path))
    return data


def swarm_of(data: Mapping[str, Any], where: str = "swarm", *, whole: bool = True) -> Swarm:
    """Build a swarm from plain data; with `whole`, every block must be held.

    Raises
    ------
    InputError
        A key is missing, unknown or out of range; a round trip is missing.
    InfeasibleError
        A block is held by nobody.
    """
    try:
        _known(data, TOP, "")
        n_blocks = _whole(data, "blocks")
        servers = data.get("servers")
        if not isinstance(servers, list) or not servers:
            raise InputError("expected a list of at least one server", "servers")
        entries = [_server(item, k, n_blocks) for k, item in enumerate(servers)]
        names = tuple(str(entry["name"]) for entry in entries)
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise InputError(f"expected different names, got '{double}' twice", "servers")
        client = data.get("client", {})
        if not isinstance(client, Mapping):
            raise InputError(f"expected a mapping such as {{site: home}}, got {client!r}", "client")
        sites = [str(entry["site"]) for entry in entries] + [str(client.get("site", "client"))]
        hop = number(data, "hop_ms", "", default=HOP_S * 1e3, zero=True) / 1e3
        swarm = Swarm(
            names, _column(entries, "start").astype(np.int64), _column(entries, "stop").astype(np.int64),
            _column(entries, "block_s"), _column(entries, "rate"), round_trips(data, (*names, "client"), sites),
            n_blocks, hop, _column(entries, "price"), _column(entries, "survival"),
        )  # fmt: skip
    except InputError as error:
        raise error.under(where) from None
    if whole and swarm.missing is not None:
        raise InfeasibleError([f"block {swarm.missing} is held by nobody"])
    return swarm


def _column(entries: list[dict[str, Any]], key: str) -> Any:
    return np.array([entry[key] for entry in entries], dtype=float)


def _server(item: Any, k: int, n_blocks: int) -> dict[str, Any]:
    place = f"servers[{k}]"
    if not isinstance(item, Mapping):
        raise InputError(f"expected a mapping, got {item!r}", place)
    _known(item, SERVER, place)
    start, stop = span_of(item.get("blocks"), f"{place}.blocks", n_blocks)
    survival = number(item, "survival", place, default=1.0)
    if survival > 1.0:
        raise InputError(f"expected a probability above 0, at most 1, got {survival:g}", f"{place}.survival")
    name = str(item.get("name", f"server-{k}"))
    return {
        "name": name,
        "site": item.get("site", name),
        "start": start,
        "stop": stop,
        "block_s": number(item, "ms_per_block", place) / 1e3,
        "rate": number(item, "tokens_per_s", place),
        "price": number(item, "price", place, default=0.0, zero=True),
        "survival": survival,
    }


def span_of(value: Any, place: str, n_blocks: int) -> tuple[int, int]:
    """Read "a:b", the blocks a <= x < b."""
    parts = str(value).split(":")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"expected a span such as '0:8', its end exclusive, got {value!r}", place)
    start, stop = (int(part) for part in parts)
    if not start < stop <= n_blocks:
        raise InputError(f"expected a span within 0:{n_blocks}, got '{value}'", place)
    return start, stop


def round_trips(data: Mapping[str, Any], names: tuple[str, ...], sites: list[str]) -> Any:
    """Round trips in s between all places; pairs are looked up by names first, then by sites."""
    table: dict[frozenset[str], float] = {}
    given = data.get("rtt_ms")
    if not isinstance(given, Mapping):
        raise InputError("expected a mapping such as {a: {b: 20}} from place to place", "rtt_ms")
    for first, row in given.items():
        if not isinstance(row, Mapping):
            raise InputError(f"expected a mapping, got {row!r}", f"rtt_ms.{first}")
        for second in row:
            value = number(row, second, f"rtt_ms.{first}", zero=True) / 1e3
            table[frozenset((str(first), str(second)))] = value
    within = number(data, "within_ms", "", default=1.0, zero=True) / 1e3
    n = len(names)
    rtt = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            between = table.get(frozenset((names[i], names[j])), table.get(frozenset((sites[i], sites[j]))))
            if between is None and sites[i] == sites[j]:
                between = within
            if between is None:
                raise InputError(
                    f"the round trip between {names[i]} (site {sites[i]}) and {names[j]} (site {sites[j]}) is missing",
                    "rtt_ms",
                )
            rtt[i, j] = rtt[j, i] = between
    return rtt


def _known(data: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in data:
        if key not in keys:
            raise InputError(f"unknown key '{key}'{nearest(str(key), keys)}", place)


def number(data: Mapping[str, Any], key: str, place: str, default: float | None = None, *, zero: bool = False) -> float:
    """Read a number above 0 (or at least 0)."""
    where = f"{place}.{key}" if place else str(key)
    value: Any = data.get(key, default)
    if value is None:
        raise InputError("is missing", where)
    if not is_number(value) or value < 0 or (value == 0 and not zero):
        raise InputError(f"expected a number {'of at least' if zero else 'above'} 0, got {value!r}", where)
    return float(value)


def is_number(value: Any) -> bool:
    """Tell a finite number from everything else, booleans included."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"expected a whole number of at least 1, got {value!r}", key)
    return value
