"""What a kind of plan is: how its questions are read, searched, explained and answered. Everything else exists once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from objectives.combine import Objective, TermSet

from ..plan.compare import Neighbour
from ..plan.picture import Picture
from ..plan.plan import PlacedSpan, Plan
from ..question.goodput import GOODPUT, Goodput
from ..question.objective import ObjectiveSpec
from ..search.loop import Outcome
from ..search.problem import IntArray, Problem
from ..search.stop import StoppedBy

if TYPE_CHECKING:
    from rich.console import RenderableType

CustomObjective = Callable[[Any], float]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a question: the objective, and the plain function that stands for it, if any.

    Attributes
    ----------
    objective : Objective
        With its limits; labelled with the function's name where there is one.
    custom : callable or None
        A function of the kind's terms to minimise instead of the objective's weighted terms.
    goodput : Goodput or None
        What is served within limits at a rate, found by simulating answers to other objectives (`kinds/goodput.py`);
        beside the objective where it has a least value (`kinds/goodput_limit.py`).
    """

    objective: Objective
    custom: CustomObjective | None = None
    goodput: Goodput | None = None

    @property
    def name(self) -> str:
        """What is wanted, for people."""
        wanted = self.goodput
        return GOODPUT if wanted is not None and wanted.least_per_s is None else self.objective.name

    def by(self, custom: CustomObjective) -> Wish:
        """The same limits, with a plain function to minimise."""
        label = str(getattr(custom, "__name__", "custom"))
        return Wish(replace(self.objective, label=label, pareto=()), custom)


@dataclass(frozen=True, slots=True)
class FoundBy:
    """Who searched, from which seed; a solver's part that found the best is in the outcome."""

    solver: str = ""
    seed: int = 0

    def label(self, outcome: Outcome) -> str:
        """The solver and, of a portfolio, the part that found the plan."""
        return f"{self.solver} ({outcome.winner})" if outcome.winner not in ("", self.solver) else self.solver

    def told(self, plan: Plan, outcome: Outcome) -> Plan:
        """The plan with how it was found; its status is "interrupted" where Ctrl-C ended the search."""
        interrupted = outcome.stopped_by is StoppedBy.INTERRUPTED and plan.status == "solved"
        return replace(
            plan,
            status="interrupted" if interrupted else plan.status,
            solver=self.label(outcome),
            seed=self.seed,
            evaluations=outcome.evaluations,
            seconds=outcome.seconds,
            stopped_by=outcome.stopped_by.name.lower(),
        )


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why no plan was found.

    Attributes
    ----------
    lines : tuple of str
        Each says in bytes or seconds what is missing.
    proven : bool
        True: no plan exists. False: none was found in the time there was.
    """

    lines: tuple[str, ...]
    proven: bool


class Task(Protocol):
    """A question of one kind with a wish, ready to be searched. Inherit from it: what has a body is a default."""

    @property
    def problem(self) -> Problem:
        """What solvers see."""
        ...

    @property
    def wider(self) -> bool:
        """Whether it is a part of a wider space than the question asks for by itself."""
        return False

    @property
    def size(self) -> int:
        """How large the problem is beside others of its question, told without building it where that takes long."""
        return self.problem.genome_size

    @property
    def least(self) -> float:
        """A bound on the cost of those questions of the same space that are not searched; infinite for none."""
        return math.inf

    def starts(self, seconds: float) -> IntArray:
        """Genomes (n, G) to begin a search of so many seconds from: constructive ones, a small part of that time."""
        return self.problem.starts()

    def glances(self) -> IntArray:
        """Genomes (n, G) that show what the question promises before anybody searches it."""
        return self.problem.starts()

    def bounds(self) -> Iterator[float]:
        """Proven lower bounds on the cost, the first one at no effort, each at more effort than the one before."""
        yield -math.inf
        yield self.problem.lower_bound()

    def impossible(self) -> tuple[str, ...]:
        """What a glance proves impossible, in sentences; empty when nothing is."""
        ...

    def running_genomes(self, running: Plan) -> IntArray:
        """The running plan as genomes (n, G); raise `InputError` when it does not suit the question."""
        ...

    def reasons(self, outcome: Outcome, *, one_split: bool) -> Reasons:
        """Why the best placement found breaks a rule; `one_split`: a yardstick showed its only split."""
        ...

    def plan(self, outcome: Outcome, found: FoundBy) -> Plan:
        """The plan of an outcome; every figure comes from the reference code."""
        ...

    def front(self, outcome: Outcome, found: FoundBy) -> tuple[Plan, ...]:
        """A plan for each point of the Pareto front, sorted by the first objective."""
        ...


class Kind(Protocol):
    """One kind of plan; see `KINDS` for the list."""

    @property
    def name(self) -> str:
        """Name in plans and files."""
        ...

    @property
    def terms(self) -> TermSet:
        """Names, units, senses and limits of its objectives: the only list of them."""
        ...

    @property
    def can(self) -> frozenset[str]:
        """Commands that take it: "score", "tables", "export", "run", "replan", "report", "simulate"."""
        ...

    @property
    def options(self) -> frozenset[str]:
        """Options of `placement solve` that apply to it, beyond those that every kind has."""
        ...

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Any:
        """A question from what a file holds; `where` names the file in errors, relative paths begin at `folder`."""
        ...

    def wish(self, question: Any, spec: ObjectiveSpec | None, limits: Mapping[str, float] | None) -> Wish:
        """The objective: the one named, else the question's own, else the kind's default."""
        ...

    def tasks(self, question: Any, wish: Wish, running: Plan | None) -> tuple[Task, ...]:
        """The question as problems to be searched: one, or several of which the best answer counts."""
        ...

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The plan to answer with: the best of the tasks' plans, or one as good for all that is known, but simpler."""
        ...

    def neighbours(self, question: Any, wish: Wish, plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
        """Plans beside this one, each with what it is; only for kinds with the option ``--explain``."""
        ...

    def judge(self, question: Any, wish: Wish, placement: Sequence[PlacedSpan]) -> tuple[Plan, tuple[str, ...]]:
        """A layout that somebody has as a plan with its figures, and the rules that it breaks."""
        ...

    def view(self, plan: Plan, *, ascii_only: bool) -> RenderableType:
        """A plan for the terminal."""
        ...

    def picture(self, question: Any, plan: Plan) -> Picture | None:
        """What the plan's page draws beside it: places, links, seconds by stage; None where nothing is known."""
        ...
