"""DeepSpeed: a subclass of `PipelineModule` whose parts are the plan's (it has no option for a list; issue 2974).

Embedding and head are ordinary entries of `layers`. Every stage needs at least one entry, and the number of processes
must be a multiple of the stages (deepspeed/runtime/pipe/module.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target, merged, named_nodes, nodes_line, stage_lines, stages, whole
from .checks import Checked
from .cyclic import from_bounds
from .quoting import ensure_different_hosts, remark

_PARTS = re.compile(r"parts\s*=\s*\[([\d,\s]+)\]", re.ASCII)
_BARE = re.compile(r"\[?([\d,\s]+)\]?", re.ASCII)
CODE = """\
from deepspeed.pipe import PipelineModule

# layers = [embedding, *decoder layers, head]; run with: deepspeed --hostfile hostfile train.py


class PlacedModule(PipelineModule):
    def _partition_layers(self, method="uniform"):
        self.parts = {bounds}
        stage = self._topo.get_coord(self.global_rank).pipe
        self._set_bounds(start=self.parts[stage], stop=self.parts[stage + 1])


model = PlacedModule(layers=layers, num_stages={stages}, loss_fn=loss_fn)
"""


@dataclass(frozen=True, slots=True)
class Deepspeed(Checked):
    """Python for `deepspeed.pipe.PipelineModule`."""

    name: str = "deepspeed"
    holds: Holds = Holds(embed="free", head="free", cpu="no")

    def write(self, plan: Plan, target: Target) -> Exported:
        """The subclass, and its hostfile as comments."""
        parts = stages(plan)
        nodes = tuple(part.node for part in parts)
        bounds = [0, *(span.stop for span in merged(plan.placement))]
        lines = [nodes_line(nodes)]
        lines += stage_lines(parts)
        ensure_different_hosts(nodes, target.at)
        lines += [remark(f"hostfile: {target.host(node)} slots=1") for node in nodes]
        text = "\n".join(lines) + "\n" + CODE.format(bounds=bounds, stages=len(parts))
        return Exported(
            text,
            nodes,
            (
                "`_partition_layers` is a private method: a new release may call it otherwise",
                "weights tied between embedding and head need TiedLayerSpec",
                "DeepSpeed's pipeline trains: figures of the plan are for inference",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """`parts = [0, 20, 34]`: boundaries in entries of `layers`, embedding and head counted."""
        found = _PARTS.search(source.text) or _BARE.fullmatch(source.text.strip())
        if not found:
            raise InputError("expected self.parts = [0, 20, 34]")
        bounds = [whole(part, "block numbers") for part in found[1].replace(",", " ").split()]
        if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != source.n_layers + 2:
            raise InputError(f"expected parts from 0 to {source.n_layers + 2} (embedding, layers, head)")
        return from_bounds(bounds, named_nodes(source, len(bounds) - 1))
