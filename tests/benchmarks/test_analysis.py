"""Gaps, profiles and ranks, by what must hold of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import Known
from benchmarks.quality import charts, gaps, markdown, page, profiles, report
from benchmarks.quality.experiments import Record
from benchmarks.quality.ranking import Ranking

costs = st.one_of(st.floats(0.5, 100.0), st.just(float("inf")))
keys = st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(0, 3))
cells = st.dictionaries(keys, costs, min_size=1)
few = settings(max_examples=60, deadline=None)


def record(instance: str, solver: str, seed: int, cost: float, bound: float = 0.4, *, when: float = 0.5) -> Record:
    points = [[when / 2, 10, cost * 1.5, bound], [when, 20, cost, bound]] if np.isfinite(cost) else []
    status = "ok" if np.isfinite(cost) else "infeasible"
    return Record(instance, solver, 1.0, seed, status, cost, bound, 100, 1.0, "TIME", json.dumps(points))


def records(drawn: dict[tuple[str, str, int], float]) -> list[Record]:
    return [record(instance, solver, seed, cost) for (instance, solver, seed), cost in drawn.items()]


@given(cells)
@few
def test_gaps(drawn: dict[tuple[str, str, int], float]) -> None:
    """Never negative; the best of every instance has none; the median is at most the worst."""
    table = gaps.gap_table(records(drawn), {})
    for instance, row in table.items():
        assert all(0 <= cell.median <= cell.worst for cell in row.values())
        found = [cost for (name, _, _), cost in drawn.items() if name == instance and np.isfinite(cost)]
        if found:
            best = min(cost for cost in found)
            assert min(gaps.gap(run.cost, best) for run in records(drawn) if run.instance == instance) == 0


@given(cells)
@few
def test_profiles(drawn: dict[tuple[str, str, int], float]) -> None:
    """Ratios begin at 1, shares rise and never pass 1, and somebody is best wherever anything was found."""
    curves = profiles.performance(records(drawn), ["x", "y", "z"])
    for curve in curves.values():
        assert [p[0] for p in curve] == sorted(p[0] for p in curve)
        assert [p[1] for p in curve] == sorted(p[1] for p in curve)
        assert all(x >= 1 and 0 < y <= 1 for x, y in curve)
    if any(curves.values()):
        assert min(curve[0][0] for curve in curves.values() if curve) == 1.0


@given(cells)
@few
def test_anytime_never_rises(drawn: dict[tuple[str, str, int], float]) -> None:
    for curve in profiles.anytime(records(drawn), {}, ["x", "y", "z"]).values():
        values = [y for _, y in curve]
        assert values == sorted(values, reverse=True)


def test_equal_evaluations_stop_at_the_slowest() -> None:
    slow, fast = record("a", "x", 0, 2.0), record("a", "y", 0, 1.0)
    fast = Record(**{**fast.row(), "evaluations": 15})
    assert gaps.equal_evaluations([slow, fast], ["x", "y"]) == {"a": 15}
    table = gaps.view([slow, fast], {}, ["x", "y"])
    assert table["a"]["x"].median == pytest.approx(2.0)  # 3.0, of ten evaluations, against a best of 1.0
    assert table["a"]["y"].median == pytest.approx(0.5)


def test_duels_and_proofs() -> None:
    """Wins, ties to a millionth and losses, with what only one of both solved; what was refused is left out."""
    lost = float("inf")
    costs = {"a": (1.0, 2.0), "b": (1.0, 1.0 + 1e-9), "c": (2.0, 1.0), "d": (1.0, lost), "e": (lost, 1.0)}
    runs = [record(i, s, 0, c) for i, pair in costs.items() for s, c in zip(("auto", "x"), pair, strict=True)]
    refused = Record(**{**record("f", "x", 0, lost).row(), "status": "refused"})
    found = gaps.duels([*runs, record("f", "auto", 0, 1.0), refused], "auto", ["x"])
    assert found == {"x": (2, 1, ["c", "e"])}
    proven = gaps.proven_gaps(runs, "auto")
    assert proven["a"] == pytest.approx(1.5)
    assert proven["e"] == lost


def test_what_is_known_counts() -> None:
    table = gaps.gap_table([record("a", "x", 0, 2.0)], {"a": Known(1.0, 1.0, "z", "z")})
    assert table["a"]["x"].median == pytest.approx(1.0)
    assert gaps.references([], {"a": Known(1.0, 1.0, "z", "z")})["a"].proven
    assert not gaps.Reference(np.inf, np.inf).proven


def test_texts() -> None:
    assert [markdown.percent(x) for x in (0.0, 0.0013, 0.12, 3.4, np.inf)] == ["0", "0.13%", "12%", "340%", "–"]
    assert markdown.cell_text(gaps.Cell(0.0, 0.1, 0, 3, False, 0)) == "0 / 10%"
    assert markdown.cell_text(gaps.Cell(np.inf, np.inf, 3, 3, False, 0)) == "–"
    assert markdown.cell_text(gaps.Cell(np.inf, np.inf, 0, 1, True, 0)) == ""


@pytest.mark.slow
def test_ranks() -> None:
    """The better solver ranks first; equal ones share their rank and differ by nothing."""
    pytest.importorskip("scipy")
    pytest.importorskip("scikit_posthocs")
    from benchmarks.quality.ranking import average_ranks, rank

    assert average_ranks(np.array([[1.0, 1.0, 2.0]])).tolist() == [1.5, 1.5, 3.0]
    runs = [record(f"i{i}", s, 0, 1.0 + k) for i in range(20) for k, s in enumerate("yxz")]
    ranking = rank(runs, ["x", "y", "z"])
    assert ranking is not None
    assert ranking.solvers == ("y", "x", "z")
    assert ranking.ranks == (1.0, 2.0, 3.0)
    assert ranking.p_value < 1e-6
    assert ranking.critical_difference < 1.0
    alike = rank([record(f"i{i}", s, 0, 1.0) for i in range(5) for s in "xyz"], ["x", "y", "z"])
    assert alike is not None
    assert alike.p_value == 1.0


def drawn(elements: list[str]) -> list[ElementTree.Element]:
    """SVG elements, parsed."""
    return [ElementTree.fromstring(element) for element in elements]


def test_the_page_is_one_file() -> None:
    """No scripts, nothing to load, names escaped; drawings parse, and none takes a name of another one."""
    pytest.importorskip("matplotlib")
    runs = [record(i, s, 0, c) for i in "abcd" for s, c in (("x", 1.0), ("<y>", 1.2))]
    curves = profiles.performance(runs, ["x", "<y>"])
    sections = report._charts({"profile": curves, "time_to_target": curves, "anytime": curves})
    table = page.Section("Tables", "some <text>", table="| a | b |\n| --- | ---: |\n| <i> | 2 |")
    text = page.page("T", [table, *sections])
    assert not re.search(r"<script|@import|\bsrc=|href=\"(?!#|data:)|url\((?!#)", text)
    assert "<td>&lt;i&gt;</td><td>2</td>" in text
    assert "some &lt;text&gt;" in text
    assert "&lt;y&gt;" in text
    assert text.count("<svg") == 3
    names = [node.get("id") for one in drawn([part.drawing for part in sections]) for node in one.iter()]
    given = [name for name in names if name is not None]
    assert len(given) == len(set(given))


def test_charts_are_the_same_again() -> None:
    """Equal curves give equal text, with the axes' names and a line for each curve."""
    pytest.importorskip("matplotlib")
    curves = {"x": [(1.0, 0.5), (2.0, 1.0)], "y": []}
    axes = charts.Axis("seconds", 0.1, 10.0, log=True), charts.Axis("share of runs", 0.0, 1.0)
    one, two = (charts.chart(curves, *axes, stairs=True) for _ in range(2))
    assert one == two
    words = ["".join(node.itertext()) for node in drawn([one])[0].iter("{http://www.w3.org/2000/svg}text")]
    assert {"seconds", "share of runs", "x", "y"} <= set(words)
    assert charts.chart({"x": []}, *axes, stairs=True) == ""


def test_solvers_that_are_not_told_apart_share_a_bar() -> None:
    """Two that are alike and one that is not: one bar, and a rank beside each name."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("scikit_posthocs")
    same, other = 0.8, 0.001
    table = np.array([[1.0, same, other], [same, 1.0, other], [other, other, 1.0]])
    element = charts.differences(Ranking(("a", "b", "c"), (1.25, 1.75, 3.0), 20, 1e-6, 0.7, table))
    words = ["".join(node.itertext()) for node in drawn([element])[0].iter("{http://www.w3.org/2000/svg}text")]
    assert {"a 1.25", "b 1.75", "3.00 c"} <= set(words)
    assert element.count(f"stroke: {charts.BAR}") == 1


def test_a_report_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and curves are written all the same; the page says what is missing."""
    monkeypatch.setattr(charts, "find_spec", lambda _: None)
    runs = [record(i, s, 0, c) for i in "abcd" for s, c in (("x", 1.0), ("y", 1.2), ("z", 1.3))]
    report.write(runs, {}, ["x", "y", "z"], tmp_path)
    text = (tmp_path / "bench.html").read_text(encoding="utf-8")
    assert "<svg" not in text
    assert "llm-placement[bench]" in text
    assert "| a |" in (tmp_path / "gaps.md").read_text(encoding="utf-8")
