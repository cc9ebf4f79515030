"""What a request's runtime asks of its plan."""

from __future__ import annotations

from ..errors import InputError
from ..export import make_runtime
from ..export.checks import under
from ..question.request import Request


def ensure_known_runtime(request: Request, where: str) -> Request:
    """Return the request; raise `InputError` with the nearest name when nobody writes plans for its runtime."""
    if request.runtime:
        try:
            make_runtime(request.runtime)
        except InputError as error:
            raise error.under("runtime").under(where) from None
    return request


def under_runtime(request: Request) -> tuple[Request, ...]:
    """The questions that stand for a request: itself, or those whose answers its runtime can hold."""
    return under(request, make_runtime(request.runtime)) if request.runtime else (request,)
