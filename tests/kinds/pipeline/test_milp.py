"""The mixed-integer solver against exhaustive search, with what the other exact solver does not cover."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from objectives.combine import TERMS, Objective
from placement.kinds.milp import Milp
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exhaustive import Exhaustive
from placement.kinds.pipeline.solvers.milp import LINEAR, PipelineMilp
from placement.kinds.pipeline.solvers.milp_model import twins
from placement.search.column_program import ColumnProgram
from placement.search.highs import quiet_solver
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError, Solver
from placement.search.stop import StoppedBy, first, time_limit
from tests.objectives.pipeline.cases import KINDS, random_objective, tables, tiny


def solve(problem: PipelineProblem, solver: Solver) -> Outcome:
    return run(
        problem, solver, rng=np.random.default_rng(0), start=problem.starts(), stop=first(time_limit(60)), prove=False
    )


def same(problem: PipelineProblem) -> None:
    """Both find the same optimum and prove it, or both prove that there is none."""
    wanted, found = solve(problem, Exhaustive()), solve(problem, Milp())
    if wanted.score.violation > 0:
        assert found.bound == np.inf
        assert found.score.violation > 0
    else:
        assert found.score.violation == 0
        assert found.score.cost == pytest.approx(wanted.score.cost, rel=1e-9)
        assert found.stopped_by is StoppedBy.OPTIMAL


def random_problem(seed: int) -> PipelineProblem:
    rng = np.random.default_rng(seed)
    instance = tiny(rng, contiguous=bool(rng.random() < 0.5))
    plain = PipelineProblem(instance, Objective())
    values, broken = plain.terms(plain.random(rng, 20))
    return PipelineProblem(instance, random_objective(rng, values[broken <= broken.min()]))


@pytest.mark.parametrize("block", range(4))
def test_milp_is_exhaustive(block: int) -> None:
    """On random tiny instances, contiguous or not, with all kinds of constraints and limits."""
    tried = 0
    for seed in range(15 * block, 15 * block + 15):
        problem = random_problem(seed)
        try:
            PipelineMilp().applicable(problem)
        except NotApplicableError:
            continue
        same(problem)
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_every_constraint(kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    instance = tables(rng, 3, 5, 4, kinds={kind, "uneven"}, room=2.5)
    same(PipelineProblem(instance, Objective({str(rng.choice(LINEAR)): 1.0})))


def test_throughput_of_one_sequence_is_latency() -> None:
    rng = np.random.default_rng(5)
    same(PipelineProblem(tables(rng, 3, 5, 1, room=1.4), Objective({"throughput": 1.0})))


def test_what_has_no_linear_form_is_refused() -> None:
    instance = tables(np.random.default_rng(1), 3, 5, 8)
    for objective in (Objective({"throughput": 1.0}), Objective({"latency": 1.0}, {"throughput": 3.0})):
        with pytest.raises(NotApplicableError, match="throughput"):
            PipelineMilp().applicable(PipelineProblem(instance, objective))
    with pytest.raises(NotApplicableError, match="built-in"):
        PipelineMilp().applicable(PipelineProblem(instance, Objective(), lambda terms: terms.values["latency"]))
    with pytest.raises(NotApplicableError, match="hops"):
        solve(PipelineProblem(instance, Objective()), Milp(most_hops=3))


def test_equal_nodes_are_found() -> None:
    """Nodes that may be exchanged, and only those."""
    instance = tables(np.random.default_rng(3), 4, 5)
    link = np.full((5, 5), 1e9)
    like = [0, 1, 0, 0]
    rows = ("prefill_s", "capacity_bytes", "price_per_hour", "power_w")
    alike = replace(
        instance,
        latency_s=np.full((5, 5), 1e-3),
        bandwidth_bytes_per_s=link,
        decode_s=instance.decode_s[:, like],
        **{name: getattr(instance, name)[like] for name in rows},
    )
    assert twins(alike) == ((0, 2), (2, 3))
    slow = link.copy()
    slow[1, 3] = 1e6
    assert twins(replace(alike, bandwidth_bytes_per_s=slow)) == ((0, 2),)


def test_it_can_be_stopped_and_keeps_off_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    """A search that is dropped ends its thread; bounds on the way are bounds."""
    rng = np.random.default_rng(2)
    problem = PipelineProblem(tables(rng, 8, 24, kinds={"uneven"}, room=1.3), Objective())
    search = Milp().search(problem, rng, problem.starts())
    proposals = [next(search) for _ in range(2)]
    assert isinstance(search, Generator)
    search.close()
    assert max(proposal.bound for proposal in proposals) <= problem.evaluate(problem.starts())[0].min() * (1 + 1e-9)
    quiet_solver()
    program = ColumnProgram(np.ones(1), whole=True)
    program.add(1.0, np.ones(1))
    program.solve()
    assert program.values().tolist() == [1.0]
    assert capfd.readouterr().out == ""


def test_linear_terms_are_terms() -> None:
    assert set(LINEAR) < set(TERMS)
