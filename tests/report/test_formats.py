"""Plans in the notations of others, and two plans side by side."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from placement.cli import run
from placement.errors import InputError
from placement.plan.beside import beside
from placement.plan.plan import PlacedSpan
from placement.report.formats import FORMATS, writer

from .questions import QUESTIONS, plan_of


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("notation", FORMATS)
def test_every_kind_in_every_notation(notation: str, name: str) -> None:
    """Something is written for each, the same twice."""
    if notation == "png":
        pytest.importorskip("matplotlib")
    plan = plan_of(name)
    text = writer(notation)(plan)
    assert len(text) > 100
    assert text == writer(notation)(plan)


def test_svg_is_a_drawing_of_its_own() -> None:
    """It parses as XML with its name space, and names are escaped."""
    root = ElementTree.fromstring(writer("svg")(plan_of("pipeline")))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}


def test_names_break_no_notation() -> None:
    """Quotation marks, brackets, pipes and line ends of other notations stay inside of labels."""
    wicked = 'a"]; subgraph x[|<b>`$y$\\'
    plan = plan_of("pipeline")
    spans = tuple(replace(span, node=wicked) for span in plan.placement)
    plan = replace(plan, placement=spans, model=wicked, picture=None, nodes=())
    diagram = writer("mermaid")(plan).decode()
    assert all(
        re.fullmatch(r'\s*(n\d+|client)(\["[^"<>`|]*"\]|\(\["client"\]\))', line.replace("<br/>", " "))
        for line in diagram.splitlines()
        if "[" in line
    )
    graph = writer("dot")(plan).decode()
    assert graph.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 0
    rows = list(csv.reader(io.StringIO(writer("csv")(plan).decode())))
    assert rows[1][0] == wicked
    assert len({len(row) for row in rows}) == 1
    table = [line for line in writer("markdown")(plan).decode().splitlines() if line.startswith("| 1 |")]
    assert table[0].replace("\\|", "").count("|") == 4
    pytest.importorskip("matplotlib")
    assert writer("png")(plan).startswith(b"\x89PNG")


def test_a_plan_beside_itself_moves_nothing() -> None:
    """No loads, no differences."""
    plan = plan_of("pipeline")
    found = beside(plan, plan)
    assert found.loads == ()
    assert found.moved_bytes == 0
    assert all(one == other for one, other in found.figures.values())


def test_moved_bytes_are_those_of_the_blocks_that_a_node_lacked() -> None:
    """One block of 400 MiB goes from one node to another: one load, and one block that is dropped."""
    plan = plan_of("pipeline")
    first, second, *rest = sorted(plan.placement, key=lambda span: span.start)
    later = (
        PlacedSpan(first.node, first.start, first.stop - 1),
        PlacedSpan(second.node, second.start - 1, second.stop),
        *rest,
    )
    found = beside(plan, replace(plan, placement=later))
    assert [(load.node, load.blocks) for load in found.loads] == [(second.node, (first.stop - 1,))]
    assert found.moved_bytes == pytest.approx(400 * 2**20)
    assert found.dropped == {first.node: 1}


def test_plans_of_different_models_are_not_compared() -> None:
    """The numbers of blocks are named."""
    with pytest.raises(InputError, match="one of 8 blocks and one of 12"):
        beside(plan_of("pipeline"), plan_of("sessions"))


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, files, JSON and refusals."""
    monkeypatch.chdir(tmp_path)
    for name in ("pipeline", "sessions"):
        plan_of(name).save(f"{name}.json")
        assert run(["show", f"{name}.json"]) == 0
        shown = capsys.readouterr().out
        assert "map" in shown
        assert "decoding" in shown
    assert run(["show", "pipeline.json", "--format", "svg", "--out", "map.svg"]) == 0
    assert Path("map.svg").read_text().startswith("<svg")
    assert run(["show", "pipeline.json", "--format", "mermade"]) == 1
    assert "did you mean 'mermaid'" in capsys.readouterr().err
    assert run(["compare", "pipeline.json", "pipeline.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moved_blocks"] == 0
    assert run(["compare", "pipeline.json", "pipeline.json"]) == 0
    assert "nothing has to be loaded" in capsys.readouterr().out


def test_a_plan_that_lacks_a_figure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the figure; pages and notations do without it."""
    monkeypatch.chdir(tmp_path)
    data = plan_of("pipeline").to_dict()
    del data["figures"]["tokens_per_s"]
    Path("plan.json").write_text(json.dumps(data))
    assert run(["show", "plan.json"]) == 1
    assert "this plan has no figure 'tokens_per_s'" in capsys.readouterr().err
    assert run(["report", "plan.json", "--html", "page.html"]) == 0
    assert run(["show", "plan.json", "--format", "markdown"]) == 0


def test_a_picture_of_odd_numbers_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing hangs or breaks on counts and seconds that no machine has."""
    monkeypatch.chdir(tmp_path)
    data = plan_of("pipeline").to_dict()
    for batches, seconds in ((0, 1e-300), (2**53, 1e30), (3, 0.0)):
        data["picture"] |= {"batches": batches, "prompt_overlap": 1.0}
        data["picture"]["stages"][0]["decode_s"] = seconds
        Path("plan.json").write_text(json.dumps(data))
        assert run(["report", "plan.json", "--html", "page.html"]) == 0
        assert run(["show", "plan.json"]) == 0
