"""What a user names as objective and limits, as an `Objective` over the terms of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from objectives.combine import Objective, TermSet

from ..errors import InputError, nearest

ObjectiveSpec = str | Sequence[str] | Mapping[str, float] | Objective


def objective_of(spec: ObjectiveSpec, terms: TermSet, *limits: Mapping[str, float] | None) -> Objective:
    """Build an objective; unknown names are errors that offer the nearest one.

    Parameters
    ----------
    spec : str, sequence of str, mapping of str to float, or Objective
        A name, several names (also comma-separated) for a Pareto front, or weights by name.
    terms : TermSet
        The terms of the kind that is asked for.
    *limits : mapping of str to float, optional
        Largest value (least, where more is better) by name, in the unit that people read; later ones win.

    Raises
    ------
    InputError
        A name is unknown or named twice, or a value is no positive number.
    """
    words = [part.strip() for part in spec.split(",")] if isinstance(spec, str) else spec
    if isinstance(words, Objective):
        terms = words.terms
    else:
        known = (*terms.names, *terms.aliases)
        for name in words:
            if name not in known:
                raise InputError(
                    f"unknown objective '{name}'{nearest(str(name), known)} (known: {', '.join(known)})", "objective"
                )
        if len({terms.aliases.get(name, name) for name in words}) < len(words):
            raise InputError("an objective is named twice", "objective")
    bounds: dict[str, float] = {}
    for part in limits:
        for name, value in (part or {}).items():
            if name not in terms.limits:
                known_limits = ", ".join(terms.limits) or "none"
                raise InputError(
                    f"unknown limit '{name}'{nearest(str(name), terms.limits)} (known: {known_limits})", "limits"
                )
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"expected a number, got {value!r}", f"limits.{name}")
            bounds[terms.limits[name]] = float(value)
    try:
        return Objective.of(words, bounds, terms)
    except ValueError as error:
        raise InputError(str(error), "objective") from None
