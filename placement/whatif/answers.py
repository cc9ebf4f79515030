"""Changed questions, each answered in its share of the time, beside the plan of the question as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectives.clock import clock

from ..errors import InfeasibleError, InputError, NotFoundError
from ..kinds.asked import Asked, ask
from ..optimize import Search, answer
from ..plan.plan import Plan
from ..quantities import percent, quantity
from ..question.request import Request
from .change import Change

LEAST_S = 0.3
MOST_S = 5.0
OVER_S = 4.0  # beyond the time for all, in which changes still get the least
Show = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A change with its answer.

    Attributes
    ----------
    change : str
    plan : Plan or None
    why : str
        Why there is none: what is missing, or what is wrong with the change.
    gain : float or None
        By how much the objective is better, relative; negative: worse.
    extra_per_hour : float or None
        $/h that the plan costs more.
    per_dollar : float or None
        Gain in the objective's unit for each $/h more; None where nothing more is paid.
    """

    change: str
    plan: Plan | None
    why: str = ""
    gain: float | None = None
    extra_per_hour: float | None = None
    per_dollar: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, with the words of the table."""
        data: dict[str, Any] = {"change": self.change, "status": "solved" if self.plan is not None else "none"}
        if self.plan is not None:
            told = self.plan.to_dict()
            data |= {key: told[key] for key in ("objective", "figures", "placement")}
        return data | {
            "why": self.why,
            "gain": self.gain,
            "extra_per_hour": self.extra_per_hour,
            "per_dollar": self.per_dollar,
            "shown": self.shown,
            "gain_shown": self.gain_shown,
            "per_dollar_shown": self.per_dollar_shown,
        }

    @property
    def shown(self) -> str:
        """The value, or why there is none."""
        if self.plan is None:
            return self.why
        value = self.plan.objective
        return quantity(value.value, value.unit)

    @property
    def gain_shown(self) -> str:
        """The gain in words."""
        if self.gain is None:
            return ""
        if abs(self.gain) < 5e-4:
            return "the same"
        return f"{percent(abs(self.gain))} {'better' if self.gain > 0 else 'worse'}"

    @property
    def per_dollar_shown(self) -> str:
        """The gain for each $/h in words."""
        if self.per_dollar is None or self.plan is None:
            return ""
        unit = self.plan.objective.unit
        size = quantity(abs(self.per_dollar), unit)
        return f"{'+' if self.better_up else '-'}{size} per $/h"

    @property
    def better_up(self) -> bool:
        """Whether more of the objective is better."""
        return self.plan is not None and self.plan.objective.sense == "maximize"


def rooted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The document with the path of its model as seen from here."""
    model = data.get("model")
    if isinstance(model, str) and not Path(model).is_absolute() and os.path.exists(folder / model):
        return {**data, "model": str(folder / model)}
    return dict(data)


def asked_of(change: Change, base: Asked | None, objective: Any = None) -> Asked:
    """The changed question; the model of the first one is taken where it is the same."""
    model = None
    if change.same_model and base is not None and isinstance(base.question, Request) and not base.question.choices:
        model = base.question.model
    return ask(model, change.document, objective=objective)


def answered(
    base: Asked,
    plan: Plan,
    changes: Sequence[Change],
    *,
    seconds: float,
    seed: int = 0,
    objective: Any = None,
    show: Show | None = None,
    took: float = 0.0,
) -> list[Row]:
    """Answer every change from the plan in hand.

    Parameters
    ----------
    base : Asked
        The question as it is.
    plan : Plan
        Its answer, from which searches begin.
    changes : sequence of Change
    seconds : float
        For all of them together, reading included where it is short.
    seed : int
    objective : optional
        The objective's name, where the file's does not count.
    show : callable, optional
        Told how many are done, and of the next one.
    took : float
        Seconds that the question as it is took beside its search: where no time is left, one like it is not begun.

    Returns
    -------
    list of Row
        In the order of the changes.
    """
    began, rows = clock.now(), list[Row]()
    for number, change in enumerate(changes):
        if show is not None:
            show(number, change.what)
        left = seconds - (clock.now() - began)
        if left < -OVER_S or (left < LEAST_S and left - took < -OVER_S):
            rows.append(Row(change.what, None, "not asked: the time was over"))
            continue
        share, since = min(MOST_S, max(LEAST_S, left / (len(changes) - number))), clock.now()
        try:
            asked = asked_of(change, base, objective)
            found = answer(asked, Search("auto", share, seed, start_of(asked, plan))).plan
        except (InfeasibleError, NotFoundError) as error:
            proven = "no plan: " if isinstance(error, InfeasibleError) else "none found: "
            rows.append(Row(change.what, None, proven + (error.reasons[0] if error.reasons else "")))
        except InputError as error:
            rows.append(Row(change.what, None, f"cannot be asked: {error.detail}"))
        else:
            rows.append(row_of(change.what, plan, found))
        took = max(0.0, clock.now() - since - share)  # beside its search
    return rows


def start_of(asked: Asked, plan: Plan) -> Plan | None:
    """The plan in hand, where it suits the question."""
    question = asked.question
    if isinstance(question, Request):
        return plan if _suits_nodes(question, asked, plan) else None
    try:
        for task in asked.tasks(plan):
            task.running_genomes(plan)
    except InputError:
        return None
    return plan


def _suits_nodes(question: Request, asked: Asked, plan: Plan) -> bool:
    """Whether the nodes of the plan are there, its blocks are as many, and no part of a block lies apart."""
    if "served" in asked.wish.objective.terms.aliases:
        return False
    used, whole = {span.node for span in plan.placement}, not any(span.away for span in plan.placement)
    return used <= set(question.cluster.names) and plan.n_blocks == question.model.n_blocks and whole


def row_of(what: str, before: Plan, after: Plan) -> Row:
    """The difference between two answers."""
    one, other = before.objective.value, after.objective.value
    up = before.objective.sense == "maximize"
    gain = None
    if one > 0 and other > 0:
        gain = other / one - 1.0 if up else one / other - 1.0
    price = [plan.figures.get("price_per_hour") for plan in (before, after)]
    extra = price[1] - price[0] if price[0] is not None and price[1] is not None else None
    better = (other - one) if up else (one - other)
    per_dollar = better / extra if extra is not None and extra > 1e-9 and better > 0 else None
    return Row(what, after, gain=gain, extra_per_hour=extra, per_dollar=per_dollar)
