"""torchtitan: lists of module names per model part, `parallelism.module_fqns_per_model_part` (PRs 1041 and 1416).

Part i belongs to pipeline rank i modulo the degree in the schedules that loop (1F1B, Interleaved1F1B).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import chain

from ..errors import InputError
from ..files import load_json
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Stage, Target, node_order, nodes_line, stages, whole
from .checks import Checked
from .cyclic import from_bounds, round_nodes

KEY = "module_fqns_per_model_part"
_LISTS = re.compile(r"\[\s*\[")
_COMMA = re.compile(r",\s*\]")  # TOML lets a list end with one


@dataclass(frozen=True, slots=True)
class Torchtitan(Checked):
    """The `[parallelism]` table of a torchtitan job."""

    name: str = "torchtitan"
    holds: Holds = Holds(runs="cyclic", embed="free", head="free", cpu="no")

    def write(self, plan: Plan, target: Target) -> Exported:
        """TOML; the list is JSON too."""
        parts, nodes = stages(plan), node_order(plan)
        schedule = "1F1B" if len(parts) == len(nodes) else "Interleaved1F1B"
        listed = ",\n".join(f"    {json.dumps(modules(part))}" for part in parts)
        text = (
            f"{nodes_line(nodes)}\n[parallelism]\npipeline_parallel_degree = {len(nodes)}\n"
            f'pipeline_parallel_schedule = "{schedule}"\n{KEY} = [\n{listed},\n]\n'
        )
        return Exported(text, nodes, ("torchtitan trains: figures of the plan are for inference",))

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """The list of lists, with or without the TOML around it."""
        begin, end = _LISTS.search(source.text), source.text.rfind("]")
        data = load_json(_COMMA.sub("]", source.text[begin.start() : end + 1])) if begin else None
        if not isinstance(data, list) or not all(isinstance(part, list) for part in data):
            raise InputError(f'expected {KEY} = [["tok_embeddings", "layers.0"], ["layers.1", "norm", "output"]]')
        blocks = [[number for name in part if (number := _block(str(name), source.n_layers)) >= 0] for part in data]
        if list(chain.from_iterable(blocks)) != list(range(source.n_layers + 2)):
            raise InputError(
                f"expected tok_embeddings, layers.0 to layers.{source.n_layers - 1}, norm and output in order"
            )
        bounds = [0]
        for part in blocks:
            bounds.append(bounds[-1] + len(part))
        return from_bounds(bounds, round_nodes(source, len(blocks)))


def modules(stage: Stage) -> list[str]:
    """Names of a stage's modules."""
    layers = [f"layers.{layer}" for layer in range(stage.start, stage.stop)]
    return ["tok_embeddings"] * stage.embed + layers + ["norm", "output"] * stage.head


def _block(name: str, n_layers: int) -> int:
    """Block of a module; -1 for the final norm, which goes with the output."""
    if name == "norm":
        return -1
    if name in ("tok_embeddings", "output"):
        return 0 if name == "tok_embeddings" else n_layers + 1
    number = name.removeprefix("layers.")
    return whole(number, "a module such as layers.0") + 1
