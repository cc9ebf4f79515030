"""Pages of every kind of plan: complete, escaped, at home on a screen and a phone, in light and dark."""

from __future__ import annotations

import json
import re
from html import escape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement import Plan
from placement.cli import run
from placement.commands.report import page_of
from placement.plan.picture import MOST_POINTS, SearchPoint, StageTime, thinned
from placement.report.page import Extras, page
from placement.report.timeline import prompt_visits, visits
from tests.sampled import some_quick

from .chromium import CHROMIUM, looked_at
from .questions import QUESTIONS, plan_of

KINDS = list(QUESTIONS)
RUNS = [
    {"rate_per_s": rate, "figures": {"ttft_s": {"p99": 0.2 * rate, "p50": 0.1}, "goodput_per_s": 0.9 * rate}}
    for rate in (1.0, 2.0, 4.0)
]
ROWS = [{"change": "one more b", "shown": "20 ms", "gain_shown": "12% better", "per_dollar_shown": ""}]


def full_page(name: str) -> str:
    """A page with everything on it."""
    plan = plan_of(name)
    if name != "pipeline":
        return page_of(plan)
    return page(plan, Extras(runs=tuple(RUNS), whatif=tuple(ROWS)))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_page(name: str) -> None:
    """Map, blocks, time, figures and search are there; drawings parse; nothing is loaded, names are escaped."""
    text = full_page(name)
    for title in ("Map", "Blocks and memory", "Time: decoding", "Figures", "Search"):
        assert f"<h2>{title}</h2>" in text
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert "http" not in text
    assert text.count("<script>") == 1
    assert "<m>" not in text
    assert len(text) < 10 * 2**20


@pytest.mark.parametrize("name", ["pipeline", "copies"])
def test_memory_is_split_into_its_uses(name: str) -> None:
    """Weights, caches and what is free are those of the plan, byte for byte; of several pipelines those of all."""
    plan = plan_of(name)
    assert plan.picture is not None
    used = {place.name: place.weights_bytes + place.cache_bytes for place in plan.picture.places}
    assert used == pytest.approx({use.name: use.memory_used_bytes for use in plan.nodes})
    for place in plan.picture.places:
        whole = place.weights_bytes + place.cache_bytes + place.pass_bytes + place.beside_bytes + place.free_bytes
        assert whole == pytest.approx(place.memory_bytes)


def test_stages_add_up_to_the_time_per_token() -> None:
    """With micro-batches of one, stages and hops of the picture are the step that the figures tell."""
    plan = plan_of("front")
    assert plan.picture is not None
    assert plan.figures.micro_batch == 1
    step = sum(stage.decode_s + stage.hop_s for stage in plan.picture.stages)
    assert step == pytest.approx(plan.figures.time_per_token_s)


@pytest.mark.parametrize("name", KINDS)
def test_a_written_plan_draws_the_same_page(name: str) -> None:
    """What the page needs is in the plan's document."""
    plan = plan_of(name)
    read = Plan.from_dict(json.loads(plan.to_json()))
    assert read.picture == plan.picture
    assert page_of(read) == page_of(plan)


def test_plans_without_a_picture_have_a_page_and_get_one_from_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plans of version 0.1 are drawn as far as they tell; with their question, whole; another kind is refused."""
    monkeypatch.chdir(tmp_path)
    data = {key: value for key, value in plan_of("pipeline").to_dict().items() if key != "picture"}
    Path("old.json").write_text(json.dumps(data))
    for name in ("pipeline", "routes"):
        Path(f"{name}.json").write_text(json.dumps(QUESTIONS[name]))
    assert run(["report", "old.json", "--html", "bare.html"]) == 0
    assert "Time: decoding" not in Path("bare.html").read_text()
    assert run(["report", "old.json", "pipeline.json", "--html", "whole.html"]) == 0
    assert "Time: decoding" in Path("whole.html").read_text()
    capsys.readouterr()
    assert run(["report", "old.json", "routes.json"]) == 1
    assert "routes.json: asks for routes, the plan is of the kind 'pipeline'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["front", "routes"])
def test_every_point_of_a_front_has_its_map(name: str) -> None:
    """The plan that is chosen is drawn: its nodes are named with their blocks, and its chain goes through them."""
    plan = plan_of(name)
    assert len(plan.pareto) > 1
    text = page_of(plan)
    for number, point in enumerate(plan.pareto):
        part = text.partition(f'id="choice-{number}"')[2].partition("</pre>")[0]
        wide = re.findall(r"<svg.*?</svg>", part, re.DOTALL)[0]
        for span in point.placement:
            assert f"<title>{escape(span.node)}: blocks {span.start} to {span.stop - 1}" in wide
        assert wide.count('class="chain"') == len({span.node for span in point.placement}) + 1


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize("dark", some_quick([False, True], 1), ids=["light", "dark"])
@pytest.mark.parametrize("width", some_quick([1400, 400], 1))
def test_pages_in_a_browser(width: int, dark: bool, tmp_path: Path) -> None:
    """Nothing overflows or is cut off, the console is silent, and the page follows the colour scheme."""
    seen, console = looked_at({name: full_page(name) for name in KINDS}, width, tmp_path, dark=dark)
    assert console == []
    assert [row.name for row in seen] == KINDS
    assert [(row.name, row.over, row.out, row.cut) for row in seen] == [(name, 0, [], []) for name in KINDS]
    assert {row.ink for row in seen} == {"rgb(236, 236, 241)" if dark else "rgb(28, 29, 33)"}


TIMES = st.floats(0.001, 1.0)
STAGES = st.lists(st.builds(StageTime, st.sampled_from("abc"), TIMES, TIMES, TIMES, TIMES), min_size=1, max_size=5)


@given(STAGES, st.integers(1, 6), st.floats(0.0, 0.95))
def test_nobody_computes_two_things_at_once(stages: list[StageTime], batches: int, overlap: float) -> None:
    """Visits of a node do not overlap, and a micro-batch is at one place at a time, hops included."""
    for found in (visits(stages, batches, until_s=8.0), prompt_visits(stages, batches, overlap)):
        assert found
        for key in ("node", "what"):
            rows: dict[object, list[tuple[float, float]]] = {}
            for visit in found:
                one = stages[visit.stage].node if key == "node" else (visit.what, visit.round)
                rows.setdefault(one, []).append((visit.start_s, visit.start_s + visit.length_s))
            for row in rows.values():
                row.sort()
                assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(row))


def test_a_long_search_is_thinned() -> None:
    """The curve keeps its ends."""
    points = [SearchPoint(float(k), 1.0, None) for k in range(1000)]
    kept = thinned(points)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])
