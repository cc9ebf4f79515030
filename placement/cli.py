"""The command line: parses, calls the library, shows a table or one JSON document.

Exit codes: 0 solved, 1 error, 2 infeasible, 130 interrupted. Commands live in modules with a function
``register(app)``; a module is imported when one of its commands is asked for, or all of them for ``--help``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import typer

from .commands.output import ERROR, INFEASIBLE, INTERRUPTED, print_json, say
from .errors import InfeasibleError, PlacementError, nearest
from .plan.plan import VERSION

# Modules and the commands that each one registers, in the order of --help.
MODULES: dict[str, tuple[str, ...]] = {
    "placement.commands.solve": ("solve",),
    "placement.commands.score": ("score",),
    "placement.commands.export": ("export", "import"),
    "placement.commands.tables": ("tables",),
    "placement.commands.catalog": ("catalog",),
    "placement.commands.schema": ("schema",),
    "placement.commands.bench": ("bench",),
    "placement.commands.route": ("route",),
    "placement.commands.petals": ("petals",),
    "placement.commands.run": ("run",),
    "placement.commands.profile": ("profile",),
    "placement.commands.links": ("links",),
    "placement.commands.calibrate": ("calibrate",),
    "placement.commands.replan": ("replan",),
}


def build_app(wanted: str | None = None) -> typer.Typer:
    """Return the application with the one command that is wanted, or with all of them.

    Parameters
    ----------
    wanted : str or None
        Name of a command; None, or a name that no module has, stands for all.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.callback(invoke_without_command=True)
    def placement(
        context: typer.Context,
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        """Plan which blocks of a large language model run on which of my machines."""
        if version:
            typer.echo(VERSION)
            raise typer.Exit
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    there = [module for module in MODULES if find_spec(module) is not None]
    owners = [module for module in there if wanted in MODULES[module]]
    for module in owners or there:
        import_module(module).register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit; a mistake of the user is one clear line, never a traceback."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    as_json = "--json" in arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets '?', not an error
    try:
        return _dispatch(arguments or ["--help"])
    except InfeasibleError as error:
        say("infeasible: " + "\n            ".join(error.reasons))
        if as_json:
            print_json({"status": "infeasible", "reasons": list(error.reasons), "version": VERSION})
        return INFEASIBLE
    except KeyboardInterrupt:
        say("interrupted before a plan was found")
        if as_json:
            print_json({"status": "interrupted", "message": "no plan was found", "version": VERSION})
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except Exception as error:
        if os.environ.get("PLACEMENT_DEBUG"):
            raise
        message = message_of(error)
        say(f"error: {message}")
        if as_json:
            print_json({"status": "error", "message": message, "version": VERSION})
        return ERROR


def _dispatch(arguments: list[str]) -> int:
    from typer.main import get_command

    wanted = next((word for word in arguments if not word.startswith("-")), None)
    command = get_command(build_app(wanted))
    result = command.main(args=arguments, prog_name="placement", standalone_mode=False)
    return result if isinstance(result, int) else 0


def message_of(error: Exception) -> str:
    """One line for people; what is no mistake of theirs says so."""
    if isinstance(error, PlacementError):
        return str(error)
    usage = getattr(error, "format_message", None)  # errors of the argument parser, whichever click typer carries
    if usage is not None:
        return _usage(str(usage()))
    if isinstance(error, MemoryError):
        return "out of memory"
    detail = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"internal error, please report it (PLACEMENT_DEBUG=1 shows where): {detail}"


def _usage(message: str) -> str:
    """Add what --help would tell; offer the nearest command for an unknown one."""
    line = " ".join(message.split()).rstrip(".")
    if line.startswith("No such command"):
        commands = [name for names in MODULES.values() for name in names]
        word = line.split("'")[1] if "'" in line else ""
        line = f"no such command '{word}'{nearest(word, commands)}"
    return f"{line} (see placement --help)"
