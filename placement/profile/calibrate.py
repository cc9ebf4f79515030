"""`placement calibrate`: what real runs say about a cluster file's efficiencies and overheads.

Every pass of a micro-batch through a span is a point: seconds = factor * predicted + overhead * blocks, two unknowns
for each node, fitted by least squares of relative errors. What a hop takes beyond its link is one more unknown. The
error is reported before and after, each run predicted by a fit to the *other* runs (leave one out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..costs.roofline import decode_table, prefill_row
from ..errors import InputError, nearest
from ..files import read_document, read_lines
from ..files.entries import parse
from ..question.cluster import Cluster, Node
from ..question.model import Model
from ..question.request import Request
from ..question.workload import Workload
from ..readers.schema.runs import RunLine

Runs = Sequence[Mapping[str, Any]]
USED = {"placement", "measured", "blocks", "prompt_tokens", "output_tokens"}


@dataclass(frozen=True, slots=True)
class Correction:
    """Of one node: factor on its predicted seconds, and seconds of overhead per block, for decode and prefill."""

    decode_factor: float = 1.0
    prefill_factor: float = 1.0
    overhead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibrated cluster.

    Attributes
    ----------
    cluster : Cluster
        With the corrections put in.
    corrections : mapping of str to Correction
    hop_s : float
        Seconds that a hop takes beyond its link.
    before, after : tuple of float
        Relative error of the time per token of every run: as the cluster was, and leaving that run out of the fit.
    """

    cluster: Cluster
    corrections: Mapping[str, Correction]
    hop_s: float
    before: tuple[float, ...]
    after: tuple[float, ...]


def read_runs(path: str | Path) -> list[dict[str, Any]]:
    """Read what runs wrote, a JSON document a line; raise `InputError` with the file, the line and the key."""
    runs = [parse(RunLine, data, where).model_dump(include=USED) for where, data in read_lines(path)]
    if not runs:
        raise InputError("expected at least one run, the file has none", str(path))
    return runs


def calibrate(request: Request, runs: Runs) -> Calibration:
    """Correct the cluster of a request by runs of plans on it.

    Parameters
    ----------
    request : Request
        Model and cluster that the plans of the runs were made for.
    runs : sequence of mapping
        From `read_runs`.
    """
    model, cluster = request.model, request.cluster
    for number, run in enumerate(runs):
        for span in (*run["placement"], *run["blocks"]):
            if span["node"] not in cluster.names:
                hint = nearest(span["node"], cluster.names)
                raise InputError(f"there is no node '{span['node']}' in the cluster{hint}", f"runs[{number}]")
            if span["stop"] > model.n_blocks:
                raise InputError(
                    f"a run's plan has {span['stop']} blocks, the model {model.n_blocks}", f"runs[{number}]"
                )
    corrections, hop_s = fit_runs(model, cluster, runs)
    before = tuple(_error(model, cluster, run, {}, 0.0) for run in runs)
    after = []
    for number, run in enumerate(runs):
        others = [other for k, other in enumerate(runs) if k != number] or list(runs)
        after.append(_error(model, cluster, run, *fit_runs(model, cluster, others)))
    return Calibration(corrected(cluster, corrections, hop_s), corrections, hop_s, before, tuple(after))


def fit_runs(model: Model, cluster: Cluster, runs: Runs) -> tuple[dict[str, Correction], float]:
    """Fit all nodes that the runs used, then the hops."""
    points: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for run in runs:
        for row in run["blocks"]:
            node = cluster.nodes[cluster.index(row["node"])]
            predicted = _span_s(model, node, run, row["start"], row["stop"], row["phase"], row["batch"])
            where = points.setdefault((row["node"], row["phase"]), [])
            where.append((predicted, row["stop"] - row["start"], row["seconds"]))
    found: dict[str, Correction] = {}
    for name in dict.fromkeys(name for name, _ in points):
        factor, overhead = _line(points.get((name, "decode"), []))
        prefill, _ = _line(points.get((name, "prefill"), []), with_overhead=False)
        found[name] = Correction(factor, prefill, overhead)
    extra = []
    for run in runs:
        if _batch(run) == 1:
            stages, links, hops = _parts(model, cluster, run, found)
            extra.append((run["measured"]["time_per_token_s"] - stages - links) / hops)
    return found, float(max(0.0, np.median(extra))) if extra else 0.0


def corrected(cluster: Cluster, corrections: Mapping[str, Correction], hop_s: float) -> Cluster:
    """Return the cluster with the corrections in its nodes and links."""
    nodes = tuple(
        _corrected(node, corrections[node.name]) if node.name in corrections else node for node in cluster.nodes
    )
    latency = cluster.latency_s + hop_s * (1.0 - np.eye(len(cluster.latency_s)))
    return Cluster(nodes, latency, np.array(cluster.bandwidth_bytes_per_s), cluster.notes)


def _corrected(node: Node, by: Correction) -> Node:
    def decode(row: Sequence[float]) -> tuple[float, ...]:
        return tuple(by.decode_factor * seconds + by.overhead_s for seconds in row)

    if node.decode_table or node.decode_s_per_block:
        return replace(
            node,
            decode_table={size: decode(row) for size, row in node.decode_table.items()},
            decode_s_per_block=decode(node.decode_s_per_block),
            prefill_s_per_block=tuple(by.prefill_factor * seconds for seconds in node.prefill_s_per_block),
            pass_overhead_s=by.decode_factor * node.pass_overhead_s,
        )
    # Decode is bound by memory, prefill by arithmetic: their factors go to those efficiencies.
    return replace(
        node,
        bandwidth_efficiency=min(1.0, node.bandwidth_efficiency / by.decode_factor),
        compute_efficiency=min(1.0, node.compute_efficiency / by.prefill_factor),
        overhead_s=node.overhead_s * by.decode_factor + by.overhead_s,
        pass_overhead_s=node.pass_overhead_s * by.decode_factor,
    )


def _line(points: Sequence[tuple[float, float, float]], with_overhead: bool = True) -> tuple[float, float]:
    """Least squares of ``factor * predicted + overhead * blocks = seconds`` in relative errors, neither negative."""
    if not points:
        return 1.0, 0.0
    predicted, blocks, seconds = (np.array(column) for column in zip(*points, strict=True))
    a, b = predicted / seconds, blocks / seconds
    alone = float(a.sum() / (a @ a))
    # Two unknowns need spans of different length; the ratio of blocks to seconds must differ too.
    if not with_overhead or len({round(float(x), 9) for x in predicted / blocks}) < 2:
        return alone, 0.0
    solution = np.linalg.lstsq(np.stack([a / np.linalg.norm(a), b / np.linalg.norm(b)], 1), np.ones(len(a)), rcond=None)
    factor, overhead = solution[0] / (np.linalg.norm(a), np.linalg.norm(b))
    return (float(factor), float(overhead)) if factor > 0 and overhead >= 0 else (alone, 0.0)


def _workload(run: Mapping[str, Any]) -> Workload:
    return Workload(int(np.median(run["prompt_tokens"])), int(run["output_tokens"]), 1)


def _batch(run: Mapping[str, Any]) -> int:
    return max((int(row["batch"]) for row in run["blocks"]), default=1)


def _span_s(model: Model, node: Node, run: Mapping[str, Any], start: int, stop: int, phase: str, batch: int) -> float:
    work = _workload(run)
    row = decode_table(node, model, work, [batch])[0]
    if phase == "prefill":
        row = prefill_row(node, model, work, decode_table(node, model, work, [1])[0])
    return node.pass_overhead_s + float(row[start:stop].sum())


def _parts(
    model: Model, cluster: Cluster, run: Mapping[str, Any], corrections: Mapping[str, Correction]
) -> tuple[float, float, int]:
    """Return the seconds of a step in the stages and on the links, and the number of hops."""
    spans = sorted(run["placement"], key=lambda span: int(span["start"]))
    stages, batch = 0.0, _batch(run)
    for span in spans:
        by = corrections.get(span["node"], Correction())
        node = cluster.nodes[cluster.index(span["node"])]
        seconds = _span_s(model, node, run, span["start"], span["stop"], "decode", batch)
        stages += by.decode_factor * seconds + by.overhead_s * (span["stop"] - span["start"])
    places = [cluster.n_nodes, *(cluster.index(span["node"]) for span in spans), cluster.n_nodes]
    sizes = [4.0, *(model.blocks[span["stop"] - 1].activation_bytes_per_token for span in spans[:-1]), 4.0]
    links, hops = 0.0, 0
    for a, b, size in zip(places, places[1:], sizes, strict=False):
        if a != b:
            hops += 1
            links += float(cluster.latency_s[a, b] + batch * size / cluster.bandwidth_bytes_per_s[a, b])
    return stages, links, max(hops, 1)


def _error(
    model: Model, cluster: Cluster, run: Mapping[str, Any], corrections: Mapping[str, Correction], hop_s: float
) -> float:
    stages, links, hops = _parts(model, cluster, run, corrections)
    return abs((stages + links + hops * hop_s) / float(run["measured"]["time_per_token_s"]) - 1.0)


def corrected_yaml(path: str | Path, result: Calibration) -> str:
    """Return the cluster file with the corrections: measured tables scaled, efficiencies and overheads set.

    Nodes of one entry (`count`) get the correction of the first of them that ran. The links are written out pair by
    pair when hops cost more than they say.
    """
    document = read_document(path)
    nodes = {node.name: node for node in result.cluster.nodes}
    for entry in document["nodes"]:
        title, count = entry["name"], entry.get("count")
        # The names that the reader of cluster files gives.
        names = [title] if count is None else [f"{title}-{number}" for number in range(int(count))]
        ran = [name for name in names if name in result.corrections]
        if ran:
            entry.update(_entry(nodes[ran[0]]))
    if result.hop_s > 0:
        links = [_link(result.cluster, a, b) for a in range(len(nodes) + 1) for b in range(a)]
        document.setdefault("network", {})["links"] = [link for link in links if link]
    head = f"# calibrated: median error {np.median(result.before):.1%} before, {np.median(result.after):.1%} after\n"
    return head + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120)


def _entry(node: Node) -> dict[str, Any]:
    once = {"pass_overhead": f"{node.pass_overhead_s * 1e6:.6g} us"} if node.pass_overhead_s else {}
    if node.decode_table or node.decode_s_per_block:
        found: dict[str, Any] = {}
        if node.decode_table:
            found["decode_table"] = {size: list(row) for size, row in node.decode_table.items()}
        if node.decode_s_per_block:
            found["decode_seconds_per_block"] = list(node.decode_s_per_block)
        if node.prefill_s_per_block:
            found["prefill_seconds_per_block"] = list(node.prefill_s_per_block)
        return found | once
    return once | {
        "efficiency": {"compute": node.compute_efficiency, "bandwidth": node.bandwidth_efficiency},
        "overhead": f"{node.overhead_s * 1e6:.6g} us",
    }


def _link(cluster: Cluster, a: int, b: int) -> dict[str, Any] | None:
    bandwidth = float(min(cluster.bandwidth_bytes_per_s[a, b], cluster.bandwidth_bytes_per_s[b, a]))
    if not bandwidth > 0:
        return None
    names = (*cluster.names, "client")
    latency = float(max(cluster.latency_s[a, b], cluster.latency_s[b, a]))
    return {
        "nodes": [names[b], names[a]],
        "latency": f"{latency * 1e6:.6g} us",
        "bandwidth": f"{min(bandwidth, 1e15) / 1e6:.6g} MB/s",
    }
