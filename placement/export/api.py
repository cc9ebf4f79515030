"""Plans in the words of runtimes: what the command line and Python callers use."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InputError, nearest
from ..plan.plan import Plan
from ..question.request import Request
from . import make_runtime
from .base import Exported, Runtime, Target
from .checks import cluster_refusals
from .copies import Copier, are_alike, copies_of, together, weights_of
from .quoting import ensure_address, ensure_word


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
    found = []
    for copy in _copies(plan, chosen):
        found += chosen.check(copy)
        if request is not None and chosen.holds.layers:
            found += cluster_refusals(chosen, copy, request)
    return list(dict.fromkeys(found))


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
    chosen, loaded = make_runtime(runtime), ensure_word(model or plan.model, "--model")
    styles: tuple[str, ...] = getattr(chosen, "styles", ())
    if style and style not in styles:
        raise InputError(f"{runtime} has no style '{style}' (known: {', '.join(styles) or 'none'})", "--style")
    groups = {group.name: group for group in plan.groups}
    copies = _copies(plan, chosen)
    targets = [Target(loaded, at, _tensor_parallel(copy, request), style, groups) for copy in copies]
    if len(copies) == 1:
        return chosen.write(plan, targets[0])
    if isinstance(chosen, Copier) and are_alike(copies):
        written = chosen.write_copies(copies, targets[0])
        if written is not None:
            return written
    texts = [chosen.write(copy, target) for copy, target in zip(copies, targets, strict=True)]
    return together(texts, copies, weights_of(plan))


def _copies(plan: Plan, runtime: Runtime) -> tuple[Plan, ...]:
    """The pipelines of a plan; a runtime that holds replicas takes it as it is."""
    return (plan,) if runtime.holds.replicas else copies_of(plan)


def checked_at(at: Mapping[str, str], plan: Plan) -> Mapping[str, str]:
    """Addresses of nodes that the plan knows; one device may stand for one node only."""
    known = {span.node for span in plan.placement} | {node.name for node in plan.nodes}
    known |= {device for group in plan.groups for device in group.devices}
    for node, where in at.items():
        if node not in known:
            raise InputError(f"the plan has no node '{node}'{nearest(node, known)}", "--at")
        ensure_address(where, "--at")
        if sum(other == where for other in at.values()) > 1:
            raise InputError(f"'{where}' is given to several nodes", "--at")
    return at


def _tensor_parallel(plan: Plan, request: Request | None) -> int:
    used = {span.node for span in plan.placement}
    nodes = request.cluster.nodes if request is not None else ()
    formed = [len(group.devices) for group in plan.groups]
    return max((*formed, *(node.tensor_parallel for node in nodes if node.name in used)), default=1)
