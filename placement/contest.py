"""One question, or several of which the best answer counts: who is searched, for how long, and what the answers say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from objectives.clock import clock
from objectives.combine import Objective

from .errors import InfeasibleError, InputError, NotFoundError
from .kinds.base import FoundBy, Reasons, Task
from .kinds.looks import Looks
from .plan.best import best_plan, cost_of, undominated
from .plan.plan import FrontPoint, Plan
from .plan.values import ensure_finite, term_values
from .registry import is_yardstick
from .search.loop import run_asked
from .search.problem import IntArray
from .search.state import TracePoint
from .search.stop import StoppedBy, ensure_seconds, never

if TYPE_CHECKING:
    from .search.solver import Solver
    from .search.stop import Progress, Stop

MOST_PROMISING = 2  # questions that get half of the time that is left
LEAST_SECONDS = 0.05
OVER_S = 2.0  # beyond the time of a search, in which further questions are still looked at
GLANCE_S = 0.4  # of a search that only asks whether there is a plan


@dataclass(frozen=True, slots=True)
class Result:
    """What `optimize` returns.

    Attributes
    ----------
    plan : Plan
        The best placement with its predicted figures.
    pareto : tuple of Plan
        With several objectives: plans that no other one found dominates, sorted by the first objective.
    trace : tuple of TracePoint
        Improvements over time.
    stopped_by : StoppedBy
    """

    plan: Plan
    pareto: tuple[Plan, ...]
    trace: tuple[TracePoint, ...]
    stopped_by: StoppedBy

    @property
    def bound(self) -> float | None:
        """Proven bound on the objective's value."""
        return self.plan.objective.bound

    @property
    def gap(self) -> float | None:
        """Relative gap between value and bound; 0 is optimal."""
        return self.plan.objective.gap


@dataclass(frozen=True, slots=True)
class Search:
    """How to search: the same for every kind.

    Attributes
    ----------
    solver : str or Solver
        A name of `placement.registry.SOLVERS`, of a plugin, or a solver itself.
    seconds : float
        Time limit.
    seed : int
    start : Plan or None
        The plan that runs now.
    stop, progress : callable or None
    simplest : bool
        Of plans that predictions cannot tell apart, answer with the simplest; False: with the best found.
    """

    solver: str | Solver = "auto"
    seconds: float = 10.0
    seed: int = 0
    start: Plan | None = None
    stop: Stop | None = None
    progress: Callable[[Progress], None] | None = None
    simplest: bool = True

    def __post_init__(self) -> None:
        ensure_seconds(self.seconds)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"expected a whole number of at least 0, got {self.seed!r}", "seed")

    @property
    def name(self) -> str:
        """The solver's name for people."""
        return self.solver if isinstance(self.solver, str) else type(self.solver).__name__


@dataclass
class Glances:
    """Moments of search that only ask whether there is a plan, as long as there is time for them.

    Attributes
    ----------
    search : Search
        The search that comes after them: each takes a tenth of its time at most.
    began : float
        By `clock.now`.
    found : bool
        One of them found a plan.
    unproven : bool
        One of them found none where there may be one.
    """

    search: Search
    began: float = field(default_factory=clock.now)
    found: bool = False
    unproven: bool = False

    def at(self, tasks: Sequence[Task], solver: Solver) -> Plan | None:
        """A plan of one of these problems after a moment; None where none was found.

        Raises
        ------
        NotFoundError
            The time is over, and no glance has found a plan.
        """
        if clock.now() > self.began + self.search.seconds + OVER_S:
            if not self.found:
                raise NotFoundError(["the time was over before a plan was found for any choice"])
            return None
        plan = self._glance(tasks, solver)
        self.found = self.found or plan is not None
        return plan

    def _glance(self, tasks: Sequence[Task], solver: Solver) -> Plan | None:
        """A plan after a moment of search at each problem, and four times as long at all; None where none is."""
        seconds = min(GLANCE_S, max(LEAST_SECONDS, self.search.seconds / 10))
        until, seed = clock.now() + 4 * seconds, self.search.seed
        for number, task in enumerate(tasks):
            if task.impossible():
                continue
            if number and clock.now() > until:
                self.unproven = True
                break
            outcome = run_asked(
                task.problem,
                solver,
                "auto",
                seed=seed,
                start=starts(task, Search(seed=seed)),
                seconds=seconds,
                stop=lambda progress: progress.violation == 0 and progress.seconds > seconds / 4,
            )
            if outcome.score.violation == 0:
                return task.plan(outcome, FoundBy("auto", seed))
            self.unproven = self.unproven or outcome.bound < np.inf
        return None


def compete(tasks: Sequence[Task], solver: Solver, search: Search) -> tuple[Result, list[tuple[Task, Plan]]]:
    """The best answer to several questions of one objective, by branch and bound; and the answers to each.

    Those whose constructive plans are best come first. A question whose bound is no better than the best plan so far
    is not searched: its bound is all that counts of it. The others share the time that is left, the first ones most.
    """
    if len(tasks) == 1:
        found = solved(tasks[0], solver, search)
        return found, [(tasks[0], found.plan)]
    began = clock.now()
    looks = Looks(search.seconds + OVER_S, search.progress)
    ordered = looks.most_promising(tasks)
    race = Race(ordered[0].problem.objective)
    if looks.interrupted:
        search = replace(search, stop=lambda _: StoppedBy.INTERRUPTED)
    race.leave_out(min(float(task.least) for task in tasks))
    race.pass_over(len(tasks) - len(ordered))
    for number, task in enumerate(ordered):
        left = search.seconds - (clock.now() - began)
        if race.dismisses(task, late=left <= 0):
            continue
        rest = len(ordered) - number
        part = max(left / rest, left / 2 if number < MOST_PROMISING else 0.0, LEAST_SECONDS)
        if race.run(task, solver, replace(search, seconds=part)) or looks.interrupted:
            race.pass_over(rest - 1)
            break
    best = race.result()
    if looks.interrupted:
        best = replace(best, plan=replace(best.plan, status="interrupted"), stopped_by=StoppedBy.INTERRUPTED)
    return best, [(task, result.plan) for task, result in zip(race.answered, race.found, strict=True)]


def hopeless(cost: float, stop: Stop) -> Stop:
    """Stop as `stop` does, and as soon as it is proven that nothing below `cost` will be found."""

    def stopped(progress: Progress) -> bool | StoppedBy:
        return stop(progress) or progress.bound >= cost

    return stopped


@dataclass
class Race:
    """Answers to several questions while they come in.

    Attributes
    ----------
    objective : Objective
        Of all of them.
    found : list of Result
    answered : list of Task
        The question of each.
    bounds : list of float or None
        One for each question that was searched or dismissed, as people read it.
    whole : bool
        The tasks stand for everything that was asked.
    failures : list
        Why some have no plan; those of the questions as they were asked first.
    """

    objective: Objective
    found: list[Result] = field(default_factory=list)
    answered: list[Task] = field(default_factory=list)
    bounds: list[float | None] = field(default_factory=list)
    whole: bool = True
    failures: list[tuple[bool, InfeasibleError | NotFoundError]] = field(default_factory=list)

    def leave_out(self, least: float) -> None:
        """Count the bound on what no task stands for; infinite where there is nothing of the kind."""
        if least < np.inf:
            self.whole = False
            self.bounds.append(self.objective.value(least) if least > 0 else None)

    def pass_over(self, count: int) -> None:
        """Count questions that nobody looked at: nothing is proven of them."""
        if count:
            self.whole = False
            self.bounds.append(None)

    def dismisses(self, task: Task, *, late: bool) -> bool:
        """Whether a question needs no search: its bound shows that it cannot win, or the time is over."""
        if not self.found or self.objective.pareto:
            return False
        best, least = self.best_cost(), -np.inf
        for bound in task.bounds():
            least = max(least, bound)
            if late or least >= best:  # where time is over, the first bound has to do
                break
        if least < best and not late:
            return False
        if least < np.inf:
            self.bounds.append(self.objective.value(least) if least > 0 else None)
        return True

    def best_cost(self) -> float:
        """The least cost so far, as searches minimise it."""
        best = min((result.plan for result in self.found), key=cost_of)
        name, value = self.objective.single, best.objective.value
        weight = self.objective.weights[name] if name else 1.0
        return weight * self.objective.terms.minimised(name, value) if name and self.objective.maximised else value

    def run(self, task: Task, solver: Solver, search: Search) -> bool:
        """Search one question; return whether the user wants to stop."""
        if self.found and not self.objective.pareto:
            search = replace(search, stop=hopeless(self.best_cost(), search.stop or never))
        try:
            self.found.append(solved(task, solver, search, explain=not task.wider))
        except InfeasibleError as error:
            self.failures.append((task.wider, error))
        except NotFoundError as error:
            self.failures.append((task.wider, error))
            self.bounds.append(None)
        except KeyboardInterrupt:
            if not self.found:
                raise
            return True
        else:
            self.answered.append(task)
            self.bounds.append(self.found[-1].bound)
            return self.found[-1].stopped_by is StoppedBy.INTERRUPTED
        return False

    def result(self) -> Result:
        """The best answer; an error where there is none."""
        if not self.found:
            self.refuse()
        usable = [result for result in self.found if result.plan.status != "infeasible"] or self.found
        best = min(usable, key=lambda result: cost_of(result.plan))
        plan = best_plan([best.plan, *(result.plan for result in self.found if result is not best)], self.bounds)
        if not self.objective.pareto:
            if best.stopped_by is StoppedBy.OPTIMAL and not plan.objective.proven_optimal:
                # That of its own question is: another one, or what no question stands for, may hold a better plan.
                late = any(result.stopped_by is StoppedBy.TIME for result in self.found)
                ended = StoppedBy.TIME if late else StoppedBy.EXHAUSTED
                best, plan = replace(best, stopped_by=ended), replace(plan, stopped_by=ended.name.lower())
            return replace(best, plan=plan)
        fronts = undominated([result.pareto for result in usable])
        front = sorted((plan for part in fronts for plan in part), key=cost_of)
        return replace(best, plan=replace(plan, pareto=tuple(part.pareto[0] for part in front)), pareto=tuple(front))

    def refuse(self) -> NoReturn:
        """Raise what the failures say; that nothing is possible is proven only where every part of it is."""
        asked = [error for wider, error in self.failures if not wider] or [error for _, error in self.failures]
        lines = tuple(dict.fromkeys(line for error in asked for line in error.reasons))
        attempts = [error for _, error in self.failures if isinstance(error, NotFoundError)]
        if attempts or not self.whole:
            raise NotFoundError(lines, attempts[0].best if attempts else None)
        raise InfeasibleError(lines)


def solved(task: Task, solver: Solver, search: Search, *, explain: bool = True) -> Result:
    """Search for the best plan of one problem; `explain`: say why there is none, which may take a while."""
    if impossible := task.impossible():
        raise InfeasibleError(impossible)
    one_split = is_yardstick(search.solver)
    outcome = run_asked(
        task.problem,
        solver,
        search.name,
        seed=search.seed,
        start=starts(task, search),
        seconds=search.seconds,
        stop=search.stop,
        show=search.progress,
    )
    found = FoundBy(search.name, search.seed)
    plan = task.plan(outcome, found)
    if plan.status == "infeasible" and outcome.stopped_by is not StoppedBy.INTERRUPTED:
        unknown = Reasons(("no plan was found",), proven=outcome.bound == np.inf)
        why = task.reasons(outcome, one_split=one_split) if explain else unknown
        raise InfeasibleError(why.lines) if why.proven else NotFoundError(why.lines, plan)
    ensure_finite(plan)
    front = task.front(outcome, found)
    points = tuple(point_of(point, task) for point in front)
    front = tuple(replace(part, pareto=(point,)) for part, point in zip(front, points, strict=True))
    return Result(replace(plan, pareto=points), front, outcome.trace, outcome.stopped_by)


def starts(task: Task, search: Search) -> IntArray:
    """Genomes to begin from: the running plan, then the constructive ones (yardsticks go without)."""
    problem = task.problem
    none = np.empty((0, problem.genome_size), dtype=np.int64)
    own = none if is_yardstick(search.solver) else task.starts(search.seconds)
    return own if search.start is None else np.concatenate([task.running_genomes(search.start), own])


def point_of(plan: Plan, task: Task) -> FrontPoint:
    """A plan of a front, without what all of its plans share."""
    objective = task.problem.objective
    values = term_values(plan, objective.terms)
    return FrontPoint({name: values[name] for name in objective.pareto}, plan.placement, plan.figures, plan.intervals)
