"""Lists of nodes: Kubernetes (kubectl get nodes -o json) and Ray (ray list nodes, ray.nodes())."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..quantities import whole_number
from .found import Found, FoundNode, cards

PRODUCT, MEMORY = "nvidia.com/gpu.product", "nvidia.com/gpu.memory"
AMD_PRODUCT = "amd.com/gpu.product-name"
ZONES = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
ACCELERATOR = "accelerator_type:"
MOST_CARDS = 128


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _rows(data: Any, *keys: str) -> list[Mapping[str, Any]]:
    """A list of mappings, itself or under one of the keys."""
    if isinstance(data, Mapping):
        data = next((data[key] for key in keys if isinstance(data.get(key), list)), [])
    return [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Nodes with GPUs, by the labels of GPU feature discovery."""

    def tells(self, text: str) -> bool:
        """Whether it lists nodes."""
        data = _data(text)
        return isinstance(data, Mapping) and any("metadata" in row for row in _rows(data, "items"))

    def read(self, text: str, host: str) -> Found:
        """The cards of every node that has some."""
        nodes: list[FoundNode] = []
        without: list[str] = []
        for row in _rows(_data(text), "items"):
            meta, status = row.get("metadata") or {}, row.get("status") or {}
            labels, name = meta.get("labels") or {}, str(meta.get("name", f"node-{len(nodes)}"))
            room = {**(status.get("capacity") or {}), **(status.get("allocatable") or {})}
            count = next(
                filter(None, (whole_number(str(room.get(key, ""))) for key in ("nvidia.com/gpu", "amd.com/gpu"))), 0
            )
            product = str(labels.get(PRODUCT) or labels.get(AMD_PRODUCT) or "").removesuffix("-SHARED")
            if not count or not product:
                without.append(name)
                continue
            region = next((str(labels[key]) for key in ZONES if key in labels), "")
            mib = whole_number(str(labels.get(MEMORY, "")))
            nodes += cards([(product, mib)] * min(count, MOST_CARDS), name, region)
        if not nodes:
            raise InputError(f"expected nodes with GPUs and the label {PRODUCT}, got none")
        notes = (f"without GPUs, left out: {', '.join(without[:8])}",) if without else ()
        return Found(tuple(nodes), notes=notes)


@dataclass(frozen=True, slots=True)
class Ray:
    """Nodes with GPUs, by their resources."""

    def tells(self, text: str) -> bool:
        """Whether it lists nodes."""
        return any(_resources(row) is not None for row in _rows(_data(text), "nodes", "result"))

    def read(self, text: str, host: str) -> Found:
        """The cards of every node that is alive."""
        nodes: list[FoundNode] = []
        for row in _rows(_data(text), "nodes", "result"):
            alive = row.get("Alive", str(row.get("state", "ALIVE")).upper() == "ALIVE")
            found = _resources(row) or {}
            count = int(found.get("GPU", 0) or 0)
            kind = next((key.removeprefix(ACCELERATOR) for key in found if key.startswith(ACCELERATOR)), "")
            if not alive or not count:
                continue
            name = str(
                row.get("NodeManagerHostname") or row.get("node_name") or row.get("NodeManagerAddress") or "node"
            )
            nodes += cards([(kind or "unknown", None)] * min(count, MOST_CARDS), re.sub(r"\s", "-", name))
        if not nodes:
            raise InputError("expected nodes that are alive with GPUs, got none")
        return Found(tuple(nodes))


def _resources(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = row.get("Resources", row.get("resources_total", row.get("resources")))
    return found if isinstance(found, Mapping) else None


KUBERNETES, RAY = Kubernetes(), Ray()
