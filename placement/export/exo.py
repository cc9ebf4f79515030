"""exo: shard assignments of an instance, start and end layer by device rank, the end exclusive.

The first shard embeds, the last has the head; ranks form a ring (exo, shared/types/worker/shards.py). Its planner has
no public option for the layers yet (PR 2253): the shards go into an instance of ``GET /instance/previews``, which
``POST /instance`` creates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, shown
from ..files import load_json
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target, placed, stages
from .checks import Checked


@dataclass(frozen=True, slots=True)
class Exo(Checked):
    """`PipelineShardMetadata` of each node."""

    name: str = "exo"
    holds: Holds = Holds(everywhere=True, cpu="yes (MLX on Linux)")

    def write(self, plan: Plan, target: Target) -> Exported:
        """`shardAssignments` by node, as JSON; exo's runner ids take the place of `runner-<rank>`."""
        parts = stages(plan)
        last = plan.n_blocks - 2
        shards = {
            f"runner-{rank}": {
                "PipelineShardMetadata": {
                    "deviceRank": rank,
                    "worldSize": len(parts),
                    "startLayer": part.start,
                    "endLayer": part.stop,
                    "nLayers": last,
                }
            }
            for rank, part in enumerate(parts)
        }
        data = {
            "shardAssignments": {
                "modelId": target.model,
                "runnerToShard": shards,
                "nodeToRunner": {part.node: f"runner-{rank}" for rank, part in enumerate(parts)},
            }
        }
        return Exported(
            json.dumps(data, indent=2) + "\n",
            tuple(part.node for part in parts),
            (
                "ids of nodes and runners, hosts and ports are exo's: put these layers into an instance of "
                "GET /instance/previews and POST it to /instance",
                "nodes must form a ring: the last one needs a link to the first",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """Any JSON with shards in it; nodes by rank, or by `nodeToRunner`."""
        data = load_json(source.text)
        shards = sorted(_shards(data, ""))
        if not shards:
            raise InputError("expected shards with startLayer and endLayer")
        names = {runner: node for table in _tables(data) for node, runner in table.items()}
        named = tuple(str(names.get(runner, "")) for *_, runner in shards)
        nodes = source.nodes or (named if set(named) <= set(source.known or named) else source.known)
        if len(nodes) != len(shards) or not all(nodes):
            raise InputError(f"expected {len(shards)} nodes in the order of the ranks: --nodes a,b")
        starts, stops = [shard[1] for shard in shards], [shard[2] for shard in shards]
        if starts != [0, *stops[:-1]]:
            raise InputError("expected shards that follow each other from layer 0")
        runs = [(node, stop - start) for node, start, stop in zip(nodes, starts, stops, strict=True)]
        return placed(runs, source.n_layers)


def _shards(data: Any, runner: str) -> Iterator[tuple[int, int, int, str]]:
    """Rank, start, stop and runner of every shard, in camel or snake case."""
    if isinstance(data, list):
        for item in data:
            yield from _shards(item, runner)
    if not isinstance(data, dict):
        return
    keys = {key.replace("_", "").lower(): value for key, value in data.items()}
    if "startlayer" in keys:
        numbers = [keys.get(key) for key in ("devicerank", "startlayer", "endlayer")]
        if not all(type(number) is int for number in numbers):
            raise InputError(f"expected whole numbers in a shard, got {shown(data)}")
        yield numbers[0], numbers[1], numbers[2], runner  # type: ignore[misc]
        return
    for key, value in data.items():
        yield from _shards(value, runner if key == "PipelineShardMetadata" else key)


def _tables(data: Any) -> Iterator[dict[str, str]]:
    """Every `nodeToRunner`, at any depth."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("nodeToRunner", "node_to_runner") and isinstance(value, dict):
                if not all(isinstance(runner, str) for runner in value.values()):
                    raise InputError(f"expected a runner for each node, got {shown(value)}", key)
                yield value
            else:
                yield from _tables(value)
