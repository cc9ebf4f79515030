"""Experiments: what is run, how it is run, and the record that is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..instances import Instance
from ..rivals import RIVALS


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run.

    Attributes
    ----------
    instance, path : str
        Name and file.
    solver : str
        A name of `placement.solvers.SOLVERS`, of a plugin, or of `benchmarks.rivals.RIVALS`.
    seconds : float
        Budget: seconds of search.
    seed : int
    """

    instance: str
    path: str
    solver: str
    seconds: float
    seed: int

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What tells two runs apart."""
        return (self.instance, self.solver, self.seconds, self.seed)


@dataclass(frozen=True, slots=True)
class Record:
    """What a run left behind; one line of the CSV file.

    Attributes
    ----------
    status : str
        "ok", "infeasible" (nothing feasible was found), "refused" (the solver does not apply) or "failed".
    cost : float
        Of the best placement, minimised; infinite when none is feasible.
    bound : float
        Proven lower bound; minus infinity when there is none.
    evaluations : int
    elapsed : float
        Seconds that the run took.
    stopped_by : str
    trace : str
        JSON list of improvements [seconds, evaluations, cost, bound], feasible ones only.
    note : str
    """

    instance: str
    solver: str
    seconds: float
    seed: int
    status: str
    cost: float
    bound: float
    evaluations: int
    elapsed: float
    stopped_by: str
    trace: str
    note: str = ""

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What tells two runs apart."""
        return (self.instance, self.solver, self.seconds, self.seed)

    def points(self) -> list[tuple[float, float, float, float]]:
        """Improvements: seconds, evaluations, cost, bound."""
        return [(float(a), float(b), float(c), float(d)) for a, b, c, d in json.loads(self.trace)]

    def row(self) -> dict[str, Any]:
        """For the CSV file."""
        return asdict(self)

    @classmethod
    def of(cls, row: dict[str, str]) -> Record:
        """Read a row of the CSV file."""
        kinds = {"seconds": float, "seed": int, "cost": float, "bound": float, "evaluations": int, "elapsed": float}
        return cls(**{item.name: kinds.get(item.name, str)(row[item.name]) for item in fields(cls)})


def experiments(
    instances: Iterable[Instance], solvers: Sequence[str], seconds: float, seeds: int
) -> Iterator[Experiment]:
    """Every instance by every solver; those that draw no random numbers once."""
    for seed in range(seeds):
        for instance in instances:
            for solver in solvers:
                if seed == 0 or is_random(solver):
                    yield Experiment(instance.name, str(instance.path), solver, seconds, seed)


def is_random(solver: str) -> bool:
    """Tell whether the seed matters."""
    from placement.registry import SOLVERS

    if solver in SOLVERS:
        return SOLVERS[solver].role in ("search", "portfolio")
    return RIVALS[solver].random if solver in RIVALS else True


def perform(experiment: Experiment) -> Record:
    """Run an experiment in this process; a failure becomes a record, too."""
    began = time.perf_counter()
    try:
        return _perform(experiment)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        status = "refused" if type(error).__name__ == "NotApplicableError" else "failed"
        return Record(
            *experiment.key,
            status,
            np.inf,
            -np.inf,
            0,
            time.perf_counter() - began,
            "",
            "[]",
            text,
        )


def problem_of(request: Any) -> Any:
    """The problem of a request or of a case in Helix's format, which knows one objective: flow."""
    from placement.kinds.pipeline.problem import problem_of as pipeline_of
    from placement.kinds.replicated.case import case_of
    from placement.kinds.replicated.kind import REPLICATED
    from placement.kinds.replicated.problem import ReplicatedProblem

    if hasattr(request, "tables"):
        return ReplicatedProblem(request.tables, REPLICATED.wish(request, "flow", None).objective)
    if request.kind == "pipeline":
        return pipeline_of(request)
    return ReplicatedProblem(case_of(request).tables, REPLICATED.wish(request, None, None).objective)


def _perform(experiment: Experiment) -> Record:
    from placement.search.stop import StoppedBy

    from .makers import make, own_starts, warm

    problem = problem_of(Instance(experiment.instance, Path(experiment.path)).request)
    solver = make(experiment.solver, problem)
    warm(experiment.solver, hasattr(problem.tables, "decode_s") and hasattr(problem, "custom"))
    outcome = search(problem, solver, experiment.seed, experiment.seconds, bare=own_starts(experiment.solver))
    if outcome.stopped_by is StoppedBy.INTERRUPTED:
        raise KeyboardInterrupt  # half a run is no run: it is for the next time
    feasible = outcome.score.violation == 0
    points = [(p.seconds, p.evaluations, p.cost, p.bound) for p in outcome.trace if p.violation == 0]
    return Record(
        *experiment.key,
        "ok" if feasible else "infeasible",
        float(outcome.score.cost) if feasible else np.inf,
        float(outcome.bound),
        outcome.evaluations,
        outcome.seconds,
        outcome.stopped_by.name,
        json.dumps([[round(a, 4), b, float(c), float(d)] for a, b, c, d in points]),
        outcome.winner,
    )


def search(problem: Any, solver: Any, seed: int, seconds: float, *, bare: bool = False) -> Any:
    """Run a solver; `bare` ones get neither our starts nor our bound, so that their own work is measured."""
    from placement.search.loop import run
    from placement.search.stop import time_limit

    start = problem.starts()
    return run(
        problem,
        solver,
        rng=np.random.default_rng(seed),
        start=start[:0] if bare else start,
        stop=time_limit(seconds),
        bound=-np.inf if bare else problem.lower_bound(),
    )
