"""A view as a swarm file, and back: what `placement route` reads, with what Petals announces beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from objectives.routes.swarm import Shape, Swarm

from ..readers.schema.swarm import PetalsPart
from ..readers.swarm import load, swarm_of
from .view import CLIENT, Server, View

MOST_LABEL = 60  # characters of a public name


def document(view: View, prefix: str = "", block_bytes: float = 0.0, load_bytes_per_s: float = 0.0) -> dict[str, Any]:
    """Plain data; imputed round trips are listed under ``petals.imputed``."""
    table, imputed = view.round_trips()
    labels = [*unique_labels(view), CLIENT]
    rtt = {
        a: {b: round(1e3 * float(table[i, j]), 3) for j, b in enumerate(labels) if j > i}
        for i, a in enumerate(labels[:-1])
    }
    guesses = [[labels[i], labels[j]] for i, j in zip(*np.nonzero(np.triu(imputed, 1)), strict=True)]
    about = {"prefix": prefix, "block_bytes": block_bytes, "load_bytes_per_s": load_bytes_per_s, "imputed": guesses}
    return {
        "blocks": view.n_blocks,
        "client": {"site": CLIENT},
        "servers": [entry(server, label) for server, label in zip(view.servers, labels, strict=False)],
        "rtt_ms": rtt,
        "petals": {key: value for key, value in about.items() if value},
    }


def entry(server: Server, label: str) -> dict[str, Any]:
    """A server's line."""
    about = {"peer": server.name, "state": server.state, "cache_tokens": server.cache_tokens, "version": server.version}
    return {
        "name": label,
        "blocks": f"{server.start}:{server.stop}",
        "ms_per_block": round(1e3 * server.block_s, 4),
        "tokens_per_s": round(max(server.throughput, 1e-6), 4),
        "petals": {key: value for key, value in about.items() if value not in (None, "")},
    }


def unique_labels(view: View) -> list[str]:
    """Public names where they are there and differ, else the last characters of the peer id.

    Public names are whatever a stranger announces: what a name in a swarm file cannot be is left out of them.
    """
    labels = [_name_of(server.label) or server.name[-8:] for server in view.servers]
    return [
        label if labels.count(label) == 1 and label != CLIENT else f"{label}-{server.name[-6:]}"
        for label, server in zip(labels, view.servers, strict=True)
    ]


def _name_of(label: str) -> str:
    words = " ".join("".join(mark if mark.isprintable() else " " for mark in label).split())
    return words[:MOST_LABEL].rstrip()


def text(data: Mapping[str, Any]) -> str:
    """YAML, with a line that says how to go on."""
    head = "# A Petals swarm as it stood: placement route FILE, placement petals advise FILE.\n"
    return head + str(yaml.safe_dump(dict(data), sort_keys=False, width=120))


def read(path: Path | str) -> tuple[Swarm, PetalsPart, Shape]:
    """A swarm file for advice: blocks that nobody holds are no error; with its ``petals`` part, and its shape."""
    file = load(path)
    return swarm_of(file, str(path), whole=False), file.petals, file.shape
