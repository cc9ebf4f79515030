"""What a request's runtime asks of its plan."""

from __future__ import annotations

from dataclasses import replace

from ..catalog.runtimes import runtime_aliases
from ..errors import InputError, nearest, shown
from ..export import runtime_names
from ..export.checks import under
from ..question.request import Request
from .rules import exporter_of
from .space.hosts import degrees_of


def ensure_known_runtime(request: Request, where: str) -> Request:
    """Return the request; raise `InputError` with the nearest name when its runtime is known neither here nor there.

    A runtime is known by who writes plans for it, or by its costs.
    """
    name = request.runtime
    if not name or name in (known := (*dict.fromkeys((*runtime_names(), *runtime_aliases())),)):
        return request
    text = f"unknown runtime {shown(name)}{nearest(name, known)} (known: {', '.join(known)})"
    raise InputError(text, "runtime").under(where)


def ensure_degrees(request: Request, where: str) -> Request:
    """Return the request; raise `InputError` for a node whose devices cannot divide the model equally.

    Runtimes with unequal shares can divide anything, and nobody doubts a node that somebody has measured.
    """
    model, name = request.model, request.runtime
    exporter = exporter_of(name)
    if not model.heads or (exporter is not None and exporter.holds.shares):
        return request
    for node in request.cluster.nodes:
        many = node.tensor_parallel
        if many > 1 and not (node.decode_s_per_block or node.decode_table) and many not in degrees_of(model, many):
            heads = f"{model.heads} attention heads" + (f" and {model.kv_heads} KV heads" if model.kv_heads else "")
            told = f"expected devices that can divide the {heads} of {model.name}, got {many}"
            raise InputError(told, f"nodes[{node.name}].tensor_parallel").under(where)
    return request


def under_runtime(request: Request) -> tuple[Request, ...]:
    """The questions that stand for a request: itself, or those whose answers its runtime can hold."""
    if not request.runtime:
        return (request,)
    exporter = exporter_of(request.runtime)
    if exporter is None:  # only its costs are known: it holds any plan
        return (replace(request, runtime="", costs=request.runtime),)
    return under(request, exporter)
