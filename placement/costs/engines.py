"""What serving engines reach: efficiencies for a simulation of passes, where a cluster file states none of its own.

The classes of the catalog stand for any software, and the figures of runtimes for single streams and hops. An engine
that captures graphs, fuses attention and serves many sequences reads memory at close to its peak;
`placement/catalog/serving.yaml` has what was fitted to measured runs. Plans for other runtimes keep their costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..catalog import hardware
from ..catalog.hardware import lineage
from ..catalog.tables import load
from ..errors import InputError
from ..question.cluster import Cluster, Node
from ..question.request import Request
from .runtimes import GENERIC, RuntimeCosts, costs_or_generic, runtime_costs

FILE = "serving.yaml"
ENGINES = frozenset({GENERIC, "vllm", "sglang"})  # runtimes whose passes cost what the file says

NO_ENGINES = frozenset({"cpu", "edge"})  # classes of devices that no such engine serves
PASS_TOKENS = 2048  # of a pass, as vLLM does by default (`max_num_batched_tokens`)


@dataclass(frozen=True, slots=True)
class HostCosts:
    """Seconds of the engine's host that the accelerator waits for, and what a user waits for beside the engine.

    Attributes
    ----------
    pass_s : float
        Per pass: scheduling, inputs, sampling, outputs.
    sequence_s : float
        Per sequence in a pass.
    prompt_token_s : float
        Per prompt token in a pass.
    request_s : float
        Per request before it can be scheduled: HTTP, tokens of its text.
    """

    pass_s: float = 0.0012
    sequence_s: float = 5e-6
    prompt_token_s: float = 0.0
    request_s: float = 0.006

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0.0 <= getattr(self, name) < 1e6:
                raise InputError(f"expected seconds of at least 0, got {getattr(self, name)!r}", name)


def host_costs(*, engine: bool) -> HostCosts:
    """The host's part: of an engine, or none where the runtime's costs have it in their passes."""
    return HostCosts() if engine else HostCosts(0.0, 0.0, 0.0, 0.0)


def serving_costs(request: Request) -> tuple[Request, RuntimeCosts, bool]:
    """The question as a simulation of passes reads it, with its costs.

    Parameters
    ----------
    request : Request

    Returns
    -------
    request : Request
        With the efficiencies of engines, where one serves.
    costs : RuntimeCosts
        Of links and memory, and of passes of other runtimes.
    engine : bool
        Whether an engine serves; else the runtime that the request names.
    """
    served, costs, engine = serving_nodes(request, request.cluster.nodes)
    return replace(request, cluster=replace(request.cluster, nodes=served)) if engine else request, costs, engine


def serving_nodes(request: Request, nodes: Sequence[Node]) -> tuple[tuple[Node, ...], RuntimeCosts, bool]:
    """Some nodes of a question as a simulation of passes reads them; costs and engine as for `serving_costs`."""
    costs = costs_or_generic(request.runtime or request.costs)
    if costs.name not in ENGINES:
        return tuple(nodes), costs, False
    return _served(nodes), runtime_costs(""), True


def engine_notes(before: Cluster, after: Cluster) -> tuple[str, ...]:
    """What was taken from the catalog of engines, for people."""
    changed = [new for old, new in zip(before.nodes, after.nodes, strict=True) if new != old]
    found = {
        node.device: f"{node.device} compute {node.compute_efficiency:g}, bandwidth {node.bandwidth_efficiency:g}"
        for node in changed
    }
    return (f"efficiencies of serving engines: {'; '.join(found.values())}",) if found else ()


def serving_cluster(cluster: Cluster) -> Cluster:
    """The same cluster with the efficiencies of serving engines on accelerators whose file states none."""
    return replace(cluster, nodes=_served(cluster.nodes))


def _served(nodes: Sequence[Node]) -> tuple[Node, ...]:
    figures = load(FILE)
    return tuple(_serving_node(node, figures) for node in nodes)


def _serving_node(node: Node, figures: Mapping[str, Any]) -> Node:
    if not node.device:
        return node
    device = hardware.device(node.device)
    if not NO_ENGINES.isdisjoint(lineage(device.kind)):
        return node
    found = {**figures["any"], **figures["devices"].get(device.name, {})}
    compute, bandwidth, overhead_s = node.compute_efficiency, node.bandwidth_efficiency, node.overhead_s
    return replace(
        node,
        compute_efficiency=float(found["compute"]) if compute == device.compute_efficiency else compute,
        bandwidth_efficiency=float(found["bandwidth"]) if bandwidth == device.bandwidth_efficiency else bandwidth,
        overhead_s=float(figures["overhead_us"]) * 1e-6 if overhead_s == device.overhead_s else overhead_s,
    )
