"""HiGHS in a thread of its own: incumbents and bounds come out as they are found, and it can be stopped at any time.

Q. Huangfu, J. A. J. Hall, "Parallelizing the dual revised simplex method", Mathematical Programming Computation 10,
2018, doi:10.1007/s12532-017-0130-5 (HiGHS).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TOLERANCE = 1e-9
STEP = 1e-5  # a bound that rose less than this is not worth telling
FIRST_WAIT_S, WAIT_S = 1.0, 0.2


@dataclass(frozen=True)
class Event:
    """What the solver has to tell.

    Attributes
    ----------
    values : array or None
        Columns of a new incumbent.
    bound : float
        On the model's objective; infinite when it is proven infeasible.
    done : bool
        Nothing more will come.
    proven : bool
        With `done`: the incumbent is optimal within the tolerances.
    """

    values: FloatArray | None = None
    bound: float = -np.inf
    done: bool = False
    proven: bool = False


@dataclass(frozen=True)
class Columns:
    """A model in matrix form.

    Attributes
    ----------
    lp : highspy.HighsLp
    variables : list
        Pyomo's variable of each column.
    """

    lp: Any
    variables: list[Any]


def columns(model: Any) -> Columns:
    """Turn a Pyomo model into columns and rows."""
    import highspy
    import pyomo.environ as pyo
    from pyomo.repn import generate_standard_repn

    number: dict[int, int] = {}
    variables: list[Any] = []

    def row(expression: Any) -> tuple[list[int], list[float], float]:
        linear = generate_standard_repn(expression, quadratic=False)
        for variable in linear.linear_vars:
            if id(variable) not in number:
                number[id(variable)] = len(variables)
                variables.append(variable)
        return [number[id(v)] for v in linear.linear_vars], list(linear.linear_coefs), float(linear.constant)

    goal = row(next(model.component_data_objects(pyo.Objective, active=True)).expr)
    rows, low, high = [], [], []
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        at, factors, constant = row(constraint.body)
        rows.append((at, factors))
        low.append(-np.inf if constraint.lower is None else float(pyo.value(constraint.lower)) - constant)
        high.append(np.inf if constraint.upper is None else float(pyo.value(constraint.upper)) - constant)
    kinds, lp = highspy.HighsVarType, highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(variables), len(rows)
    cost = np.zeros(len(variables))
    cost[goal[0]] = goal[1]
    lp.col_cost_, lp.offset_ = cost, goal[2]
    lp.col_lower_ = np.array([-np.inf if v.lb is None else v.lb for v in variables], dtype=np.float64)
    lp.col_upper_ = np.array([np.inf if v.ub is None else v.ub for v in variables], dtype=np.float64)
    lp.integrality_ = [kinds.kInteger if v.is_integer() else kinds.kContinuous for v in variables]
    lp.row_lower_, lp.row_upper_ = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum([len(at) for at, _ in rows])]).astype(np.int32)
    lp.a_matrix_.index_ = np.array([k for at, _ in rows for k in at], dtype=np.int32)
    lp.a_matrix_.value_ = np.array([f for _, factors in rows for f in factors], dtype=np.float64)
    return Columns(lp, variables)


def quiet_solver() -> Any:
    """A solver that keeps off stdout, where HiGHS greets unless silenced before its callbacks are set."""
    import highspy

    class Quiet(highspy.Highs):  # type: ignore[misc, unused-ignore]
        def enableCallbacks(self) -> None:  # noqa: N802
            self.silent()
            super().enableCallbacks()  # type: ignore[no-untyped-call, unused-ignore]

    return Quiet()  # type: ignore[no-untyped-call, unused-ignore]


class Solving:
    """A model being solved; iterate over `events`, and `stop` it in any case."""

    def __init__(self, make: Callable[[], tuple[Columns, FloatArray | None]], *, presolve: bool = False) -> None:
        self.make, self.presolve = make, presolve
        self.found: queue.Queue[Event | BaseException] = queue.Queue()
        self.stopped = threading.Event()
        self.told = -np.inf
        self.thread = threading.Thread(target=self.work, daemon=True)

    def events(self) -> Iterator[Event | None]:
        """Events as they come; None in silence, so that the reader can look at the clock."""
        self.thread.start()
        wait = FIRST_WAIT_S
        while True:
            try:
                event = self.found.get(timeout=wait)
            except queue.Empty:
                yield None
                wait = WAIT_S
                continue
            if isinstance(event, BaseException):
                raise event
            yield event
            if event.done:
                return

    def stop(self) -> None:
        """Tell the solver to end, and wait for it."""
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join(timeout=30.0)

    def work(self) -> None:
        """Build and solve; in the thread."""
        try:
            model, start = self.make()
            if not self.stopped.is_set():
                self.solve(model, start)
        except BaseException as error:  # raised again by the reader
            self.found.put(error)

    def solve(self, model: Columns, start: FloatArray | None) -> None:
        """Run HiGHS."""
        import highspy

        solver = quiet_solver()
        presolve = "on" if self.presolve else "off"
        for name, value in (
            ("presolve", presolve),
            ("threads", 1),
            ("random_seed", 0),
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", TOLERANCE),
            ("mip_feasibility_tolerance", TOLERANCE),
            ("primal_feasibility_tolerance", TOLERANCE),
        ):
            solver.setOptionValue(name, value)
        solver.passModel(model.lp)
        if start is not None:
            given = highspy.HighsSolution()
            given.col_value = start.tolist()
            solver.setSolution(given)
        solver.cbMipImprovingSolution.subscribe(self.improved)
        for callback in (solver.cbMipInterrupt, solver.cbSimplexInterrupt, solver.cbIpmInterrupt):
            callback.subscribe(self.watched)
        solver.run()
        status, kinds = solver.getModelStatus(), highspy.HighsModelStatus
        if status == kinds.kInfeasible:
            self.found.put(Event(bound=np.inf, done=True))
            return
        bound, proven = float(solver.getInfo().mip_dual_bound), status == kinds.kOptimal
        self.found.put(Event(np.array(solver.getSolution().col_value) if proven else None, bound, True, proven))

    def improved(self, event: Any) -> None:
        """Pass an incumbent on."""
        out = event.data_out
        self.found.put(Event(np.array(out.mip_solution), float(out.mip_dual_bound)))

    def watched(self, event: Any) -> None:
        """Pass a better bound on, and end when told to."""
        if self.stopped.is_set():
            event.interrupt()
            return
        bound = float(event.data_out.mip_dual_bound)
        if np.isfinite(bound) and bound > self.told + STEP * abs(bound):
            self.told = bound
            self.found.put(Event(bound=bound))
