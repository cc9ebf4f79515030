"""A swarm file as a question: beside the swarm, the shape of its chains, the objective, limits and the precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from objectives.routes.terms import ROUTES

from ..errors import InputError
from ..question.objective import objective_of
from ..question.routes import PRECISION, RoutesQuestion
from . import units
from .schema.fields import Duration, Entry, Fraction, NonNegative, TokenRate, Weight, input_error
from .swarm import swarm_of


def _objective(value: object) -> object:
    """Check that an objective is a name, several names, or weights by name; which names there are is checked later."""
    if isinstance(value, dict):
        for name, weight in value.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
                raise ValueError(f"expected a weight above 0 for {units.shown(name)}, got {units.shown(weight)}")
    elif not isinstance(value, str | list):
        raise ValueError(f"expected a name, a list of names, or weights by name, got {units.shown(value)}")
    if not value:
        raise ValueError("expected at least one objective, got none")
    return value


class RouteLimits(Entry):
    """Largest values, and for throughput and reliability the smallest."""

    latency: Duration | None = Field(default=None, description="seconds per token")
    time_per_token: Duration | None = Field(default=None, description="another name for latency")
    throughput: TokenRate | None = Field(default=None, description="least tokens/s of the slowest server")
    price: Weight | None = Field(default=None, description="$ per token")
    reliability: Fraction | None = Field(default=None, description="least probability that every server stays")
    survival: Fraction | None = Field(default=None, description="another name for reliability")


class RouteKeys(Entry):
    """The keys of a swarm file that say what is asked of the swarm."""

    shape: Literal["star", "chain"] = Field(
        default="star", description="star: servers answer the client; chain: they hand over to each other"
    )
    precision: NonNegative = Field(
        default=PRECISION, description="of fronts of three objectives: leave out what gains less than this part"
    )
    objective: Annotated[Any, BeforeValidator(_objective)] = Field(
        default=("latency", "throughput"),
        description=f"a name, several (a front), or weights: {', '.join(ROUTES.names)}",
    )
    limits: RouteLimits = RouteLimits()


QUESTION_KEYS = tuple(RouteKeys.model_fields)


def routes_of(data: Mapping[str, Any], where: str) -> RoutesQuestion:
    """Build a question from what a swarm file holds.

    Parameters
    ----------
    data : mapping
    where : str
        The file, for errors.

    Raises
    ------
    InputError
        A key is missing, unknown or out of range; one line with the file, the key and the value.
    InfeasibleError
        A block is held by nobody.
    """
    try:
        keys = RouteKeys.model_validate({key: data[key] for key in QUESTION_KEYS if key in data})
    except ValidationError as error:
        raise input_error(error, where) from None
    swarm = swarm_of(data, where)
    limits = {name: value for name, value in keys.limits.model_dump().items() if value is not None}
    try:
        if len({ROUTES.limits[name] for name in limits}) < len(limits):
            raise InputError(f"a limit is given twice, under two names: {', '.join(limits)}", "limits")
        return RoutesQuestion(swarm, keys.shape, keys.precision, objective_of(keys.objective, ROUTES, limits))
    except InputError as error:
        raise error.under(where) from None
