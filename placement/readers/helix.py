"""Read a cluster in the format of Helix's published cases: measured rates by type and number of blocks, and links.

Y. Mei, Y. Zhuang, X. Miao, J. Yang, Z. Jia, R. Vinayak, "Helix: Serving Large Language Models over Heterogeneous GPUs
and Network via Max-Flow", ASPLOS 2025, doi:10.1145/3669940.3707215.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from objectives.replicated.tables import FloatArray, ReplicatedTables
from placement.question.case import ReplicatedCase

from ..errors import InputError
from ..files import read_json

SMALL = 8  # smallest batches of decode curves
KEYS = frozenset({"model", "node_types", "nodes", "links", "coordinator"})


def is_helix(data: Any) -> bool:
    """Tell such a case by its keys."""
    return isinstance(data, Mapping) and data.keys() >= KEYS


def load_helix(path: str | Path, *, partial: bool = False) -> ReplicatedCase:
    """Read a case from a JSON file; raise `InputError` naming what is wrong."""
    data = read_json(path)
    if not is_helix(data):
        raise InputError(f"expected an object with the keys {', '.join(sorted(KEYS))}", str(path))
    try:
        return read_helix(data, partial=partial)
    except InputError as error:
        raise error.under(str(path)) from None


def read_helix(data: Mapping[str, Any], *, partial: bool = False) -> ReplicatedCase:
    """Build tables from a case.

    Parameters
    ----------
    data : mapping
        The JSON object.
    partial : bool
        Edge rule: False joins spans end to start only, True lets a chain enter a span anywhere.
    """
    try:
        return _read(data, partial)
    except KeyError as error:
        raise InputError(f"the key {error} is missing") from None
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"not a case of this format ({error})") from None


def _read(data: Mapping[str, Any], partial: bool) -> ReplicatedCase:
    model, types, links = data["model"], data["node_types"], data["links"]
    blocks, names = int(model["num_layers"]), [str(node["type"]) for node in data["nodes"]]
    for index, name in enumerate(names):
        if name not in types:
            raise InputError(f"there is no node type '{name}'", f"nodes[{index}].type")
    rows = [types[name] for name in names]
    most = min(blocks, max(int(row["max_layers"]) for row in rows))
    prompt_at, prompt_s = curves([row.get("prompt_ms_per_layer") or () for row in rows])
    decode_at, decode_s = curves([row.get("decode_ms_per_layer") or () for row in rows])
    work, client, count = data.get("workload", {}), data["coordinator"], len(names)
    tables = ReplicatedTables(
        n_blocks=blocks,
        rate=np.array([_padded(row["throughput"], int(row["max_layers"]), most) for row in rows]),
        kv_tokens=np.array([_padded(_kv(row), int(row["max_layers"]), most) for row in rows]),
        nic_in=np.array([float(row["nic_in"]) for row in rows]),
        nic_out=np.array([float(row["nic_out"]) for row in rows]),
        client_in=float(client["nic_in"]),
        client_out=float(client["nic_out"]),
        bandwidth_bytes_per_s=_links(links, "bandwidth", count),
        latency_s=_links(links, "latency", count),
        token_bytes=float(model["token_bytes"]),
        activation_bytes=float(model["activation_bytes"]),
        partial=partial,
        prompt_at=prompt_at,
        prompt_s=prompt_s,
        decode_at=decode_at,
        decode_s=decode_s,
        prompt_tokens=float(work.get("mean_prompt_tokens", 512)),
        output_tokens=float(work.get("mean_output_tokens", 128)),
        concurrency=np.inf,
        availability=np.array([float(node.get("availability", 1.0)) for node in data["nodes"]]),
        price_per_hour=np.array([float(node.get("price_per_hour", 0.0)) for node in data["nodes"]]),
        block_bytes=np.full(blocks, float(model.get("layer_bytes", 0.0))),
        running=np.zeros((count, 2), dtype=np.int64),
        min_replicas=1,
        max_stages=count,
    )
    labels = tuple(
        f"{name}-{node.get('id', index)}" for index, (name, node) in enumerate(zip(names, data["nodes"], strict=True))
    )
    regions = tuple(str(node.get("region", "")) for node in data["nodes"])
    layers = tuple(f"layer.{b}" for b in range(blocks))
    return ReplicatedCase(str(data.get("name", "")), labels, tuple(names), regions, tables, layers)


def _padded(values: Sequence[float], held: int, width: int) -> list[float]:
    row = [float(value) for value in values[: min(held, width)]]
    return row + [0.0] * (width - len(row))


def _kv(row: Mapping[str, Any]) -> list[float]:
    """Room in context tokens per block; the file counts tokens times blocks. None given: room for everything."""
    found = row.get("kv_cache_tokens_x_layers")
    if not found:
        return [1e12] * int(row["max_layers"])
    return [float(value) / (k + 1) for k, value in enumerate(found)]


def _links(links: Mapping[str, Any], name: str, count: int) -> FloatArray:
    """Return an array (N + 1, N + 1), the client last."""
    if name in links and [len(row) for row in links[name]] != [count] * count:
        raise InputError(f"expected {count} rows of {count} numbers", f"links.{name}")
    table = np.zeros((count + 1, count + 1))
    table[:count, :count] = np.array(links[name], dtype=np.float64) if name in links else 0.0
    table[count, :count] = links.get(f"source_{name}", 0.0)
    table[:count, count] = links.get(f"sink_{name}", 0.0)
    return table


def curves(measured: Sequence[Sequence[Sequence[float]]]) -> tuple[FloatArray, FloatArray]:
    """Put measured (size, milliseconds) points on one grid; returns sizes (P,) and seconds (n, P).

    Beyond its last point a curve goes on in proportion to the size, as large batches do. Without points: zeros.
    """
    grid = np.unique(np.array([0.0, 1.0, *(point[0] for points in measured for point in points)]))
    seconds = np.zeros((len(measured), len(grid)))
    cache: dict[int, FloatArray] = {}
    for index, points in enumerate(measured):
        if not points:
            continue
        if id(points) not in cache:
            at, value = np.array(points, dtype=np.float64).T
            row = np.interp(grid, at, value)
            row[grid > at[-1]] = value[-1] * grid[grid > at[-1]] / at[-1]
            if len(at) > 1 and at[1] <= SMALL:
                # Curves over sequences: one alone takes as long as the smallest batch that was measured.
                row[(grid > 0) & (grid < at[1])] = value[1]
            cache[id(points)] = row / 1e3
        seconds[index] = cache[id(points)]
    return grid, seconds
