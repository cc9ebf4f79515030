"""A swarm file as a question: the swarm, the shape of its chains, the objective, limits and the precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.routes.terms import ROUTES

from ..errors import InputError
from ..files.entries import parse
from ..question.objective import objective_of
from ..question.routes import RoutesQuestion
from .schema.swarm import SwarmFile
from .swarm import swarm_of


def routes_of(data: Mapping[str, Any], where: str) -> RoutesQuestion:
    """Build a question from what a swarm file holds.

    Parameters
    ----------
    data : mapping
        Times in milliseconds, as in the file.
    where : str
        The file, for errors.

    Raises
    ------
    InputError
        A key is missing, unknown or out of range; one line with the file, the key and the value.
    InfeasibleError
        A block is held by nobody.
    """
    file = parse(SwarmFile, data, where)
    swarm = swarm_of(file, where)
    limits = {name: value for name, value in file.limits.model_dump().items() if value is not None}
    try:
        if len({ROUTES.limits[name] for name in limits}) < len(limits):
            raise InputError(f"a limit is given twice, under two names: {', '.join(limits)}", "limits")
        return RoutesQuestion(swarm, file.shape, file.precision, objective_of(file.objective, ROUTES, limits))
    except InputError as error:
        raise error.under(where) from None
