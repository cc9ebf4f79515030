"""Changes of files with `servers`: fleets whose sessions reserve caches, and swarms that stand already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InputError, nearest
from .change import FACTOR, MOST_LINKS, Change, Document, counted, put

MOST_SERVERS = 8  # kinds of servers that are taken in turn
IDENTITY = ("id", "name", "site", "petals")  # what may differ between servers of one kind; their place is told apart


def usual(data: Document) -> Iterator[Change]:
    """One server more and one less of each kind, then the other numbers of the file, each by a factor."""
    kinds = first_of_kind(data)
    for k in kinds:
        yield Change(f"one more {label(data, k)}", with_twins(data, k, 1))
    if len(data["servers"]) > 1:
        for k in kinds:
            yield Change(f"one less {label(data, k)}", without(data, k))
    yield from _of_fleet(data) if is_fleet(data) else _of_swarm(data)


def own(data: Document, add: Sequence[str], remove: Sequence[str]) -> dict[str, Any]:
    """The document without some servers, and with more like one that is there (``NAME`` or ``NAME*COUNT``)."""
    document = dict(data)
    for item in add:
        name, count = counted(item, "NAME")
        document = with_twins(document, number_of(document, name, "--add"), count)
    for name in remove:
        document = without(document, number_of(document, name, "--remove"))
    if not document["servers"]:
        raise InputError("expected a server to be left, got none", "--remove")
    return document


def is_fleet(data: Document) -> bool:
    """Whether sessions arrive; else the servers are a swarm that a client goes through."""
    return "lambda_per_s" in data


def kinds_left_out(data: Document) -> int:
    """How many kinds of servers `usual` does not look at."""
    return max(0, len(_kinds(data)) - MOST_SERVERS)


def first_of_kind(data: Document) -> list[int]:
    """The first server of each kind; at most MOST_SERVERS of them, spread over the file."""
    firsts = _kinds(data)
    if len(firsts) <= MOST_SERVERS:
        return firsts
    return [firsts[k * (len(firsts) - 1) // (MOST_SERVERS - 1)] for k in range(MOST_SERVERS)]


def _kinds(data: Document) -> list[int]:
    """The first server of each kind: servers of a kind differ in nothing but their names."""
    found: dict[tuple[str, ...], int] = {}
    for k, server in enumerate(data["servers"]):
        rest = sorted(f"{key}={value}" for key, value in server.items() if key not in IDENTITY)
        place = () if is_fleet(data) else (_site(data, k),)
        found.setdefault((*place, *rest), k)
    return list(found.values())


def label(data: Document, number: int) -> str:
    """The name of a server, as the readers give it."""
    server = data["servers"][number]
    if is_fleet(data):
        return str(number if server.get("id") is None else server["id"])
    return str(server.get("name") or f"server-{number}")


def _site(data: Document, number: int) -> str:
    return str(data["servers"][number].get("site") or label(data, number))


def number_of(data: Document, name: str, option: str) -> int:
    """Where the server of a name stands."""
    names = [label(data, k) for k in range(len(data["servers"]))]
    if name not in names:
        raise InputError(f"there is no server '{name[:60]}'{nearest(name, names)}", option)
    return names.index(name)


def named(data: Document) -> dict[str, Any]:
    """The document with the name of each server written down: a name by number changes when servers go."""
    key = "id" if is_fleet(data) else "name"
    servers = [{**server, key: label(data, k)} for k, server in enumerate(data["servers"])]
    return {**data, "servers": servers}


def with_twins(data: Document, number: int, count: int) -> dict[str, Any]:
    """More servers like one that is there, at its site."""
    found, key = named(data), "id" if is_fleet(data) else "name"
    original = found["servers"][number]
    place = {} if is_fleet(data) else {"site": _site(found, number)}
    taken = {server[key] for server in found["servers"]}
    free = (name for k in range(2, len(taken) + count + 3) if (name := f"{original[key]}-{k}") not in taken)
    return {**found, "servers": [*found["servers"], *({**original, **place, key: next(free)} for _ in range(count))]}


def without(data: Document, number: int) -> dict[str, Any]:
    """One server less; round trips to its site may stand."""
    found = named(data)
    return {**found, "servers": [server for k, server in enumerate(found["servers"]) if k != number]}


def _of_fleet(data: Document) -> Iterator[Change]:
    scales = (("twice", "sessions", "lambda_per_s", 2.0), ("half", "sessions", "lambda_per_s", 0.5))
    for size, of, key, factor in (*scales, ("twice", "cache of a session", "cache_gb_per_block_job", 2.0)):
        yield Change(f"{size} the {of}", {**data, key: data[key] * factor})
    nearer = [{**server, "tau_c_s": server["tau_c_s"] / FACTOR} for server in data["servers"]]
    yield Change(f"coming by {FACTOR:.0f} times quicker", {**data, "servers": nearer})


def _of_swarm(data: Document) -> Iterator[Change]:
    pairs = [(a, b) for a, line in data["rtt_ms"].items() for b in line]
    for a, b in pairs[:MOST_LINKS]:
        for factor, side in ((1.0 / FACTOR, "shorter"), (FACTOR, "longer")):
            trip = data["rtt_ms"][a][b] * factor
            yield Change(f"round trip {a} to {b} {FACTOR:.0f} times {side}", put(data, ("rtt_ms", a, b), trip))
    here = (data.get("client") or {}).get("site", "client")
    places = dict.fromkeys(_site(data, k) for k in first_of_kind(data))
    for site in list(places)[:MOST_LINKS]:
        if site != here:
            yield Change(f"client at {site}", {**data, "client": {**(data.get("client") or {}), "site": site}})
