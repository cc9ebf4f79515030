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

from ..errors import InputError, nearest
from ..files import read_document
from ..files.entries import MAX_NODES, ensure_different, parse
from .schema.helix import HelixFile, HelixLinks, HelixType

SMALL = 8  # smallest batches of decode curves
KEYS = frozenset({"model", "node_types", "nodes", "links", "coordinator"})


def is_helix(data: Any) -> bool:
    """Tell such a case by its keys."""
    return isinstance(data, Mapping) and data.keys() >= KEYS


def load_helix(path: str | Path, *, partial: bool = False) -> ReplicatedCase:
    """Read a case from a JSON or YAML file; raise `InputError` naming what is wrong."""
    return read_helix(read_document(path, expect=("model", "node_types", "nodes")), partial=partial, where=str(path))


def read_helix(data: Mapping[str, Any], *, partial: bool = False, where: str = "case") -> ReplicatedCase:
    """Build tables from a case.

    Parameters
    ----------
    data : mapping
        The keys are those of `HelixFile`.
    partial : bool
        Edge rule: False joins spans end to start only, True lets a chain enter a span anywhere.
    where : str
        The file, for error messages.

    Raises
    ------
    InputError
        A key is missing, unknown or out of range; a row has another length than there are nodes.
    """
    file = parse(HelixFile, data, where)
    try:
        return _case(file, partial)
    except InputError as error:
        raise error.under(where) from None


def _case(file: HelixFile, partial: bool) -> ReplicatedCase:
    blocks, names = file.model.num_layers, tuple(node.type for node in file.nodes)
    count, client = len(names), file.coordinator
    if count > MAX_NODES:
        raise InputError(f"expected at most {MAX_NODES} nodes, got {count}", "nodes")
    for index, name in enumerate(names):
        if name not in file.node_types:
            hint = nearest(name, file.node_types)
            raise InputError(f"there is no node type '{name}'{hint}", f"nodes[{index}].type")
    for name, kind in file.node_types.items():
        _check_type(kind, f"node_types.{name}")
    rows = [file.node_types[name] for name in names]
    most = min(blocks, max(row.max_layers for row in rows))
    prompt_at, prompt_s = curves([row.prompt_ms_per_layer or () for row in rows])
    decode_at, decode_s = curves([row.decode_ms_per_layer or () for row in rows])
    tables = ReplicatedTables(
        n_blocks=blocks,
        rate=np.array([_padded(row.throughput, row.max_layers, most) for row in rows]),
        kv_tokens=np.array([_padded(_kv(row), row.max_layers, most) for row in rows]),
        nic_in=np.array([row.nic_in for row in rows]),
        nic_out=np.array([row.nic_out for row in rows]),
        client_in=client.nic_in,
        client_out=client.nic_out,
        bandwidth_bytes_per_s=_links(file.links, "bandwidth", count),
        latency_s=_links(file.links, "latency", count),
        token_bytes=file.model.token_bytes,
        activation_bytes=file.model.activation_bytes,
        partial=partial,
        prompt_at=prompt_at,
        prompt_s=prompt_s,
        decode_at=decode_at,
        decode_s=decode_s,
        prompt_tokens=file.workload.mean_prompt_tokens,
        output_tokens=file.workload.mean_output_tokens,
        concurrency=np.inf,
        availability=np.array([node.availability for node in file.nodes]),
        price_per_hour=np.array([node.price_per_hour for node in file.nodes]),
        block_bytes=np.full(blocks, file.model.layer_bytes),
        running=np.zeros((count, 2), dtype=np.int64),
        min_replicas=1,
        max_stages=count,
        cache_fill=file.workload.cache_fill,
        length_product=file.workload.length_product,
    )
    labels = tuple(f"{node.type}-{index if node.id is None else node.id}" for index, node in enumerate(file.nodes))
    ensure_different(labels, "nodes", "type and id")
    regions = tuple(node.region or "" for node in file.nodes)
    layers = tuple(f"layer.{b}" for b in range(blocks))
    return ReplicatedCase(file.name, labels, names, regions, tables, layers, _notes(file, tables))


def _notes(file: HelixFile, tables: ReplicatedTables) -> tuple[str, ...]:
    """How many requests are in flight follows from two numbers that a file may leave to Helix's own."""
    own = [name for name in ("cache_fill", "length_product") if name not in file.workload.model_fields_set]
    assumed = f"; assumed, as Helix serves: workload.{' and workload.'.join(own)}" if own else ""
    return (
        f"requests fill {tables.cache_fill:.0%} of the caches of the fullest block and reserve "
        f"{tables.cache_tokens_per_request:,.0f} tokens each in the mean{assumed}",
    )


def _check_type(kind: HelixType, where: str) -> None:
    """Refuse a type without rates for the layers that it may hold, and curves that do not rise in size."""
    if not kind.throughput:
        raise InputError("expected the rate with 1, 2, ... layers, got an empty list", f"{where}.throughput")
    for key in ("prompt_ms_per_layer", "decode_ms_per_layer"):
        sizes = [point[0] for point in getattr(kind, key) or ()]
        if sizes and (sizes != sorted(set(sizes)) or sizes[-1] <= 0):
            raise InputError("expected points in rising order of their sizes, the last above 0", f"{where}.{key}")


def _padded(values: Sequence[float], held: int, width: int) -> list[float]:
    row = list(values[: min(held, width)])
    return row + [0.0] * (width - len(row))


def _kv(row: HelixType) -> list[float]:
    """Room in context tokens per block; the file counts tokens times blocks. None given: room for everything."""
    if not row.kv_cache_tokens_x_layers:
        return [1e12] * row.max_layers
    return [value / (k + 1) for k, value in enumerate(row.kv_cache_tokens_x_layers)]


def _links(links: HelixLinks, name: str, count: int) -> FloatArray:
    """Return an array (N + 1, N + 1), the client last."""
    table = np.zeros((count + 1, count + 1))
    rows = getattr(links, name)
    if rows is not None:
        if [len(row) for row in rows] != [count] * count:
            raise InputError(f"expected {count} rows of {count} numbers", f"links.{name}")
        table[:count, :count] = np.array(rows, dtype=np.float64)
    for key, place in ((f"source_{name}", (count, slice(0, count))), (f"sink_{name}", (slice(0, count), count))):
        value = getattr(links, key)
        if isinstance(value, list) and len(value) != count:
            raise InputError(
                f"expected one number, or one for each of the {count} nodes, got {len(value)}", f"links.{key}"
            )
        table[place] = value
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
