"""A kind from elsewhere needs its own folder and one entry point, and no line of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from placement import cli, optimize
from placement.errors import InputError
from placement.kinds import GROUP, KINDS, all_kinds
from tests.entry_points import installed

QUESTION = {"layers": 6, "machines": {"slow": 0.04, "fast": 0.01, "middle": 0.02}}


@pytest.fixture(autouse=True)
def _there() -> Iterator[None]:
    with installed([EntryPoint("toy", "tests.kinds.toy:ENTRY", GROUP)]):
        yield


def test_it_is_in_the_list() -> None:
    assert list(all_kinds()) == [*KINDS, "toy"]


def test_optimize_answers_it() -> None:
    """The quick machine is full, the next one has the rest, and that is proven."""
    result = optimize(None, QUESTION)
    assert {span.node: span.stop - span.start for span in result.plan.placement} == {"fast": 4, "middle": 2}
    assert result.plan.objective.proven_optimal


def test_the_command_line_answers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`solve` and `score` read the file; what the kind cannot do is refused by its name."""
    file, plan = tmp_path / "toy.json", tmp_path / "plan.json"
    file.write_text(json.dumps(QUESTION), encoding="utf-8")
    assert cli.run(["solve", str(file), "--quiet", "--out", str(plan)]) == 0
    assert cli.run(["score", str(file), "--plan", str(plan)]) == 0
    capsys.readouterr()
    assert cli.run(["tables", str(file)]) == 1
    assert "toy" in capsys.readouterr().err


def test_its_options_are_its_own() -> None:
    """An option that the kind does not list is refused with its name."""
    with pytest.raises(InputError, match="--model: does not apply: the file asks for toy"):
        optimize("llama-3.1-8b", QUESTION)
