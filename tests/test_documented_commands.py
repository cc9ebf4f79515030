"""Every command that the README and the pages print runs as printed, or at least says what its command takes."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from placement import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]
# The example that a page's `cluster.yaml` stands for, and which of its other files there must be beforehand.
CLUSTERS = {
    "replicated.md": ("replicated.yaml", ("plan.json", "running.json")),
    "serving.md": ("home_lab.yaml", ("plan.json",)),
}
OTHERWISE: tuple[str, tuple[str, ...]] = ("home_lab.yaml", ())
# Commands that need a checkpoint, a second host, a GPU or hours; what they do is tested where they live.
ELSEWHERE = frozenset({"profile", "links", "run", "calibrate", "bench"})
BRIEFLY = ("--time-limit", "1")
COMMANDS = (*cli.OWN, *cli.SOURCES_ONLY)
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|\|")


def printed(page: Path) -> list[str]:
    """The commands that a page shows on lines of their own, without their comments, backslashes joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = r"^(?: {4})?(?:\$ )?(?:\w+=\S+ )*((?:placement [a-z]|python -m (?:benchmarks|placement)).*)$"
    lines = re.findall(shown, text, re.MULTILINE)
    return [re.split(r"\s{2,}#", line)[0].strip() for line in lines if line.split()[1] in (*COMMANDS, "-m")]


def inline(page: Path) -> list[str]:
    """The commands between backticks."""
    return re.findall(r"`(placement [a-z][^`]*)`", page.read_text(encoding="utf-8").replace("\n", " "))


def words_of(command: str) -> list[str]:
    return shlex.split(command.replace("\\|", "|"))[1:]


def parsed(words: list[str]) -> None:
    """Let the command line read the words and do nothing: unknown options and commands are errors."""
    command: Any = get_command(cli.build_app(words[0]))
    context = command.make_context("placement", list(words), resilient_parsing=False)
    while (group := getattr(command, "get_command", None)) is not None and words:
        inner = group(context, words[0])
        assert inner is not None, words
        command, words = inner, words[1:]
        if getattr(command, "get_command", None) is None:
            command.make_context(command.name, list(words), parent=context)


def told(module: str) -> str:
    """What a module of the benchmarks prints for --help."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", [module, "--help"])
        patch.delitem(sys.modules, module, raising=False)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not ended.value.code, module
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.exists() and printed(page)], ids=lambda page: page.name
)
def test_commands_on_lines_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one folder; those that need more than this machine are parsed."""
    monkeypatch.chdir(tmp_path)
    example, beforehand = CLUSTERS.get(page.name, OTHERWISE)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copy(ROOT / "examples" / example, "cluster.yaml")
    for name in beforehand:
        assert cli.run(["solve", "cluster.yaml", *BRIEFLY, "--quiet", "--out", name]) == 0
    for line in printed(page):
        words = words_of(line)
        if words[0] == "-m":
            flags = [word for word in words if word.startswith("--")]
            help_text = told(words[1])
            assert not [flag for flag in flags if flag not in help_text], line
        elif words[0] in ELSEWHERE or PLACEHOLDER.search(line) or lacks_a_file(words):
            parsed(words)
        else:
            assert cli.run([*words, *(BRIEFLY if searches(words) else ())]) == 0, line


def lacks_a_file(words: list[str]) -> bool:
    """Whether a command reads a file that a reader of the page has and this test has not, such as a published trace."""
    read = [word for before, word in pairwise(words) if before not in ("--out", "--plot", "--report")]
    return any(word.endswith((".yaml", ".csv")) and not Path(word).exists() for word in read)


def searches(words: list[str]) -> bool:
    """Whether a command takes a time limit that the page leaves at its default."""
    return "--time-limit" not in words and (words[0] in ("solve", "score") or "--nearest" in words)


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists() and inline(page)], ids=lambda page: page.name)
def test_commands_in_sentences_exist(page: Path) -> None:
    """Each command between backticks is one of ours, with options that it has."""
    for command in inline(page):
        try:
            words = words_of(command)
        except ValueError:  # a quotation mark that the sentence leaves open
            pytest.fail(f"{page.name}: {command}")
        options = [word for word in words[1:] if word.startswith("--")]
        assert words[0] in COMMANDS, command
        known = help_of(words[0])
        assert not [option for option in options if option.split("=")[0].split("|")[0] not in known], command


def help_of(name: str) -> str:
    """The help of a command and of its own commands."""
    command = get_command(cli.build_app(name))
    context = command.make_context("placement", [name], resilient_parsing=True)
    found = getattr(command, "commands", {name: command})[name]
    parts = [found, *getattr(found, "commands", {}).values()]
    return "\n".join(part.get_help(context) for part in parts)
