"""Reader of swarm files: servers with spans, rates and places, and the round trips between places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives.routes.swarm import HOP_S, Swarm

from ..errors import InfeasibleError, InputError
from ..files import read_document
from ..files.entries import ensure_different, parse
from .schema.swarm import SwarmFile, span_of

CLIENT = "client"


def read_swarm(path: Path | str) -> Swarm:
    """Read a swarm from a YAML or JSON file; errors name the file, the key and the value."""
    return swarm_of(load(path), str(path))


def load(path: Path | str) -> SwarmFile:
    """Read the entries of a swarm file."""
    return parse(SwarmFile, read_document(path, expect=("blocks", "servers", "rtt_ms")), str(path))


def swarm_of(data: Mapping[str, Any] | SwarmFile, where: str = "swarm", *, whole: bool = True) -> Swarm:
    """Build a swarm from plain data.

    Parameters
    ----------
    data : mapping or SwarmFile
        Times in milliseconds, as in the file.
    where : str
        The file, for error messages.
    whole : bool
        Every block must be held.

    Raises
    ------
    InputError
        A key is missing, unknown or out of range; a round trip is missing.
    InfeasibleError
        A block is held by nobody.
    """
    file = data if isinstance(data, SwarmFile) else parse(SwarmFile, data, where)
    names = tuple(f"server-{k}" if server.name is None else server.name for k, server in enumerate(file.servers))
    ensure_different(names, f"{where}: servers", "name")
    if CLIENT in names:
        place = f"{where}: servers[{names.index(CLIENT)}].name"
        raise InputError(f"the name '{CLIENT}' is taken by the client of the swarm", place)
    spans = np.array([_span(server.blocks, k, file.blocks, where) for k, server in enumerate(file.servers)])
    sites = [name if server.site is None else server.site for name, server in zip(names, file.servers, strict=True)]
    swarm = Swarm(
        names,
        spans[:, 0].astype(np.int64),
        spans[:, 1].astype(np.int64),
        np.array([server.ms_per_block / 1e3 for server in file.servers]),
        np.array([server.tokens_per_s for server in file.servers]),
        round_trips(file, (*names, CLIENT), (*sites, file.client.site), where),
        file.blocks,
        HOP_S if file.hop_ms is None else file.hop_ms / 1e3,
        np.array([server.price for server in file.servers]),
        np.array([server.survival for server in file.servers]),
    )
    if whole and swarm.missing is not None:
        raise InfeasibleError([f"block {swarm.missing} is held by nobody"])
    return swarm


def _span(text: str, number: int, n_blocks: int, where: str) -> tuple[int, int]:
    start, stop = span_of(text)
    if stop > n_blocks:
        raise InputError(f"expected a span within 0:{n_blocks}, got '{text}'", f"{where}: servers[{number}].blocks")
    return start, stop


def round_trips(
    file: SwarmFile, names: tuple[str, ...], sites: tuple[str, ...], where: str = "swarm"
) -> npt.NDArray[np.float64]:
    """Round trips between all places.

    Parameters
    ----------
    file : SwarmFile
        Pairs are looked up by names first, then by sites; within a site `within_ms` holds.
    names, sites : tuple of str
        Of the J servers, then the client's.
    where : str
        The file, for error messages.

    Returns
    -------
    array (J + 1, J + 1)
        Seconds, symmetric.

    Raises
    ------
    InputError
        A pair is given twice with two values, or not at all.
    """
    by_name = _table(file, names, where)
    known = sorted(set(sites))
    position = {site: k for k, site in enumerate(known)}
    at = np.array([position[site] for site in sites])
    by_site = _table(file, tuple(known), where)[np.ix_(at, at)]
    found = np.where(np.isnan(by_name), by_site, by_name)
    found = np.where(np.isnan(found) & (at[:, None] == at[None, :]), file.within_ms, found)
    np.fill_diagonal(found, 0.0)
    if np.isnan(found).any():
        i, j = (int(axis[0]) for axis in np.nonzero(np.isnan(found)))
        pair = f"{names[i]} (site {sites[i]}) and {names[j]} (site {sites[j]})"
        raise InputError(f"the round trip between {pair} is missing", f"{where}: rtt_ms")
    return found / 1e3


def _table(file: SwarmFile, places: tuple[str, ...], where: str) -> npt.NDArray[np.float64]:
    """Milliseconds between the places that the file gives a number for; NaN elsewhere."""
    position = {place: k for k, place in enumerate(places)}
    table = np.full((len(places), len(places)), np.nan)
    for first, row in file.rtt_ms.items():
        for second, value in row.items():
            if first in position and second in position:
                i, j = position[first], position[second]
                if not np.isnan(table[i, j]) and table[i, j] != value and i != j:
                    raise InputError(
                        f"the round trip is given twice, as {table[i, j]:g} and {value:g} ms",
                        f"{where}: rtt_ms.{first}.{second}",
                    )
                table[i, j] = table[j, i] = value
    return table
