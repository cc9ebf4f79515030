"""A kind that another package might bring: rows of equal layers over machines in a row, told in five words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placement.kinds import Entry
from placement.kinds.pipeline.kind import PipelineKind
from placement.question.request import Request
from placement.readers.cluster.read import request_of


@dataclass(frozen=True)
class ToyKind(PipelineKind):
    """Pipelines asked in another format: ``{layers: 6, machines: {a: 0.01, b: 0.02}}``, seconds per layer."""

    name: str = "toy"
    can: frozenset[str] = frozenset({"score"})
    options: frozenset[str] = frozenset()

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Request:
        """The same as a cluster file, each machine with room for half of the layers and one and a half more."""
        room = data["layers"] // 2 + 1
        nodes = [
            {"name": name, "memory": f"{room}.5 GiB", "decode_seconds_per_block": seconds}
            for name, seconds in data["machines"].items()
        ]
        blocks = [{"name": "layer", "repeat": data["layers"], "weights": "1 GiB", "activation_per_token": "8 KiB"}]
        file = {
            "model": {"name": "toy", "blocks": blocks},
            "nodes": nodes,
            "network": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}},
        }
        return request_of(file, where, folder, model)


TOY = ToyKind()
ENTRY = Entry("tests.kinds.toy:TOY", "rows of equal layers", (frozenset({"layers", "machines"}),))
