"""Export, import and the nearest plan: what the command line and Python callers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import InputError, nearest
from ..plan.plan import Plan
from ..question.request import Request
from ..registry import make_runtime
from .base import EMBED, HEAD, Exported, Source, Target
from .checks import cluster_refusals


class RefusedError(InputError):
    """A runtime cannot hold a plan.

    Parameters
    ----------
    runtime : str
    reasons : list of str
    """

    def __init__(self, runtime: str, reasons: list[str]) -> None:
        self.runtime, self.reasons = runtime, tuple(reasons)
        super().__init__("; ".join(reasons))


def refusals(plan: Plan, runtime: str, request: Request | None = None) -> list[str]:
    """Reasons why a runtime cannot hold a plan; with a request, those that lie in its nodes and ties too."""
    chosen = make_runtime(runtime)
    found = chosen.check(plan)
    return found + cluster_refusals(chosen, plan, request) if request is not None and chosen.holds.layers else found


def export_plan(
    plan: Plan,
    runtime: str,
    *,
    model: str = "",
    at: Mapping[str, str] | None = None,
    request: Request | None = None,
    style: str = "",
) -> Exported:
    """Write a plan in a runtime's own words.

    Parameters
    ----------
    plan : Plan
    runtime : str
        A name of `placement.export.RUNTIMES`, or of a plugin.
    model : str
        What the runtime shall load; by default the plan's model name.
    at : mapping of str to str
        Node to its address or device: ``{"tower-0": "10.0.0.5:50052", "mac": "CPU"}``.
    request : Request, optional
        The question of the plan: its nodes and ties are then checked too.
    style : str
        Kind of text, where a runtime writes several; empty for its first one.

    Raises
    ------
    RefusedError
        The runtime cannot hold the plan; the reasons say why.
    """
    found = refusals(plan, runtime, request)
    if found:
        raise RefusedError(runtime, found)
    at = checked_at(at or {}, plan)
    chosen = make_runtime(runtime)
    styles: tuple[str, ...] = getattr(chosen, "styles", ())
    if style and style not in styles:
        raise InputError(f"{runtime} has no style '{style}' (known: {', '.join(styles) or 'none'})", "--style")
    return chosen.write(plan, Target(model or plan.model, at, _tensor_parallel(plan, request), style))


def checked_at(at: Mapping[str, str], plan: Plan) -> Mapping[str, str]:
    """Addresses of nodes that the plan knows; one device may stand for one node only."""
    known = {span.node for span in plan.placement} | {node.name for node in plan.nodes}
    for node, where in at.items():
        if node not in known:
            raise InputError(f"the plan has no node '{node}'{nearest(node, known)}", "--at")
        if sum(other == where for other in at.values()) > 1:
            raise InputError(f"'{where}' is given to several nodes", "--at")
    return at


def _tensor_parallel(plan: Plan, request: Request | None) -> int:
    used = {span.node for span in plan.placement}
    nodes = request.cluster.nodes if request is not None else ()
    return max((node.tensor_parallel for node in nodes if node.name in used), default=1)


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
    """
    from ..kinds.pipeline.score import judge

    for node in (*nodes, *(at or {})):
        request.cluster.index(node)
    model = request.model
    if model.n_blocks < 3 or (model.blocks[0].name, model.blocks[-1].name) != (EMBED, HEAD):
        raise InputError("splits are read for models of the blocks embed, decoder layers, head", "model")
    source = Source(text, model.n_blocks - 2, tuple(nodes), at or {}, request.cluster.names)
    return judge(request, make_runtime(runtime).read(source))


def nearest_plan(plan: Plan, runtime: str, request: Request, *, time_limit: float = 10.0, seed: int = 0) -> Plan:
    """The best plan that a runtime can hold."""
    from ..optimize import optimize

    if plan.n_blocks != request.model.n_blocks:
        model = request.model
        raise InputError(f"the plan is for {plan.n_blocks} blocks, the model {model.name} has {model.n_blocks}")
    # The plan is no start: one that is refused for its shape need not be a genome under the rules of the runtime.
    return optimize(None, replace(request, runtime=runtime), time_limit=time_limit, seed=seed).plan
