"""A split that a runtime has, as a plan that can be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from placement.costs.parts import can_leave
from placement.errors import InputError
from placement.export import make_runtime
from placement.export.base import EMBED, HEAD, Source
from placement.export.checks import as_run_by
from placement.plan.plan import Plan
from placement.question.request import CACHE, Request

from ..base import Wish
from .kind import PIPELINE


def import_split(
    text: str,
    runtime: str,
    request: Request,
    *,
    nodes: Sequence[str] = (),
    at: Mapping[str, str] | None = None,
) -> tuple[Plan, tuple[str, ...]]:
    """Read a split that somebody has into a plan, and judge it.

    Parameters
    ----------
    text : str
        A device_map, ``-ts 3,1``, ``VLLM_PP_LAYER_PARTITION=20,12``, or what `export_plan` wrote.
    runtime : str
    request : Request
        Model and cluster that the split is for.
    nodes : sequence of str
        Nodes in the order in which the text counts them; empty: those that the text names, else all of the cluster.
    at : mapping of str to str
        Node to the device or address that stands for it in the text.

    Returns
    -------
    plan : Plan
        With the figures that are predicted for it.
    broken : tuple of str
        Rules of the question that it breaks, such as bytes that are missing.

    Raises
    ------
    InputError
        The split is none that the runtime writes, or does not suit the model and the nodes.
    """
    for node in (*nodes, *(at or {})):
        request.cluster.index(node)
    model = request.model
    if model.n_blocks < 3 or (model.blocks[0].name, model.blocks[-1].name) != (EMBED, HEAD):
        raise InputError("splits are read for models of the blocks embed, decoder layers, head", "model")
    machines = request.cluster.nodes
    source = Source(
        text,
        model.n_blocks - 2,
        tuple(nodes),
        at or {},
        request.cluster.names,
        tuple({part.name: part.weight_bytes for part in block.parts} for block in model.blocks[1:-1]),
        {node.name: node.memory_bytes - node.reserve_bytes for node in machines},
        tuple(node.name for node in machines if node.main_memory),
        {node.name: node.tensor_parallel for node in machines},
        frozenset(layer for layer, block in enumerate(model.blocks[1:-1]) if can_leave(block, CACHE)),
    )
    chosen, cpus = make_runtime(runtime), {node for node, where in (at or {}).items() if where.lower() == "cpu"}
    return PIPELINE.judge(as_run_by(chosen, request, cpus), Wish(request.objective), chosen.read(source))
