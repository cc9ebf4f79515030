"""prima.cpp: layers per window in rank order, ``-lw "16,16,24,8"``.

Layer 0 starts on rank 1 and rank 0 comes last in each cycle; when the windows sum to less than the layers, the cycle
repeats (`this_layer_is_mine`, src/llama.cpp). Embedding and output are on rank 0. Windows are above 0, and at most 32
devices take part (common/arg.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Stage, Target, counts_in, merged, named_nodes, nodes_line, on_node, stages
from .checks import Checked, refusals
from .quoting import ensure_different_hosts, shell_word

MOST = 32


@dataclass(frozen=True, slots=True)
class PrimaCpp(Checked):
    """`llama-cli` of prima.cpp, one command per rank."""

    name: str = "prima.cpp"
    holds: Holds = Holds(runs="cyclic", embed="head", cpu="yes")

    def check(self, plan: Plan) -> list[str]:
        """Beside the common rules: equal windows in every cycle, at most 32 nodes."""
        found = refusals(self.name, self.holds, plan)
        if found:
            return found
        parts = layered(plan)
        size = len({part.node for part in parts})
        if size > MOST:
            found.append(f"prima.cpp takes at most {MOST} devices, the plan uses {size}")
        windows = [part.count for part in parts]
        if any(left != right for left, right in pairwise(windows[k : k + size] for k in range(0, len(windows), size))):
            found.append("prima.cpp repeats one list of windows, the cycles of the plan differ")
        return found

    def write(self, plan: Plan, target: Target) -> Exported:
        """One command per rank; the node with the head is rank 0."""
        parts = layered(plan)
        size = len({part.node for part in parts})
        cycle = [parts[size - 1], *parts[: size - 1]]  # in rank order: rank 0 holds the end of each cycle
        nodes = tuple(part.node for part in cycle)
        windows = ",".join(str(part.count) for part in cycle)
        master, lines = shell_word(target.host(nodes[0])), [nodes_line(nodes)]
        ensure_different_hosts(nodes, target.at)
        for rank, node in enumerate(nodes):
            beside = f'-lw "{windows}"' if rank == 0 else "-ngl 999"
            lines += [
                on_node(node),
                f"llama-cli -m {shell_word(target.model)} --world {size} --rank {rank} --master {master} "
                f"--next {shell_word(target.host(nodes[(rank + 1) % size]))} {beside}",
            ]
        return Exported(
            "\n".join(lines) + "\n",
            nodes,
            (
                "-lw turns prima.cpp's own profiling and scheduling off",
                "--prefetch and mmap may hold less than the plan says",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """`-lw 16,16,24,8`, or the numbers alone; nodes in rank order."""
        windows = counts_in(source.text, "-lw", '-lw "16,16,24,8"')
        nodes = named_nodes(source, len(windows))
        if min(windows) < 1 or len(windows) > MOST:
            raise InputError(f"expected 1 to {MOST} windows above 0, got {windows}")
        cycle = [*zip(nodes[1:], windows[1:], strict=True), (nodes[0], windows[0])]
        spans, reached = [PlacedSpan(nodes[0], 0, 1)], 0
        while reached < source.n_layers:
            for node, window in cycle:
                stop = min(reached + window, source.n_layers)
                if stop > reached:
                    spans.append(PlacedSpan(node, reached + 1, stop + 1))
                reached = stop
        return merged([*spans, PlacedSpan(nodes[0], source.n_layers + 1, source.n_layers + 2)])


def layered(plan: Plan) -> list[Stage]:
    """Stages that have layers."""
    return [part for part in stages(plan) if part.count]
