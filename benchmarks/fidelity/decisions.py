"""Published alternatives on the same machines: which one the prediction chooses, and what that costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from placement.costs.intervals import cannot_tell
from placement.costs.runtimes import RuntimeCosts
from placement.profile.measurements import Case, case_of, read_rows
from placement.profile.rates_fit import variant

RIGHT = 0.1
"""A choice is right when it is at most this much slower than the best alternative."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Alternatives of one question, the fewest devices first.

    Attributes
    ----------
    name : str
    alternatives : tuple of str
    cases : tuple of Case
    """

    name: str
    alternatives: tuple[str, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was chosen, what was best, and the part of the best rate that the choice costs."""

    decision: Decision
    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    chosen: int

    @property
    def regret(self) -> float:
        """Relative loss against the best alternative."""
        return 1.0 - self.measured[self.chosen] / max(self.measured)

    @property
    def right(self) -> bool:
        """Whether the loss is small enough."""
        return self.regret <= RIGHT


def read_decisions(path: Path) -> list[Decision]:
    """Read the CSV: rows of measurements with the columns `decision` and `alternative`, together by decision."""
    found = []
    for name, group in itertools.groupby(read_rows(path), key=lambda row: row["decision"]):
        named = [(row.pop("alternative"), row.pop("decision"), row) for row in group]
        cases = tuple(case_of(row, f"{path}: {name}") for _, _, row in named)
        found.append(Decision(name, tuple(alternative for alternative, _, _ in named), cases))
    return found


def decide(decision: Decision, costs: Mapping[str, RuntimeCosts] | None = None) -> Outcome:
    """Choose the fastest alternative; of those that cannot be told apart the one with fewest devices."""
    predicted, measured = [], []
    for case in decision.cases:
        figures = case.predict(variant(case, costs or {}))
        name = next(iter(case.measured))
        predicted.append(figures[name])
        measured.append(case.measured[name])
    best = max(range(len(predicted)), key=lambda k: predicted[k])
    request = decision.cases[best].request
    near = [k for k in range(len(predicted)) if cannot_tell(request, predicted[k], predicted[best])]
    chosen = min(near, key=lambda k: (_devices(decision.cases[k]), -predicted[k]))
    return Outcome(decision, tuple(predicted), tuple(measured), chosen)


def pair_errors(outcomes: list[Outcome]) -> dict[str, list[float]]:
    """How far predicted ratios of two layer splits are off, as factors of at least 1, by kind of figure.

    Pairs of one decision that differ in nothing but the number of devices: what tells from which difference on two
    plans can be told apart.
    """
    found: dict[str, list[float]] = {}
    for one in outcomes:
        cases = one.decision.cases
        for a, b in itertools.combinations(range(len(cases)), 2):
            rows = cases[a].row, cases[b].row
            alike = rows[0].weights == rows[1].weights and rows[0].runtime == rows[1].runtime
            nodes = [node for case in (cases[a], cases[b]) for node in case.request.cluster.nodes]
            if alike and all(node.tensor_parallel == 1 for node in nodes):
                ratio = one.predicted[a] / one.predicted[b] / (one.measured[a] / one.measured[b])
                found.setdefault(next(iter(cases[a].measured)), []).append(max(ratio, 1.0 / ratio))
    return found


def _devices(case: Case) -> int:
    used = {span.node for span in case.spans}
    return sum(node.tensor_parallel for k, node in enumerate(case.request.cluster.nodes) if k in used)


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| decision | measured | predicted | chosen | regret |"
    yield "| --- | --- | --- | --- | ---: |"
    for one in outcomes:
        names = one.decision.alternatives
        shown = [
            "; ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
            for values in (one.measured, one.predicted)
        ]
        yield f"| {one.decision.name} | {shown[0]} | {shown[1]} | {names[one.chosen]} | {one.regret:.0%} |"
