"""How far predicted rates are from measured ones: residuals, sources left out in turn, widths of intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..catalog.hardware import lineage
from ..costs.runtimes import GENERIC, RuntimeCosts, runtime_costs
from .measurements import Case, sources
from .rates_fit import LEAST_CASES, LEAST_SOURCES, Fit, System, fit, owner, solve, unknowns, variant

FloatArray = npt.NDArray[np.float64]


def leave_one_out(cases: Sequence[Case], whole: Fit, polish: int = 3) -> list[Residual]:
    """Predict the cases of every source by a fit to all others.

    Each fit begins where the fit of all cases, taken as linear about its optimum, says that the optimum goes when the
    source's rows are struck out and groups that became too small inherit; a few exact rounds follow.

    Parameters
    ----------
    cases : sequence of Case
    whole : Fit
        Of all cases.
    polish : int
        Exact rounds.

    Returns
    -------
    list of Residual
        In the order of the sources.
    """
    wanted = unknowns(cases)
    if not wanted:
        return residuals(cases, whole.costs)
    system = System(cases, wanted)
    x = system.at(whole)
    base, slopes = system.residuals(x), system.jacobian(x)
    found: list[Residual] = []
    for source in sources(cases):
        mine = [case for case in cases if case.row.source == source]
        runtimes = {owner(case) for case in mine}
        others = [case for case in cases if case.row.source != source and owner(case) in runtimes]
        rest = unknowns(others)
        if not rest:
            found += residuals(mine, _by_hand(mine))
            continue
        kept = [k for k, case in enumerate(cases) if case.row.source != source and owner(case) in runtimes]
        rows = np.concatenate([np.arange(system.offsets[k], system.offsets[k + 1]) for k in kept])
        first = _moved(system, System(others, rest), x, base[rows], slopes[rows])
        found += residuals(mine, {**_by_hand(mine), **fit(others, first, polish).costs})
    return found


def _moved(whole: System, part: System, x: FloatArray, base: FloatArray, slopes: FloatArray) -> FloatArray:
    """The optimum of a part of the cases, the residuals taken as linear about the optimum `x` of all of them."""
    # Every unknown of the whole is one of the part, its nearest parent there, or its hand-written figure.
    spread, fixed = np.zeros((len(x), len(part.wanted))), whole.priors - x
    for j, unknown in enumerate(whole.wanted):
        for kind in lineage(unknown.kind, unknown.key):
            k = part.number.get((unknown.runtime, kind, unknown.key))
            if k is not None:
                spread[j, k], fixed[j] = 1.0, -x[j]
                break
    inside = slopes[:, : len(x)] @ spread

    def linear(z: FloatArray) -> FloatArray:
        return np.array([*(base + slopes @ (spread @ z + fixed)), *part.pulls(z)])

    def slope(z: FloatArray) -> FloatArray:
        steps = np.eye(len(z)) * 1e-4
        pulls = np.array([(np.array(part.pulls(z + step)) - part.pulls(z)) / 1e-4 for step in steps]).T
        return np.vstack([inside, pulls])

    return solve(linear, slope, part.priors, part.limits, 200)


def _by_hand(cases: Sequence[Case]) -> dict[str, RuntimeCosts]:
    return {owner(case): replace(runtime_costs(owner(case)), fitted=()) for case in cases}


@dataclass(frozen=True, slots=True)
class Residual:
    """A figure of a case: "generation" or "prompt", measured and predicted in tokens/s."""

    case: Case
    figure: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Relative error of the rate."""
        return self.predicted / self.measured - 1.0


def residuals(cases: Sequence[Case], costs: Mapping[str, RuntimeCosts] | None = None) -> list[Residual]:
    """Predict cases, by default with the costs of the catalog."""
    found = []
    for case in cases:
        predicted = case.predict(variant(case, costs or {}))
        found += [Residual(case, name, value, predicted[name]) for name, value in case.measured.items()]
    return found


def interval_widths(found: Sequence[Residual], generic: Sequence[Residual]) -> dict[str, dict[str, dict[str, float]]]:
    """The factor that 90% of the residuals stay within, by runtime, device class and figure.

    Parameters
    ----------
    found : sequence of Residual
        Each predicted without its source.
    generic : sequence of Residual
        The same measurements under the generic profile.

    Returns
    -------
    dict
        Groups of at least `LEAST_CASES` residuals of `LEAST_SOURCES` sources; "any" holds all of a runtime.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, rows in (("", found), (GENERIC, generic)):
        for row in rows:
            for kind in lineage(row.case.device_class):
                for runtime in (name,) if name else (owner(row.case), "any"):
                    out.setdefault(runtime, {}).setdefault(kind, {})
    for runtime, kinds in out.items():
        rows = generic if runtime == GENERIC else found
        mine = [row for row in rows if runtime in ("any", GENERIC) or owner(row.case) == runtime]
        for kind, widths in kinds.items():
            for figure in ("generation", "prompt"):
                group = [r for r in mine if r.figure == figure and kind in lineage(r.case.device_class)]
                if len(group) >= LEAST_CASES and len(sources(r.case for r in group)) >= LEAST_SOURCES:
                    logs = [abs(math.log(row.predicted / row.measured)) for row in group]
                    widths[figure] = round(math.exp(float(np.quantile(logs, 0.9))), 3)
    filled = {
        runtime: {kind: widths for kind, widths in sorted(kinds.items()) if widths} for runtime, kinds in out.items()
    }
    return {runtime: kinds for runtime, kinds in sorted(filled.items()) if kinds}
