"""Which nodes of a replicated placement are alike, and links no wider than their ends can use."""

from __future__ import annotations

import numpy as np

from ..regions import regions as regions_of
from .tables import FloatArray, IntArray, ReplicatedTables

STEP = 3.0  # times by which a hop between regions is longer than one within, at least


def kinds(tables: ReplicatedTables, fine: bool) -> IntArray:
    """Number the kinds of nodes: two nodes are of one kind when exchanging them changes nothing but names.

    For flow, a link wider than both ends can ever use counts as exactly that wide; `fine` kinds have the same widths.
    """
    n = tables.n_nodes
    band = tables.bandwidth_bytes_per_s if fine else wide_links(tables)
    # What an exchange keeps: own figures, and links as sets.
    own = np.column_stack(
        [
            tables.rate,
            tables.kv_tokens,
            tables.nic_in,
            tables.nic_out,
            tables.prompt_s,
            tables.decode_s,
            band[n, :n],
            band[:n, n],
            tables.latency_s[n, :n],
            tables.latency_s[:n, n],
            np.sort(band[:n, :n], axis=1),
            np.sort(band[:n, :n], axis=0).T,
        ]
    )
    seen: dict[bytes, int] = {}
    label = [seen.setdefault(np.ascontiguousarray(row).tobytes(), len(seen)) for row in own]
    kind = np.full(n, -1, dtype=np.int64)
    members: list[int] = []
    by_label: dict[int, list[int]] = {}
    for i in range(n):
        for number in by_label.setdefault(label[i], []):
            j = members[number]
            if _alike(band, i, j) and _alike(tables.latency_s, i, j):
                kind[i] = number
                break
        else:
            kind[i] = len(members)
            by_label[label[i]].append(len(members))
            members.append(i)
    return kind


def regions(tables: ReplicatedTables) -> IntArray:
    """Number the regions of nodes, by the seconds of a token's hop the slower way."""
    n = tables.n_nodes
    band = tables.bandwidth_bytes_per_s[:n, :n]
    seconds = np.full((n, n), np.inf)
    np.divide(float(tables.token_bytes + tables.activation_bytes), band, out=seconds, where=band > 0)
    seconds = np.maximum(seconds + tables.latency_s[:n, :n], 1e-9)
    return regions_of(np.maximum(seconds, seconds.T), STEP)


def families(tables: ReplicatedTables) -> IntArray:
    """Number the families of nodes: those of one region that compute alike, whatever their links."""
    own = np.column_stack([regions(tables), tables.rate, tables.kv_tokens, tables.prompt_s, tables.decode_s])
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(np.ascontiguousarray(row).tobytes(), len(seen)) for row in own], dtype=np.int64)


def _alike(table: FloatArray, i: int, j: int) -> bool:
    others = np.ones(len(table), dtype=bool)
    others[[i, j]] = False
    return bool(
        table[i, j] == table[j, i]
        and (table[i, others] == table[j, others]).all()
        and (table[others, i] == table[others, j]).all()
    )


def wide_links(tables: ReplicatedTables) -> FloatArray:
    """Links in tokens/s, none wider than both of its ends can use; array (N + 1, N + 1)."""
    n = tables.n_nodes
    between = tables.token_bytes + tables.activation_bytes
    band = tables.bandwidth_bytes_per_s / between
    fastest = tables.rate.max(axis=1)
    band[:n, :n] = np.minimum(band[:n, :n], np.minimum(fastest[:, None], fastest[None, :]))
    band[n, :n] = np.minimum(tables.bandwidth_bytes_per_s[n, :n] / tables.token_bytes, fastest)
    band[:n, n] = np.minimum(tables.bandwidth_bytes_per_s[:n, n] / tables.token_bytes, fastest)
    np.fill_diagonal(band, 0.0)
    return band
