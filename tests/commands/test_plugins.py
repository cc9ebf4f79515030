"""Commands of other packages, and the one whose sources an installed package lacks."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import typer

from placement import cli
from tests.entry_points import installed, of_the_sources

GROUP = "placement.commands"
HELLO = EntryPoint("hello", f"{__name__}:register", GROUP)
BROKEN = EntryPoint("broken", "no_such_package.commands:register", GROUP)


def register(app: typer.Typer) -> None:
    """Add a command that says hello."""

    @app.command()
    def hello() -> None:
        """Say hello."""
        typer.echo("hello")


def test_a_plugin_adds_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It runs, stands in --help, and is offered for a word that is nearly its name."""
    with installed([HELLO]):
        assert cli.run(["hello"]) == 0
        assert capsys.readouterr().out == "hello\n"
        assert cli.run(["--help"]) == 0
        assert "Say hello." in capsys.readouterr().out
        assert cli.run(["helo"]) == 1
        assert "did you mean 'hello'?" in capsys.readouterr().err


def test_a_broken_plugin_is_in_nobodys_way(capsys: pytest.CaptureFixture[str]) -> None:
    """Others run without a word; --help names it; asked for, it is one line that says what failed."""
    with installed([BROKEN, HELLO]):
        assert cli.run(["hello"]) == 0
        assert capsys.readouterr().err == ""
        assert cli.run(["--help"]) == 0
        text = capsys.readouterr()
        assert "the plugin 'broken' (no_such_package.commands:register) failed to load" in text.err
        assert "hello" in text.out
        assert cli.run(["broken"]) == 1
        assert "'broken'" in capsys.readouterr().err


def test_names_of_ours_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """A plugin cannot put itself in the place of a command of the package."""
    point = EntryPoint("solve", f"{__name__}:register", GROUP)
    with installed([point]), pytest.warns(match="'solve' .* is already taken"):
        assert cli.run(["--help"]) == 0
    assert "Say hello." not in capsys.readouterr().out


@pytest.mark.parametrize("points", [[], [EntryPoint("bench", "no_such_package.quality.command:register", GROUP)]])
def test_bench_without_the_sources(points: list[EntryPoint], capsys: pytest.CaptureFixture[str]) -> None:
    """Installed alone, the package does not offer the command, and says how to get it when asked for it."""
    with installed(points):
        assert cli.run(["--help"]) == 0
        text = capsys.readouterr()
        assert "bench" not in text.out + text.err
        assert cli.run(["bench", "--quick"]) == 1
        assert "pip install -e '.[bench]'" in capsys.readouterr().err


def test_bench_of_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """What pyproject.toml registers is a command."""
    with installed(of_the_sources()):
        assert cli.run(["--help"]) == 0
        assert "bench" in capsys.readouterr().out
        assert cli.run(["bench", "--help"]) == 0
        assert "--report-only" in capsys.readouterr().out
