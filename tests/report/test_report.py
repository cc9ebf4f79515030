"""Reports: numbers for people, the table at 80 columns, the page."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from objectives.combine import REPLICATED, Objective
from placement import Plan, optimize
from placement.commands.output import console
from placement.optimize import Result, judge
from placement.plan.compare import compare, parse_spans
from placement.plan.plan import Limiter, ObjectiveValue
from placement.quantities import bar, between, percent, quantity, scaled, seconds, size
from placement.report.page import page
from placement.report.progress import describe
from placement.report.table import interval, objective_line, plan_view
from placement.search.stop import Progress


@pytest.fixture(scope="module")
def result() -> Result:
    """A result with nodes and a model whose names are unkind."""
    blocks = [
        {"name": f"a-rather-long-name-of-a-block-{k}<&>", "weights": "300 MiB", "activation_per_token": "4 KiB"}
        for k in range(8)
    ]
    nodes = [
        {"name": f"a-node-with-a-very-long-name-indeed-{k}<b>", "memory": "1 GiB", "decode_seconds_per_block": 0.01}
        for k in range(4)
    ]
    network = {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}}}
    return optimize(
        None,
        {
            "model": {"name": "<m>", "blocks": blocks, "input_per_token": "4 KiB"},
            "nodes": nodes,
            "network": network,
        },
        time_limit=1,
    )


def printed(plan: Plan, width: int, ascii_only: bool = False) -> str:
    """The table as text."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(plan_view(plan, ascii_only=ascii_only))
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size(24 * 2**30), "24 GiB"),
        (size(1000 * 2**20), "1000 MiB"),
        (size(12), "12 B"),
        (size(0), "0 B"),
        (seconds(0.0123), "12.3 ms"),
        (seconds(3600), "3600 s"),
        (seconds(0), "0 s"),
        (scaled(1.01e12, "B/s"), "1.01 TB/s"),
        (percent(0.0213), "2.1%"),
        (percent(0.00021), "0.021%"),
        (percent(3), "300%"),
        (quantity(68.234, "tokens/s"), "68.23 tokens/s"),
        (quantity(0.5, ""), "0.5"),
        (quantity(3.0, "nodes"), "3 nodes"),
        (quantity(0.0123, "s/token"), "12.3 ms"),
        (quantity(2.0**31, "B"), "2 GiB"),
        (quantity(0.5, "probability"), "0.5"),
        (bar(0.5, 4), "██░░"),
        (bar(2.0, 3), "███"),
        (bar(0.001, 3), "█░░"),
        (bar(0.0, 2, ascii_only=True), ".."),
    ],
)
def test_numbers_for_people(text: str, expected: str) -> None:
    """Three digits and a fitting unit."""
    assert text == expected


@pytest.mark.parametrize("width", [80, 120])
def test_table_keeps_to_the_width(result: Result, width: int) -> None:
    """Long names fold; nothing is cut off on the right, and the memory of every node is there."""
    lines = printed(result.plan, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "\n".join(lines).count("GiB") + "\n".join(lines).count("MiB") >= len(result.plan.placement)
    assert "a-node-with-a-very-long" in "".join(lines)


def test_table_without_unicode(result: Result) -> None:
    """Bars are plain characters where the terminal has no others."""
    assert printed(result.plan, 80, ascii_only=True).isascii()


def test_names_are_no_markup(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons in names are shown as they are."""
    name = "[/bold][red] :smile:"
    placement = tuple(replace(span, node=name) for span in result.plan.placement[:1])
    plan = replace(result.plan, placement=placement, model=name, notes=(name,), bottleneck=Limiter("node", name, 1.0))
    console().print(plan_view(plan))
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count(name) == 4


def test_page_is_well_formed(result: Result) -> None:
    """Drawings parse, names are escaped."""
    text = page(result.plan)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 4
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "<m>" not in text
    assert "<b>" not in text


def test_intervals_are_shown(result: Result) -> None:
    """The page and the table have low and high of a predicted figure behind it; a price has none."""
    plan = result.plan
    assert interval(plan, "price") == ""
    words = interval(plan, "latency")
    low, high = plan.intervals["time_per_token_s"]
    assert words == f" ({between(low, high, 's')})"
    assert words.strip(" ()") in page(result.plan)


def test_two_values_share_their_unit() -> None:
    """A prefix that both ends have is said once."""
    assert between(0.0483, 0.0706, "s") == "48.3 to 70.6 ms"
    assert between(0.418, 1.22, "s/token") == "418 ms to 1.22 s"
    assert between(1.5, 2.5, "tokens/s") == "1.5 to 2.5 tokens/s"


def test_lines_on_the_objective() -> None:
    """The gap is said from the side where the bound is."""
    value = ObjectiveValue("throughput", 95.0, "tokens/s", "maximize", 100.0, 0.0526, False)
    assert objective_line(value) == "throughput 95 tokens/s, at most 5% below the proven bound 100 tokens/s"
    value = ObjectiveValue("latency", 0.11, "s/token", "minimize", 0.1, 0.1, False)
    assert objective_line(value) == "latency 110 ms, at most 10% above the proven bound 100 ms"
    assert objective_line(replace(value, proven_optimal=True)).endswith("proven optimal")
    assert objective_line(replace(value, bound=None, gap=None)).endswith("no bound is known")


def test_progress_in_words() -> None:
    """The bar speaks in the units of the objective."""
    progress = Progress(1.0, 12_345, 0.02, 0.016, 0.0, 0.1)
    assert describe(Objective({"throughput": 1.0}), progress) == "best 50 tokens/s, gap 25%, 12,345 placements"
    assert "nothing fits yet" in describe(Objective(), replace(progress, violation=1.0))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flow", "50 tokens/s"),
        ("best_chain", "20 ms"),
        ("replicas", "50 holders"),
        ("survival", "0.98"),
        ("moved_bytes", "2 GiB"),
    ],
)
def test_progress_of_replicated_placements_has_units(name: str, words: str) -> None:
    """Terms that only replicated placements have are told in the units of their own list."""
    progress = Progress(1.0, 12_345, 2.0**31 if name == "moved_bytes" else 0.02, 0.016, 0.0, 0.1)
    assert describe(Objective({name: 1.0}, terms=REPLICATED), progress).startswith(f"best {words}, ")


def test_progress_of_a_front_is_that_of_its_first_objective() -> None:
    """Several objectives: the value that the search is followed by has the first one's unit."""
    progress = Progress(1.0, 12_345, 0.02, -math.inf, 0.0, 0.1)
    assert describe(Objective.of("price,latency"), progress) == "best 0.02 $/h, 12,345 placements"


def test_a_plan_has_no_gap_to_itself(result: Result) -> None:
    """Comparing the best plan with itself finds nothing."""
    scored = compare(result.plan, (), result.plan)
    assert scored.gap_to_best == 0
    assert scored.why == ()


def test_judge_agrees_with_the_search(tiny_request: object) -> None:
    """The figures of given spans are those that a search would report."""
    found = optimize(None, tiny_request, time_limit=1).plan
    spans = ",".join(f"{span.node}={span.start}:{span.stop}" for span in found.placement)
    plan, broken = judge(None, tiny_request, parse_spans(spans))
    assert broken == ()
    assert plan.figures == found.figures


@pytest.fixture
def tiny_request() -> object:
    """A request of two nodes."""
    from placement.readers.cluster.read import read_request

    node = {"memory": "2 GiB", "decode_seconds_per_block": 0.01}
    return read_request(
        {
            "model": {
                "name": "m",
                "blocks": [
                    {
                        "name": "layer",
                        "repeat": 6,
                        "weights": "400 MiB",
                        "kv_per_token": "1 KiB",
                        "activation_per_token": "8 KiB",
                    }
                ],
            },
            "nodes": [{"name": "a", **node}, {"name": "b", **node}],
            "network": {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}}},
        }
    )
