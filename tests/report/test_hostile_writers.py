"""Every writer beside those of runtimes x 30 hostile names, by the notation's real parser; and that none is missing."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from markdown_it import MarkdownIt
from rich.console import Console, RenderableType

import placement
from placement.commands.output import console
from placement.errors import InputError, printable
from placement.export import RUNTIMES
from placement.inventory.found import Found, FoundLink, FoundNode
from placement.inventory.write import cluster_text, nodes_text
from placement.kinds import kind_named
from placement.plan.beside import beside
from placement.plan.compare import Neighbour
from placement.plan.picture import Line, Picture, Place, StageTime
from placement.plan.plan import Plan
from placement.report.formats import FORMATS, writer
from placement.report.neighbours import neighbours_view
from placement.report.page import Command, Extras, page
from placement.report.side import beside_view
from placement.report.tree import map_view
from placement.report.whatif import whatif_view
from placement.whatif.answers import Row, row_of
from tests.export import test_hostile_names as of_runtimes
from tests.export.hostile import HOSTILE, KINDS
from tests.export.test_hostile_names import Shape

from .questions import plan_of

PACKAGE = Path(placement.__file__).parent


def hostile(name: str, kind: str = "pipeline") -> Plan:
    """A plan with a picture whose model, first node, region, host, device, blocks and notes have the name."""
    plan = plan_of(kind)
    first = plan.placement[0].node

    def named(node: str) -> str:
        return name if node == first else node

    picture = plan.picture or Picture()
    places = tuple(
        replace(place, name=named(place.name), region=name, host=name, device=name)
        if k == 0
        else replace(place, name=named(place.name))
        for k, place in enumerate(picture.places)
    )
    lines = tuple(replace(line, source=named(line.source), target=named(line.target)) for line in picture.lines)
    stages = tuple(replace(stage, node=named(stage.node)) for stage in picture.stages)
    return replace(
        plan,
        model=name,
        notes=(name,),
        solver=name,
        block_names=(name, *plan.block_names[1:]),
        placement=tuple(replace(span, node=named(span.node)) for span in plan.placement),
        nodes=tuple(replace(use, name=named(use.name)) for use in plan.nodes),
        chains=tuple(replace(chain, nodes=tuple(map(named, chain.nodes))) for chain in plan.chains),
        bottleneck=replace(plan.bottleneck, where=name),
        picture=replace(picture, places=places, lines=lines, stages=stages),
    )


def read_back(name: str, kind: str = "pipeline") -> Plan | None:
    """The plan as a plan file has it: what is shown was read from one; None where the file is refused, in one line."""
    data = json.loads(hostile(name, kind).to_json())
    if name.isprintable():
        return Plan.from_dict(data)
    with pytest.raises(InputError) as refused:
        Plan.from_dict(data)
    assert str(refused.value).replace("\n", "").isprintable()
    return None


def mermaid(name: str) -> None:
    """Lines have the shapes of a flowchart, and labels no character that ends one."""
    text = writer("mermaid")(hostile(name)).decode()
    assert [shape(line) for line in text.splitlines()] == [
        shape(line) for line in writer("mermaid")(hostile("a")).decode().splitlines()
    ]


def shape(line: str) -> str:
    """A line of Mermaid without what stands in quotation marks."""
    assert line.count('"') % 2 == 0
    assert not re.search(r"[<>`|{}\[\]]", "".join(re.findall(r'"([^"]*)"', line)).replace("<br/>", ""))
    return re.sub(r'"[^"]*"', '""', line)


def dot(name: str) -> None:
    """Without strings, as Graphviz reads them, the graph is that of harmless names; a label holds the very name."""
    found, harmless = (writer("dot")(hostile(n)).decode() for n in (name, "a"))
    quoted = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
    assert quoted.sub('""', found) == quoted.sub('""', harmless)
    labels = [re.sub(r"\\(.)", lambda mark: {"n": "\n"}.get(mark[1], mark[1]), text) for text in quoted.findall(found)]
    assert any(name in label for label in labels)


def svg(name: str) -> None:
    """XML with the elements of harmless names."""
    found, harmless = (ElementTree.fromstring(writer("svg")(hostile(n))) for n in (name, "a"))
    assert {element.tag for element in found.iter()} == {element.tag for element in harmless.iter()}
    assert {key for element in found.iter() for key in element.attrib} == {
        key for element in harmless.iter() for key in element.attrib
    }


def table(name: str) -> None:
    """The cells are the very names, what no terminal may obey written out."""
    rows = list(csv.reader(io.StringIO(writer("csv")(hostile(name)).decode(), newline="")))
    assert len({len(row) for row in rows}) == 1
    assert rows[1][0] == printable(name)


def markdown(name: str) -> None:
    """The document has the parts of harmless names."""
    kinds = [
        [part.type for part in MarkdownIt().enable("table").parse(writer("markdown")(hostile(n)).decode())]
        for n in (name, "a")
    ]
    assert kinds[0] == kinds[1]
    inner = MarkdownIt().parse(writer("markdown")(hostile(name)).decode())
    assert not {"link_open", "html_inline", "image"} & {part.type for each in inner for part in each.children or ()}


def png(name: str) -> None:
    """A picture is drawn."""
    pytest.importorskip("matplotlib")
    assert writer("png")(hostile(name)).startswith(b"\x89PNG")


def shown(view: RenderableType) -> str:
    """What a terminal gets."""
    screen: Console = console()
    screen.file, screen.width = io.StringIO(), 1000
    screen.print(view)
    return screen.file.getvalue()


def printed(view: RenderableType, name: str) -> None:
    """What a terminal gets is printable, and holds the name as it is: no markup is taken out of it."""
    text = shown(view)
    assert all(line.isprintable() for line in text.split("\n"))
    assert name in text


def views(name: str) -> None:
    """Plans of all kinds, maps, two plans side by side, plans beside one, and tables of what-ifs."""
    for kind in ("pipeline", "front", "replicated", "sessions", "routes"):
        plan = read_back(name, kind)
        if plan is not None:
            printed(kind_named(plan.kind).view(plan, ascii_only=False), name)
            printed(map_view(plan), name)
    plan = read_back(name)
    if plan is not None:
        printed(beside_view(beside(plan, plan_of("pipeline")), (name, "b")), name)
        printed(neighbours_view(plan, [Neighbour(name, plan, (), None)]), name)
        printed(whatif_view(plan, [row_of(f"one more {name}", plan, plan), Row(name, None, name)]), name)


def documents(name: str) -> None:
    """JSON documents hold the very name."""
    plan = hostile(name)
    assert json.loads(plan.to_json())["model"] == name
    assert json.loads(json.dumps(beside(plan, plan).to_dict()))
    assert json.loads(json.dumps(row_of(name, plan, plan).to_dict()))["change"] == name


def pages(name: str) -> None:
    """The page, with map, Gantt, commands, what-ifs and choices, has the tags of harmless names; the name is text."""
    shapes = []
    for n in (name, "a"):
        plan = hostile(n)
        what = {"change": n, "shown": n, "gain_shown": n, "per_dollar_shown": n}
        found = Shape()
        found.feed(page(plan, Extras(commands=(Command(n, n),), refused=((n, n),), whatif=(what,))))
        shapes.append(found)
    kinds = [{tag for tag in each.tags if tag[0] not in ("text", "tspan", "title")} for each in shapes]
    assert kinds[0] == kinds[1]
    assert name.replace("\r", "\n") in shapes[0].text.replace("\r", "\n")


def inventory(name: str) -> None:
    """A YAML loader finds the very names of nodes, hosts, regions and models."""
    nodes = tuple(FoundNode(n, (("host", n, n), ("region", n, ""), ("memory", "8 GiB", n))) for n in (name, "other"))
    found = Found(nodes, (FoundLink((name, "other"), "ethernet-1g", remark=name),), notes=(name,))
    data = yaml.safe_load(cluster_text(found, model=name, source=" ".join(name.split())))
    assert data["model"] == name
    assert [node["name"] for node in data["nodes"]] == [name, "other"]
    assert data["nodes"][0]["region"] == data["nodes"][0]["host"] == name
    assert data["network"]["links"][0]["nodes"] == [name, "other"]
    assert yaml.safe_load(nodes_text(nodes))["nodes"][0]["name"] == name


ROWS: dict[str, Callable[[str], None]] = {
    "format mermaid": mermaid,
    "format dot": dot,
    "format svg": svg,
    "format csv": table,
    "format markdown": markdown,
    "format png": png,
    "terminal": views,
    "JSON": documents,
    "page": pages,
    "inventory": inventory,
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_writer(row: str, kind: str) -> None:
    """What comes out has the shape of harmless names."""
    ROWS[row](HOSTILE[kind])


# Who calls the function that writes files: the row that has its notation. "YAML" is PyYAML's writer, whole documents.
FILES = {
    "commands.calibrate": "YAML",
    "commands.export": "runtimes",
    "commands.links": "YAML",
    "commands.new": "inventory",
    "commands.petals": "YAML",
    "commands.report": "page",
    "commands.show": "formats",
    "commands.simulate": "numbers",
    "commands.solve": "page",
    "commands.tables": "JSON",
    "commands.whatif": "JSON",
    "plan.plan": "JSON",
    "profile.node": "YAML",
    "readers.models.remembered": "JSON",
    "report.plot": "picture",
    "run.job": "JSON",
    "run.result": "JSON",
    "simulate.serving.plot": "picture",
}


@cache
def calls() -> dict[str, set[str]]:
    """Names of functions that each module of the package calls."""
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        found[module] = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
    return found


def test_no_writer_of_files_is_missing() -> None:
    """Whoever begins to write a file is put into the table, with a row for its notation."""
    writers = {module for module, names in calls().items() if names & {"write_atomic", "append_line"}}
    assert {module for module in writers if not module.startswith("files")} == set(FILES)


def test_no_format_is_missing() -> None:
    """Each format of `placement show` has its row."""
    assert {f"format {name}" for name in FORMATS} <= set(ROWS)


def test_no_runtime_is_missing() -> None:
    """Each runtime is one of the shell, of Python, of JSON, of TOML, or reads no names of nodes at all."""
    source = Path(of_runtimes.__file__).read_text(encoding="utf-8")
    missing = [name for name in RUNTIMES if f'"{name}"' not in source]
    assert missing == NAMELESS


NAMELESS = ["distributed-llama"]  # it can hold no plan of ours, and writes none


def test_no_view_is_missing() -> None:
    """Each function that makes something for the terminal is called in this file, or is a kind's own."""
    here = Path(__file__).read_text(encoding="utf-8")
    views_ = {
        match[1]
        for room in ("report", "kinds")
        for file in (PACKAGE / room).rglob("*.py")
        for match in re.finditer(r"^def (\w+_view)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {view for view in views_ if f"{view}(" not in here} == {"plan_view", "front_view"}  # of the kinds


def test_the_harmless_plan_is_what_it_says() -> None:
    """The table would be idle if the hostile name stood nowhere."""
    name = "ünit"
    data: dict[str, Any] = json.loads(hostile(name).to_json())
    assert data["model"] == data["placement"][0]["node"] == data["picture"]["places"][0]["region"] == name
    assert isinstance(hostile(name).picture, Picture)
    assert {Line, Place, StageTime} >= {type(part) for part in hostile(name).picture.places}  # type: ignore[union-attr]
