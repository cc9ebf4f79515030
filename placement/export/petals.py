"""Petals: one server process per range of layers, ``--block_indices start:end``, the end exclusive.

Embedding and head stay with the client (petals/server/server.py). Strict indices turn rebalancing off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError, shown
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target, named_nodes, nodes_line, stages
from .checks import Checked
from .petals_files import WRITERS, Server, unique

_RANGE = re.compile(r"(?:--block_indices[=\s]+)?[\"']?(\d{1,6}):(\d{1,6})[\"']?")
_FLAG = re.compile(r"--block_indices[\"']?[=,\s]+[\"']?(\d{1,6}):(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Petals(Checked):
    """A swarm of `petals.cli.run_server` processes."""

    name: str = "petals"
    holds: Holds = Holds(runs="any", replicas=True, cpu="yes")

    styles: tuple[str, ...] = ("shell", "systemd", "compose")

    def write(self, plan: Plan, target: Target) -> Exported:
        """One command per range; the first server is the initial peer of the others."""
        parts = [part for part in stages(plan) if part.count]
        nodes = tuple(part.node for part in parts)
        servers = [Server(unique(nodes, k), part.node, part.start, part.stop) for k, part in enumerate(parts)]
        text = WRITERS[target.style or "shell"](servers, target)
        return Exported(
            f"{nodes_line(nodes)}\n{text}",
            nodes,
            (
                "embedding and head run on the client, not on a server",
                "every hop goes through the client in 2.2.0: the time per token is a star's, not a chain's",
                "a server that holds several ranges is several processes",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """Ranges in the text's order: `--block_indices 0:18` of each server, or `0:18,18:32`."""
        ranges = _FLAG.findall(source.text) or _bare(source.text)
        nodes, last = named_nodes(source, len(ranges)), source.n_layers
        spans = []
        for node, (start, stop) in zip(nodes, ((int(a), int(b)) for a, b in ranges), strict=True):
            if not start < stop <= last:
                raise InputError(f"expected a range of the {last} layers, got {start}:{stop}")
            spans.append(PlacedSpan(node, start + (start > 0), stop + 1 + (stop == last)))
        return tuple(sorted(spans, key=lambda span: (span.start, span.stop)))


def _bare(text: str) -> list[tuple[str, str]]:
    found = [_RANGE.fullmatch(part) for part in re.split(r"[\s,]+", text.strip())]
    ranges = [(match[1], match[2]) for match in found if match]
    if not ranges or len(ranges) < len(found):
        raise InputError(f"expected --block_indices 0:18, or ranges such as 0:18,18:32, got {shown(text.strip())}")
    return ranges
