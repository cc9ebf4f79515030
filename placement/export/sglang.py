"""SGLang: layers per pipeline stage in the environment variable SGLANG_PP_LAYER_PARTITION, one command per node.

The rule is vLLM's: as many numbers as stages, their sum the number of layers (`sglang.srt.distributed.utils`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan.plan import PlacedSpan, Plan
from .base import (
    Exported,
    Holds,
    Source,
    Target,
    layers_text,
    length_flag,
    length_note,
    nodes_line,
    on_node,
    partition_text,
    stages,
)
from .checks import Checked
from .partition import Words, at_the_end, read_stages
from .quoting import shell_word

KEY = "SGLANG_PP_LAYER_PARTITION"
WORDS = Words(
    KEY,
    ("--pp", "--pp-size", "--pipeline-parallel-size"),
    ("--tp", "--tp-size", "--tensor-parallel-size"),
    ("--dp", "--dp-size", "--data-parallel-size"),
    at_the_end,
)


@dataclass(frozen=True, slots=True)
class Sglang(Checked):
    """`sglang.launch_server` with pipeline stages of unequal size."""

    name: str = "sglang"
    holds: Holds = Holds(alike="tensor_parallel", groups="stages", cpu="no")

    def write(self, plan: Plan, target: Target) -> Exported:
        """The environment, and the command of each node; the first one is the meeting point."""
        parts = stages(plan)
        nodes = tuple(part.node for part in parts)
        places = [where for node in nodes for where in target.devices(node)]
        local = len(places) == len(nodes) * target.tensor_parallel and all(map(str.isdigit, places))
        serve = (
            f"python -m sglang.launch_server --model-path {shell_word(target.model)} --pp-size {len(nodes)} "
            f"--tp-size {target.tensor_parallel}"
        )
        room, lines = length_flag("--context-length", plan), [nodes_line(nodes), partition_text(KEY, parts)]
        if local:
            lines += [on_node(part.node, layers_text(part)) for part in parts]
            lines += [f'export CUDA_VISIBLE_DEVICES="{",".join(places)}"', serve + room]
            return Exported("\n".join(lines) + "\n", nodes, length_note(plan))
        lines[-1] += "  # on every node"
        for rank, part in enumerate(parts):
            meet = f"--dist-init-addr {shell_word(target.host(nodes[0]))}:5000"
            words = f"--nnodes {len(nodes)} --node-rank {rank} {meet}"
            lines += [on_node(part.node, layers_text(part)), f"{serve} {words}{room}"]
        lost = ("the variable must be set on every node; it is read raw", *length_note(plan))
        return Exported("\n".join(lines) + "\n", nodes, lost)

    def write_copies(self, plans: Sequence[Plan], target: Target) -> Exported | None:
        """One command with data parallelism, where each copy is one node and all are devices of one host."""
        nodes = [stages(plan)[0].node for plan in plans]
        places = [where for node in nodes for where in target.devices(node)]
        single = all(len(stages(plan)) == 1 for plan in plans)
        if not single or len(places) != len(plans) * target.tensor_parallel or not all(map(str.isdigit, places)):
            return None
        members = [device for node in nodes for device in target.members(node)]
        lines = [
            nodes_line(members),
            f'export CUDA_VISIBLE_DEVICES="{",".join(places)}"',
            f"python -m sglang.launch_server --model-path {shell_word(target.model)} "
            f"--tp-size {target.tensor_parallel} --dp-size {len(plans)}" + length_flag("--context-length", plans[0]),
        ]
        return Exported("\n".join(lines) + "\n", tuple(nodes), length_note(plans[0]))

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """`SGLANG_PP_LAYER_PARTITION=13,51`, the numbers alone, or a command that leaves the list out."""
        return read_stages(source, WORDS, "13,51")
