"""Efficiencies that serving engines reach where a cluster file states none of its own.

The classes of the catalog stand for any software. An engine that captures graphs and fuses attention reads memory at
close to its peak; `placement/catalog/serving.yaml` has what was fitted to measured runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..catalog import hardware
from ..catalog.tables import load
from ..question.cluster import Cluster, Node

FILE = "serving.yaml"


def serving_cluster(cluster: Cluster) -> Cluster:
    """The same cluster with the efficiencies of serving engines on accelerators whose file states none."""
    figures = load(FILE)
    return replace(cluster, nodes=tuple(_serving_node(node, figures) for node in cluster.nodes))


def _serving_node(node: Node, figures: Mapping[str, Any]) -> Node:
    if not node.device:
        return node
    device = hardware.device(node.device)
    if device.kind in ("cpu", "edge"):
        return node
    found = {**figures["any"], **figures["devices"].get(device.name, {})}
    compute, bandwidth, overhead_s = node.compute_efficiency, node.bandwidth_efficiency, node.overhead_s
    return replace(
        node,
        compute_efficiency=float(found["compute"]) if compute == device.compute_efficiency else compute,
        bandwidth_efficiency=float(found["bandwidth"]) if bandwidth == device.bandwidth_efficiency else bandwidth,
        overhead_s=float(figures["overhead_us"]) * 1e-6 if overhead_s == device.overhead_s else overhead_s,
    )
