"""torch.distributed.pipelining: split points, and the line that starts the executor of this library under torchrun.

``pipeline(module, mb_args=..., split_spec=...)`` cuts before each named module; what comes before the first cut is
stage 0 (torch/distributed/pipelining/_IR.py). Rank i modulo the world runs stage i in the interleaved schedules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target, node_order, nodes_line, on_node, stage_lines, stages
from .checks import Checked
from .cyclic import from_bounds, round_nodes
from .quoting import shell_word

LAYER, NORM = "model.layers.", "model.norm"
_CUT = re.compile(
    r"[\"']((?:[\w.]{1,80}\.)?(?:layers|h|blocks|block)\.(\d{1,6})|[\w.]{0,80}(?:norm|ln_f|final_layernorm))[\"']"
    r"\s{0,9}:\s{0,9}(?:SplitPoint\.)?(BEGINNING|END)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Torch(Checked):
    """Split points for `torch.distributed.pipelining`."""

    name: str = "torch"
    holds: Holds = Holds(runs="cyclic", embed="free", head="free", groups="stages", cpu="yes (gloo)")

    def write(self, plan: Plan, target: Target) -> Exported:
        """A Python dict, and a torchrun line per node as comments."""
        parts, nodes, last = stages(plan), node_order(plan), plan.n_blocks - 2
        cuts = [f"{LAYER}{part.start}" if part.start < last else NORM for part in parts[1:]]
        lines = [nodes_line(nodes)]
        lines += stage_lines(parts)
        lines += [
            on_node(
                node,
                f"torchrun --nnodes {len(nodes)} --nproc-per-node {len(target.members(node))} --node-rank {rank} "
                f"--rdzv-backend c10d --rdzv-endpoint {shell_word(target.host(nodes[0]))}:29500 "
                f'-m placement.run.worker plan.json --model {shell_word(target.model)} --prompt "..." --tokens 64',
            )
            for rank, node in enumerate(nodes)
        ]
        lines += ["from torch.distributed.pipelining import SplitPoint", "", "split_spec = {"]
        lines += [f'    "{cut}": SplitPoint.BEGINNING,' for cut in cuts]
        lines.append("}")
        return Exported(
            "\n".join(lines) + "\n",
            nodes,
            (
                "module names are those of Llama-like models in transformers",
                "the schedules of torch.distributed.pipelining are for training and forward passes, not for generation "
                "with a cache",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """A `split_spec`: cuts before (BEGINNING) or after (END) a layer, or before the final norm."""
        last = source.n_layers
        cuts = sorted(_cut(name, layer, point == "END", last) for name, layer, point in _CUT.findall(source.text))
        nodes = round_nodes(source, len(cuts) + 1)
        return from_bounds([0, *cuts, last + 2], nodes)


def _cut(name: str, layer: str, after: bool, n_layers: int) -> int:
    """The block before which a split point lies."""
    if layer:
        return int(layer) + 1 + after
    if after:
        raise InputError(f"SplitPoint.END of {name} lies inside the head, which is one block here")
    return n_layers + 1
