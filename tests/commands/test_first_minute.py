"""What a newcomer meets: examples in every help, completion, output without colours and in narrow terminals."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from placement import cli
from placement.commands.examples import EXAMPLES
from placement.report.table import plan_view
from placement.report.tree import map_view
from tests.report.questions import QUESTIONS, plan_of

from .conftest import Cli


def commands() -> list[str]:
    """Names of all commands of ours, those within groups with the group's name before them."""
    found = []
    for name in cli.OWN:
        command: Any = get_command(cli.build_app(name))
        inner = command.commands[name] if getattr(command, "commands", None) else command
        found.append(name)
        found += [f"{name} {part}" for part in getattr(inner, "commands", {})]
    return found


def test_every_command_has_an_example() -> None:
    """None is missing, and there is none of a command that is not there."""
    assert sorted(EXAMPLES) == sorted(commands())


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_in_the_help_and_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help ends with the example, whose options the command has."""
    words = shlex.split(EXAMPLES[name])[1:]
    assert words[0] == name.split()[0]
    if name != "petals":  # a group shows its commands
        assert cli.run([*name.split(), "--help"]) == 0
        assert " ".join(EXAMPLES[name].split()) in " ".join(capsys.readouterr().out.split())
    command: Any = get_command(cli.build_app(words[0]))
    context = command.make_context("placement", list(words))
    while words and getattr(command, "get_command", None) is not None:
        command, words = command.get_command(context, words[0]), words[1:]
    command.make_context(command.name, list(words), parent=context)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("placement so", "solve"), ("placement solve --time", "--time-limit"), ("placement petals adv", "advise")],
)
def test_shells_complete(process: Cli, typed: str, expected: str) -> None:
    """Commands, options of a command, commands of a group."""
    words = typed.split()
    done = process(COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1), _PLACEMENT_COMPLETE="complete_bash")
    assert expected in done.stdout.split()


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("width", [40, 60])
def test_narrow_terminals_without_colours(name: str, width: int) -> None:
    """Nothing is wider than the terminal, there are no escape codes, and marks are ASCII where nothing else is."""
    from rich.console import Console

    out = io.StringIO()
    screen = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
    screen.print(map_view(plan_of(name), ascii_only=True))
    if name == "pipeline":
        screen.print(plan_view(plan_of(name), ascii_only=True))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_output_that_is_no_terminal_is_plain(cli: Cli, tiny: Path) -> None:
    """No colours, no bar, no question in a pipe, whatever NO_COLOR says."""
    done = cli("solve", tiny, "--time-limit", 1, NO_COLOR="")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    done = cli("new", NO_COLOR="")
    assert done.returncode == 0
    assert "assumed: an example" in done.stdout
