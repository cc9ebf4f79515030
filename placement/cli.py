"""The command line: parses, calls the library, shows a table or one JSON document.

Exit codes: 0 solved, 1 error, 2 proven infeasible, 3 not found in the time there was, 130 interrupted. Commands live in
modules with a function ``register(app)``; a module is imported when one of its commands is asked for, or all of them
for ``--help``. Other packages
add commands as entry points of the group ``placement.commands``, each such a function of one command.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import typer

from objectives.caches import ensure_user_name

from .commands.examples import with_examples
from .commands.output import ERROR, INFEASIBLE, INTERRUPTED, NOT_FOUND, print_json, say
from .errors import MOST_TOTAL, InfeasibleError, InputError, NotFoundError, PlacementError, nearest, shortened
from .plan.plan import VERSION
from .plugins import load, names, plugins

# Modules and the commands that each one registers, in the order of --help.
MODULES: dict[str, tuple[str, ...]] = {
    "placement.commands.new": ("new",),
    "placement.commands.check": ("check",),
    "placement.commands.solve": ("solve",),
    "placement.commands.trade": ("trade",),
    "placement.commands.score": ("score",),
    "placement.commands.report": ("report",),
    "placement.commands.show": ("show", "compare"),
    "placement.commands.whatif": ("whatif",),
    "placement.commands.size": ("size",),
    "placement.commands.export": ("export", "import"),
    "placement.commands.tables": ("tables",),
    "placement.commands.catalog": ("catalog",),
    "placement.commands.schema": ("schema",),
    "placement.commands.route": ("route",),
    "placement.commands.petals": ("petals",),
    "placement.commands.run": ("run",),
    "placement.commands.profile": ("profile",),
    "placement.commands.links": ("links",),
    "placement.commands.calibrate": ("calibrate",),
    "placement.commands.replan": ("replan",),
    "placement.commands.simulate": ("simulate",),
}
OWN = tuple(name for group in MODULES.values() for name in group)
GROUP = "placement.commands"
OURS = ("placement", "objectives")
# Registered by the sources of this project, whose modules are not part of an installed wheel.
SOURCES_ONLY = {
    "bench": "the benchmarks are not part of the installed package: get the sources of llm-placement, run "
    "pip install -e '.[bench]' there, and repeat the command"
}


def build_app(wanted: str | None = None) -> typer.Typer:
    """Return the application with the one command that is wanted, or with all of them.

    Parameters
    ----------
    wanted : str or None
        Name of a command; None, or a name that no module has, stands for all.
    """
    app = typer.Typer(rich_markup_mode=None)

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

    owners = [module for module, names in MODULES.items() if wanted in names]
    for module in owners:
        import_module(module).register(app)
    with_examples(app)
    if not owners:
        for module, name in ((module, name) for module, names in MODULES.items() for name in names):
            app.command(name, help=summary_of(module, name))(_nothing)
        _add_plugins(app, wanted)
    return app


def _nothing() -> None:
    """Stands for a command in the list of --help, where none is run."""


def summary_of(module: str, command: str) -> str:
    """The first line of a command's docstring, read off its source: --help imports no command."""
    spec = find_spec(module)
    source = Path(spec.origin or "").read_text(encoding="utf-8") if spec is not None else ""
    tree = ast.parse(source)
    wanted = {command, f"{command}_"}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    return (ast.get_docstring(functions[0] if functions else tree) or "").partition("\n")[0]


def _add_plugins(app: typer.Typer, wanted: str | None) -> None:
    """Add the command of another package that is wanted, or those of all of them."""
    points = plugins(GROUP, OWN)
    there = {name: point for name, point in points.items() if name not in SOURCES_ONLY or _is_there(point.module)}
    if wanted in SOURCES_ONLY and wanted not in there:
        raise InputError(SOURCES_ONLY[wanted])
    for name, point in there.items():
        if wanted in there and name != wanted:
            continue
        try:
            load(point)(app)
        except InputError as error:
            if name == wanted:
                raise
            say(f"warning: {error}")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package around it
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit; a mistake of the user is one clear line, never a traceback."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    as_json = "--json" in arguments
    ensure_user_name()
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets '?', not an error
    try:
        if any("\0" in word for word in arguments):
            raise InputError("expected arguments without null characters")
        return _dispatch(arguments or ["--help"])
    except InfeasibleError as error:
        say("infeasible: " + "\n            ".join(error.reasons))
        if as_json:
            print_json({"status": "infeasible", "reasons": list(error.reasons), "version": VERSION})
        return INFEASIBLE
    except NotFoundError as error:
        say("not found in time: " + "\n                   ".join(error.reasons))
        say("a plan may exist: give more time with --time-limit")
        if as_json:
            best = error.best.to_dict() if error.best is not None else None
            print_json({"status": "not_found", "reasons": list(error.reasons), "best": best, "version": VERSION})
        return NOT_FOUND
    except KeyboardInterrupt:
        return _interrupted(as_json)
    except BrokenPipeError:
        _forget_output()  # whoever read it has left
        return ERROR
    except Exception as error:
        if os.environ.get("PLACEMENT_DEBUG"):
            raise
        if was_interrupted(error):
            return _interrupted(as_json)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF):
            _forget_output()  # where it goes has no room for it
        message = message_of(error)
        say(f"error: {message}")
        if as_json:
            print_json({"status": "error", "message": message, "version": VERSION})
        return ERROR


def _interrupted(as_json: bool) -> int:
    say("interrupted before a plan was found")
    if as_json:
        print_json({"status": "interrupted", "message": "no plan was found", "version": VERSION})
    return INTERRUPTED


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: the import of a library may have made another one of it."""
    seen: set[int] = set()
    while error is not None and not isinstance(error, KeyboardInterrupt) and id(error) not in seen:
        seen.add(id(error))  # an error may have been made the cause of itself
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def _forget_output() -> None:
    """Let what is still to be written go nowhere, so that Python does not complain about it at exit."""
    if isinstance(sys.stdout, _ClosedOutput):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (to the end of the process)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ClosedOutput(io.TextIOBase):
    """Stands for a standard output that was closed before the start: Python has None there, and prints to nobody."""

    def write(self, text: str) -> int:
        """Refuse what somebody wanted to read."""
        raise OSError(errno.EBADF, "is closed", "standard output")


def _dispatch(arguments: list[str]) -> int:
    from typer.main import get_command

    words = completed_words() or arguments
    wanted = next((word for word in words if not word.startswith("-")), None)
    command = get_command(build_app(wanted))
    result = command.main(args=arguments, prog_name="placement", standalone_mode=False)
    return result if isinstance(result, int) else 0


def completed_words() -> list[str]:
    """What a shell wants completed, without the program's name; empty where none asks."""
    if "_PLACEMENT_COMPLETE" not in os.environ:
        return []
    return (os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or "").split()[1:]


def message_of(error: Exception) -> str:
    """One line for people, printable and of bounded length; what is no mistake of theirs says so."""
    if isinstance(error, PlacementError):
        return str(error)
    return shortened(_message_of(error), MOST_TOTAL)


def _message_of(error: Exception) -> str:
    usage = getattr(error, "format_message", None)  # errors of the argument parser, whichever click typer carries
    if usage is not None:
        return _usage(str(usage()))
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError):  # the system refuses: no room, no rights, no descriptors
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(OURS):
        return f"the package '{error.name}', which another one needs, is not installed: pip install {error.name}"
    detail = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"internal error, please report it (PLACEMENT_DEBUG=1 shows where): {detail}"


def _usage(message: str) -> str:
    """Add what --help would tell; offer the nearest command for an unknown one."""
    line = " ".join(message.split()).rstrip(".")
    if line.startswith("No such command"):
        word = line.split("'")[1] if "'" in line else ""
        line = f"no such command '{word}'{nearest(word, names(GROUP, OWN))}"
    return f"{line} (see placement --help)"
