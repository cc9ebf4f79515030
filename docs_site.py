"""Hooks of mkdocs.yml: pages made of the sources, and links of the repository's pages as links of the site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

import placement
from placement import cli
from placement.commands.examples import EXAMPLES
from placement.commands.schema import Kind, schema_of
from placement.registry import SOLVERS

ROOT = Path(__file__).parent
HOMES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples": "examples.md",
}
BAR = "\\|"
LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in docs/ holds."""
    pages = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "examples.md": "\n".join(examples()),
        "reference/commands.md": "\n".join(commands()),
        "reference/files.md": "\n".join(schemas()),
        "reference/solvers.md": "\n".join(solvers()),
        "reference/python.md": "\n".join(interface()),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links of the site; what the site has not is named without a link."""
    here = page.file.src_uri
    there = {file.src_uri for file in files}
    up = "../" * here.count("/")

    def link(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if target.startswith(("http:", "https:", "#", "mailto:")):
            return match[0]
        path, mark, anchor = target.partition("#")
        outside = here in ("index.md", "changelog.md", "contributing.md")
        bare = path.removeprefix("../").removeprefix("docs/") if outside or path.startswith("../") else path
        home = HOMES.get(bare) or (f"examples.md#{slug(bare)}" if bare.startswith("examples/") else bare)
        known = home.partition("#")[0]
        if known in there:
            return f"[{words}]({up}{home}{mark}{anchor})" if known != here else f"[{words}](#{anchor or ''})"
        return words if (ROOT / bare).exists() or (ROOT / "examples" / bare).exists() else match[0]

    text = LINK.sub(link, markdown)
    return text.replace("](docs/map.svg)", "](map.svg)") if here == "index.md" else text


def slug(path: str) -> str:
    """The anchor of a heading that is a file's name."""
    return re.sub(r"[^\w-]", "", Path(path).name.lower())


def examples() -> Iterator[str]:
    """Every file of examples/, as it is."""
    yield "# Examples\n"
    for path in sorted((ROOT / "examples").glob("*.*")):
        if path.suffix in (".yaml", ".py"):
            kind = {".yaml": "yaml", ".py": "python"}[path.suffix]
            yield f"## {path.name}\n\n```{kind}\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"
    text = (ROOT / "examples" / "runtimes.md").read_text(encoding="utf-8")
    yield "## runtimes.md\n\n" + re.sub(r"^#", "###", text, flags=re.MULTILINE)


def commands() -> Iterator[str]:
    """Arguments and options of every command."""
    yield "# Commands\n"
    for name in cli.OWN:
        command: Any = get_command(cli.build_app(name))
        inner = (getattr(command, "commands", None) or {name: command})[name]
        parts = getattr(inner, "commands", None)
        for part, one in ({f"{name} {key}": value for key, value in parts.items()} if parts else {name: inner}).items():
            yield f"## placement {part}\n\n{plain(one.help or '')}\n"
            if part in EXAMPLES:
                yield f"    {EXAMPLES[part]}\n"
            yield "| option | default | what it is |\n| --- | --- | --- |"
            for option in one.params:
                if option.name == "help":
                    continue
                argument = option.param_type_name == "argument"
                names = [option.metavar or option.name.upper()] if argument else [*option.opts, *option.secondary_opts]
                default = "" if option.default in (None, False, ()) or callable(option.default) else option.default
                words = cell(getattr(option, "help", "") or "")
                yield f"| `{', '.join(names).replace('|', BAR)}` | {cell(str(default))} | {words} |"
            yield ""


def schemas() -> Iterator[str]:
    """Every key of every file."""
    yield "# Keys of files\n\nMade of the schemas by which files are checked; `placement schema KIND` prints them.\n"
    for kind in Kind:
        data = schema_of(kind)
        yield f"## {kind}\n\n{plain(data.get('description', ''))}\n"
        yield from table(data)
        for name, part in sorted((data.get("$defs") or {}).items()):
            yield f"### {kind}: {name}\n\n{plain(part.get('description', ''))}\n"
            yield from table(part)


def table(part: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a mapping."""
    if not part.get("properties"):
        return
    needed = set(part.get("required") or ())
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    for key, entry in part["properties"].items():
        default = "required" if key in needed else json.dumps(entry["default"]) if "default" in entry else ""
        default = "" if default == "null" else default
        yield f"| `{key}` | {cell(type_of(entry))} | {cell(default)} | {cell(entry.get('description', ''))} |"
    yield ""


def type_of(entry: Mapping[str, Any]) -> str:
    """A schema's type in a word or two."""
    if "$ref" in entry:
        return str(entry["$ref"]).rpartition("/")[2]
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(type_of(one) for one in entry["anyOf"] if one.get("type") != "null"))
    if entry.get("enum"):
        return ", ".join(map(str, entry["enum"]))
    if entry.get("type") == "array":
        return f"list of {type_of(entry.get('items') or {})}"
    return str(entry.get("type", "any"))


def solvers() -> Iterator[str]:
    """The one list of solvers."""
    yield "# Solvers\n\nThe list that the command line, the tests and the benchmark use. `auto` is the choice unless"
    yield "there is a reason; [benchmarks](../benchmarks.md) has the measured table.\n"
    yield "| name | what it is | kinds |\n| --- | --- | --- |"
    for name, entry in SOLVERS.items():
        kinds = ", ".join(sorted(getattr(entry, "kinds", ()) or ())) or "all"
        yield f"| `{name}` | {cell(str(getattr(entry, 'summary', '')))} | {kinds} |"


def interface() -> Iterator[str]:
    """The names of the package, from their docstrings."""
    yield "# Python interface\n"
    for name in placement.__all__:
        if name != "__version__":
            found = getattr(placement, name)
            yield f"::: {found.__module__}.{found.__qualname__}\n"


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return plain(text).replace("|", "\\|").replace("\n", " ")


def plain(text: str) -> str:
    """Text without what HTML or Markdown would read."""
    return text.replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*")
