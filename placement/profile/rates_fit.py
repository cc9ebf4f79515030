"""Efficiencies and overheads of runtimes by robust least squares on measurements.

The unknowns are logarithms of the figures in `placement.costs.runtimes.KEYS`, the residuals logarithms of predicted
over measured figures; a Huber-like loss (`soft_l1`) keeps a few odd runs from leading, and every unknown is drawn to
its prior: a parent class to the hand-written figure, a class to its parent. A class needs `LEAST_CASES` measurements of
`LEAST_SOURCES` sources for an unknown of its own, otherwise it inherits. Shares never exceed 1.

Method: P. J. Huber, "Robust Estimation of a Location Parameter", 1964, doi:10.1214/aoms/1177703732; the solver is
`scipy.optimize.least_squares` (trust region reflective: M. A. Branch et al., 1999, doi:10.1137/S1064827595289108).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..catalog.hardware import lineage
from ..costs.rates import WIDE
from ..costs.runtimes import RuntimeCosts, class_of, runtime_costs
from ..errors import InputError
from .measurements import Case, sources

FloatArray = npt.NDArray[np.float64]
LEAST_CASES, LEAST_SOURCES = 4, 2
LOSS_SCALE = 0.08
"""Relative error up to which a residual counts squared."""
SHARING = 0.25
"""Rows of one source and class count as their number to the power of 1 - 2 * SHARING: 0 as so many, 1/2 as one."""
PRIOR_SCALE, CHILD_SCALE = 0.15, 0.1
"""Spread (of logarithms) of a hand-written figure about the truth, and of a class about its parent."""
ROOTS = ("nvidia", "amd", "apple", "cpu", "edge", "other")
MOST = {
    "half_rows": 200.0,
    "small_rows": 50.0,
    "overhead_us": 5000.0,
    "pass_us": 30_000.0,
    "work": 100.0,
}
LEAST = {"half_rows": 1.0, "small_rows": 0.1, "overhead_us": 2.0, "pass_us": 10.0}


@dataclass(frozen=True, slots=True)
class Unknown:
    """One figure to be fitted.

    Attributes
    ----------
    runtime, kind, key : str
        Runtime, device class and name of the figure.
    cases : tuple of int
        Numbers of the cases that depend on it.
    """

    runtime: str
    kind: str
    key: str
    cases: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit.

    Attributes
    ----------
    costs : mapping of str to RuntimeCosts
        The runtimes of the cases, with the fitted figures in them.
    figures : mapping
        Runtime to device class to figure: what was fitted.
    counts : mapping
        Runtime to device class to the number of cases behind its figures.
    """

    costs: Mapping[str, RuntimeCosts]
    figures: Mapping[str, Mapping[str, Mapping[str, float]]]
    counts: Mapping[str, Mapping[str, int]]


def owner(case: Case) -> str:
    """Name of the runtime whose figures a case informs: RPC is llama.cpp, with other hops."""
    return case.costs.family


def unknowns(cases: Sequence[Case]) -> list[Unknown]:
    """What can be fitted on these cases: enough of them, of enough sources, for each figure of a class."""
    found: list[Unknown] = []
    for runtime in dict.fromkeys(owner(case) for case in cases):
        mine = [k for k, case in enumerate(cases) if owner(case) == runtime]
        for key, informs in _KEYS.items():
            lines = {k: tuple(lineage(cases[k].device_class, key)) for k in mine}
            for kind in sorted({kind for line in lines.values() for kind in line}):
                if not _has_level(key, kind):
                    continue
                inside = [k for k in mine if kind in lines[k] and informs(cases[k])]
                if len(inside) >= LEAST_CASES and len(sources(cases[k] for k in inside)) >= LEAST_SOURCES:
                    touched = [k for k in mine if kind in lines[k]]
                    found.append(Unknown(runtime, kind, key, tuple(touched)))
    return found


def _has_level(key: str, kind: str) -> bool:
    """Overheads and formats are told by backend, rates by device class, rows once."""
    if key in ("half_rows", "small_rows"):
        return kind == "any"
    if key in ("overhead_us", "quantized_bandwidth"):
        return kind in ROOTS
    if key == "work":
        return kind == "apple"
    return kind not in ("any", "gpu")


def _wide(case: Case) -> bool:
    return case.request.model.weights.lower() in WIDE


_KEYS: Mapping[str, Callable[[Case], bool]] = {
    "bandwidth": lambda case: "generation" in case.measured,
    "quantized_bandwidth": lambda case: "generation" in case.measured and not _wide(case),
    "overhead_us": lambda case: "generation" in case.measured,
    "work": lambda case: "generation" in case.measured and not _wide(case),
    "compute": lambda case: "prompt" in case.measured and _wide(case),
    "quantized_compute": lambda case: "prompt" in case.measured and not _wide(case),
    "half_rows": lambda case: case.row.concurrency > 1,
    "small_rows": lambda case: case.row.concurrency > 1,
}


def fit(cases: Sequence[Case], first: FloatArray | None = None, rounds: int = 40) -> Fit:
    """Fit the figures of all runtimes of the cases.

    Parameters
    ----------
    cases : sequence of Case
    first : array (unknowns,), optional
        Logarithms of the unknowns to begin from; by default the hand-written figures.
    rounds : int
        Most evaluations of the solver; 0 takes `first` as it is.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        scipy is not installed.
    """
    wanted = unknowns(cases)
    if not wanted:
        return _result(cases, [], np.empty(0))
    system = System(cases, wanted)
    x = system.priors if first is None else first
    if rounds:
        x = solve(system.residuals, system.jacobian, x, system.limits, rounds)
    return _result(cases, wanted, x)


def solve(
    residuals: Callable[[FloatArray], FloatArray],
    jacobian: Callable[[FloatArray], FloatArray],
    first: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    rounds: int,
) -> FloatArray:
    """Least squares within limits, from `first`; robust but for the last residuals, the pulls of the unknowns."""
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("fitting needs scipy: pip install 'llm-placement[bench]'") from None
    low, high = limits

    def loss(squares: FloatArray) -> FloatArray:
        # soft_l1 and its derivatives for the data; the pulls stay squared, or many odd runs would overrule them.
        root = np.sqrt(1.0 + squares)
        rho = np.array([2.0 * (root - 1.0), 1.0 / root, -0.5 / root**3])
        pulls = slice(len(squares) - len(first), None)
        rho[0, pulls], rho[1, pulls], rho[2, pulls] = squares[pulls], 1.0, 0.0
        return rho

    solution = least_squares(
        residuals,
        np.clip(first, low + 1e-6, high - 1e-6),
        jac=jacobian,
        bounds=limits,
        loss=loss,
        f_scale=LOSS_SCALE,
        max_nfev=rounds,
        xtol=1e-4,
        ftol=1e-4,
    )
    return np.asarray(solution.x)


class System:
    """Residuals of the cases and of the priors, and their derivatives."""

    def __init__(self, cases: Sequence[Case], wanted: Sequence[Unknown]) -> None:
        self.cases, self.wanted = cases, wanted
        self.number = {(u.runtime, u.kind, u.key): k for k, u in enumerate(wanted)}
        self.priors = np.log([self._hand(u) for u in wanted])
        self.offsets = np.cumsum([0, *(len(case.measured) for case in cases)])
        self.weights = _weights(cases)
        self.kinds = [sorted({class_of(node) for node in case.request.cluster.nodes}) for case in cases]
        self.known: list[dict[tuple[float | None, ...], dict[str, float]]] = [{} for _ in cases]

    def _hand(self, unknown: Unknown) -> float:
        value = runtime_costs(unknown.runtime).prior(unknown.kind, unknown.key)
        low, high = self.bounds(unknown)
        return float(np.clip(0.5 if value is None else value, low * 1.01, high * 0.99))

    def bounds(self, unknown: Unknown) -> tuple[float, float]:
        """Least and most of an unknown; shares end at 1."""
        return LEAST.get(unknown.key, 0.02), MOST.get(unknown.key, 1.0)

    @property
    def limits(self) -> tuple[FloatArray, FloatArray]:
        """Logarithms of least and most, (unknowns,) each."""
        low, high = np.log([self.bounds(unknown) for unknown in self.wanted]).T
        return low, high

    def at(self, fit: Fit) -> FloatArray:
        """The unknowns as a fit has them."""
        return np.log([fit.figures[u.runtime][u.kind][u.key] for u in self.wanted])

    def costs(self, x: FloatArray) -> dict[str, RuntimeCosts]:
        """Costs by runtime at the logarithms `x` of the unknowns."""
        return with_figures({(u.runtime, u.kind, u.key): math.exp(v) for u, v in zip(self.wanted, x, strict=True)})

    def of_case(self, k: int, costs: Mapping[str, RuntimeCosts]) -> list[float]:
        """Weighted logarithms of predicted over measured figures of a case."""
        case = self.cases[k]
        predicted = self._predicted(k, variant(case, costs))
        return [
            self.weights[k] * math.log(max(predicted[name], 1e-12) / value) for name, value in case.measured.items()
        ]

    def _predicted(self, k: int, costs: RuntimeCosts) -> dict[str, float]:
        """What a case's figures are predicted to be; most steps in an unknown change nothing that a case hangs on."""
        found, key = self.known[k], tuple(costs.figure(kind, name) for kind in self.kinds[k] for name in _KEYS)
        if key not in found:
            found[key] = self.cases[k].predict(costs)
        return found[key]

    def residuals(self, x: FloatArray) -> FloatArray:
        """Those of all cases, then the pulls to the priors."""
        costs = self.costs(x)
        data = [value for k in range(len(self.cases)) for value in self.of_case(k, costs)]
        return np.array([*data, *self.pulls(x)])

    def pulls(self, x: FloatArray) -> list[float]:
        """Pulls to the parent's value, or to the hand-written one at the top; scaled so that one is like a residual.

        Where a class has a hand-written figure of its own, it is its ratio to the parent's that is expected.
        """
        out = []
        for k, unknown in enumerate(self.wanted):
            above = list(lineage(unknown.kind, unknown.key))[1:]
            parents = (self.number.get((unknown.runtime, kind, unknown.key)) for kind in above)
            parent = next((number for number in parents if number is not None), None)
            if parent is None:
                aim, scale = self.priors[k], PRIOR_SCALE
            else:
                aim, scale = x[parent] + self.priors[k] - self.priors[parent], CHILD_SCALE
            out.append(LOSS_SCALE * (x[k] - aim) / scale)
        return out

    def jacobian(self, x: FloatArray) -> FloatArray:
        """Differences, of those cases only that an unknown touches."""
        step, size = 1e-4, int(self.offsets[-1])
        out = np.zeros((size + len(x), len(x)))
        base = self.residuals(x)
        for j, unknown in enumerate(self.wanted):
            moved = x.copy()
            moved[j] += step if x[j] < 0 or unknown.key in MOST else -step
            costs, width = self.costs(moved), moved[j] - x[j]
            for k in unknown.cases:
                rows = slice(self.offsets[k], self.offsets[k + 1])
                out[rows, j] = (np.array(self.of_case(k, costs)) - base[rows]) / width
            out[size:, j] = (np.array(self.pulls(moved)) - base[size:]) / width
        return out


def _weights(cases: Sequence[Case]) -> list[float]:
    """Errors of one source on one class of devices go together, so its rows share the weight of fewer."""
    keys = [(case.row.source, case.device_class) for case in cases]
    return [float(keys.count(key)) ** -SHARING for key in keys]


def variant(case: Case, costs: Mapping[str, RuntimeCosts]) -> RuntimeCosts:
    """The costs of a case's runtime with the figures of a fit in them."""
    found = costs.get(owner(case))
    return case.costs if found is None else replace(case.costs, fitted=found.fitted)


def with_figures(figures: Mapping[tuple[str, str, str], float]) -> dict[str, RuntimeCosts]:
    """Costs by runtime with the fitted figures replaced by these: (runtime, class, key) to value."""
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for (runtime, kind, key), value in figures.items():
        tables.setdefault(runtime, {}).setdefault(kind, {})[key] = value
    return {runtime: replace(runtime_costs(runtime), fitted=(table,)) for runtime, table in tables.items()}


def _result(cases: Sequence[Case], wanted: Sequence[Unknown], x: FloatArray) -> Fit:
    figures: dict[str, dict[str, dict[str, float]]] = {}
    counts: dict[str, dict[str, int]] = {}
    for unknown, value in zip(wanted, x, strict=True):
        figures.setdefault(unknown.runtime, {}).setdefault(unknown.kind, {})[unknown.key] = float(math.exp(value))
        counts.setdefault(unknown.runtime, {})[unknown.kind] = len(unknown.cases)
    flat = {
        (r, kind, key): value
        for r, kinds in figures.items()
        for kind, keys in kinds.items()
        for key, value in keys.items()
    }
    costs = with_figures(flat)
    for case in cases:  # without an unknown of its own a runtime has its hand-written figures
        costs.setdefault(owner(case), replace(runtime_costs(owner(case)), fitted=()))
    return Fit(costs, figures, counts)
