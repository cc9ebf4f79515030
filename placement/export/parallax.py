"""Parallax: one worker per node with ``--start-layer`` and ``--end-layer``, the end exclusive.

The worker with layer 0 embeds, the one with the last layer has the head (parallax, scheduling/node.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target, named_nodes, nodes_line, on_node, placed, stages
from .checks import Checked
from .quoting import shell_word

_FLAGS = re.compile(r"--start-layer[=\s]+(\d{1,6})\s+--end-layer[=\s]+(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Parallax(Checked):
    """Workers of `parallax.launch`."""

    name: str = "parallax"
    holds: Holds = Holds(cpu="no (GPUs and Apple silicon)")

    def write(self, plan: Plan, target: Target) -> Exported:
        """One command per node."""
        parts = stages(plan)
        nodes = tuple(part.node for part in parts)
        lines = [nodes_line(nodes)]
        for part in parts:
            lines += [
                on_node(part.node),
                f"python -m parallax.launch --model-path {shell_word(target.model)} "
                f"--start-layer {part.start} --end-layer {part.stop}",
            ]
        return Exported("\n".join(lines) + "\n", nodes, ("Parallax's own scheduler is bypassed: nothing rebalances",))

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """The flags of the workers, in any order of the layers."""
        ranges = [(int(start), int(stop)) for start, stop in _FLAGS.findall(source.text)]
        if not ranges:
            raise InputError("expected --start-layer 0 --end-layer 20 of each worker")
        nodes = named_nodes(source, len(ranges))
        pairs = sorted(zip(ranges, nodes, strict=True))
        if [start for (start, _), _ in pairs] != [0, *(stop for (_, stop), _ in pairs[:-1])]:
            raise InputError("expected ranges that follow each other from layer 0, each layer once")
        return placed([(node, stop - start) for (start, stop), node in pairs], source.n_layers)
