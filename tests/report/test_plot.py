"""Pictures of fronts: what is on them, and what is refused before a search."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from xml.etree import ElementTree

import pytest

from placement.cli import run
from placement.errors import InputError
from placement.plan.plan import Figures, FrontPoint
from placement.report import plot

EXAMPLE = Path(__file__).parents[2] / "examples" / "petals_swarm.yaml"
FRONT = tuple(
    FrontPoint({}, (), Figures(time_per_token_s=seconds, tokens_per_s=rate, price_per_token=price, survival=1 - price))
    for seconds, rate, price in ((0.1, 9.0, 0.1), (0.2, 12.5, 0.3), (0.4, 25.0, 0.2))
)
TAG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> list[str]:
    """The texts of an SVG file."""
    return ["".join(text.itertext()) for text in ElementTree.parse(path).iter(f"{TAG}text")]


@pytest.mark.parametrize(("third", "label"), [(None, ""), *plot.THIRDS.items()])
def test_axes_say_what_they_are(tmp_path: Path, third: str | None, label: str) -> None:
    """With their units, the third objective too; the legend tells the exact front from what was found."""
    path = tmp_path / "front.svg"
    plot.draw(path, FRONT, FRONT[:2], third=third)
    found = words(path)
    wanted = {"latency, ms per token", "throughput, tokens/s", "exact front", "NSGA-II", label or "exact front"}
    assert wanted <= set(found)


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG\r\n"), ("a.PDF", b"%PDF-"), ("a.svg", b"<?xml")])
def test_the_ending_is_the_format_and_the_same_front_the_same_file(tmp_path: Path, name: str, head: bytes) -> None:
    """No date and no random name is in it, and nothing else is left in the folder."""
    path = tmp_path / name
    plot.draw(path, FRONT)
    first = path.read_bytes()
    assert first.startswith(head)
    plot.draw(path, FRONT)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "part"), [("a.pgn", "did you mean 'png'"), ("a", "ends in one of .png, .svg, .pdf")])
def test_other_endings_are_refused(name: str, part: str) -> None:
    """One line with the file's name."""
    with pytest.raises(InputError, match=part) as error:
        plot.ensure_drawable(Path(name))
    assert str(error.value).startswith(f"{name}: ")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The extra is named, before the search."""
    there = util.find_spec
    monkeypatch.setattr(plot, "find_spec", lambda name: None if name == "matplotlib" else there(name))
    monkeypatch.setattr("placement.commands.route.answer", lambda *_: pytest.fail("it searches"))
    assert run(["route", str(EXAMPLE), "--plot", "front.png"]) == 1
    assert "pip install 'llm-placement[plot]'" in capsys.readouterr().err
