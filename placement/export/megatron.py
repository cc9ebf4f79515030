"""Megatron-LM: ``--pipeline-model-parallel-layout "Et*20|t*12,L"`` (experimental).

E embedding, t decoder layer, m multi-token prediction, L loss (final norm and head); stages are split by ``|``, commas
are cosmetic, ``x*n`` and ``(x)*n`` repeat, empty stages are legal. Stage i is virtual stage i // P of rank i % P (user
guide "Custom Pipeline Model Parallel Layout").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError, shown
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Stage, Target, node_order, nodes_line, placed, stage_lines, stages
from .checks import Checked
from .cyclic import from_bounds, round_nodes
from .flags import Flags
from .partition import count_of, grouped_nodes
from .quoting import shell_word

FLAG = "--pipeline-model-parallel-layout"
STAGES, GROUP, LAYERS = ("--pipeline-model-parallel-size",), ("--tensor-model-parallel-size",), ("--num-layers",)
ENDS = ("--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers")
LONGEST, DEEPEST = 100_000, 20  # letters of a layout, groups in each other
_BLANKS = re.compile(r"[,\s]")
_ITEM = re.compile(r"\(|(?:([EtmL|])|(\)))(?:\*(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Megatron(Checked):
    """Flags of Megatron-LM's training scripts."""

    name: str = "megatron"
    holds: Holds = Holds(runs="cyclic", embed="free", head="free", alike="tensor_parallel", groups="stages", cpu="no")

    def write(self, plan: Plan, target: Target) -> Exported:
        """The two flags, to add to a job that torchrun starts on the nodes in this order."""
        parts, nodes = stages(plan), node_order(plan)
        lines = [nodes_line(nodes)]
        lines += stage_lines(parts)
        lines.append(
            f"torchrun --nnodes {len(nodes)} --nproc-per-node {target.tensor_parallel} --node-rank $RANK "
            f"--master-addr {shell_word(target.host(nodes[0]))} pretrain_gpt.py "
            f"--tensor-model-parallel-size {target.tensor_parallel} --pipeline-model-parallel-size {len(nodes)} "
            f'{FLAG} "{"|".join(letters(part) for part in parts)}"'
        )
        return Exported(
            "\n".join(lines) + "\n",
            nodes,
            (
                "the layout is an experimental feature of Megatron",
                "Megatron trains: figures of the plan are for inference",
            ),
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """The layout, with or without the flag; multi-token prediction layers are no blocks of a plan."""
        if FLAG not in source.text and (counts := _counts(source)):
            flags = Flags.of(source.text)
            nodes = grouped_nodes(source, len(counts), count_of(flags, GROUP), GROUP[0])
            return placed(list(zip(nodes, counts, strict=True)), source.n_layers)
        found = re.search(re.escape(FLAG) + r"[=\s]+[\"']?([EtmL|,()*\d]+)", source.text)
        layout = spelled(found[1] if found else source.text.strip().strip("\"'"))
        letters_only = layout.replace("|", "").replace("m", "")
        if letters_only != f"E{'t' * source.n_layers}L":
            raise InputError(f"expected a layout with E, {source.n_layers} times t, and L in this order")
        bounds = [0]
        for part in layout.split("|"):
            bounds.append(bounds[-1] + len(part.replace("m", "")))
        return from_bounds(bounds, round_nodes(source, len(bounds) - 1))


def _counts(source: Source) -> list[int]:
    """Layers of every stage of a command line without a layout; empty where it says nothing of stages.

    The first and the last stage as stated, the rest divided equally among the others
    (megatron/core/transformer/transformer_block.py, `get_num_layers_to_build`).
    """
    flags = Flags.of(source.text)
    stages = count_of(flags, STAGES)
    if stages is None:
        return []
    total = count_of(flags, LAYERS) or source.n_layers
    ends = [count_of(flags, (name,)) for name in ENDS]
    if total != source.n_layers:
        raise InputError(f"{LAYERS[0]} is {total}, the model has {source.n_layers} layers")
    if flags.has("--num-layers-per-virtual-pipeline-stage", "--num-virtual-stages-per-pipeline-rank"):
        raise InputError("virtual stages without a layout are not read: give " + FLAG)
    middle, rest = stages - sum(end is not None for end in ends), total - sum(end or 0 for end in ends)
    if rest < 0 or middle < 0 or (rest % middle if middle else rest):
        raise InputError(f"{rest} layers cannot be divided equally among {middle} stages")
    each = rest // middle if middle else 0
    first, last = (each if end is None else end for end in ends)
    return [first, *[each] * (stages - 2), last] if stages > 1 else [total]


def letters(stage: Stage) -> str:
    """A stage in letters: `Et*20`, `t*12,L`."""
    layers = f"t*{stage.count}" if stage.count > 1 else "t" * stage.count
    return "E" * stage.embed + layers + (",L" if stage.head and stage.count else "L" * stage.head)


def spelled(layout: str) -> str:
    """A layout without commas and repetitions."""
    text, at, open_groups = _BLANKS.sub("", layout), 0, [""]
    while at < len(text):
        found = _ITEM.match(text, at)
        if not found or len(open_groups) > DEEPEST or (found[2] and len(open_groups) == 1):
            raise InputError(f"expected a layout such as Et*20|t*12,L, got {shown(layout)}")
        at = found.end()
        if found[0] == "(":
            open_groups.append("")
            continue
        body = open_groups.pop() if found[2] else found[1]
        times = int(found[3] or 1)
        if len(open_groups[-1]) + len(body) * times > LONGEST:
            raise InputError(f"expected a layout of at most {LONGEST} letters, got {shown(layout)}")
        open_groups[-1] += body * times
    if not text or len(open_groups) > 1:
        raise InputError(f"expected a layout such as Et*20|t*12,L, got {shown(layout)}")
    return open_groups[0]
