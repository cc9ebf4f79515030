"""The floors of the house: which room may import which, read off all imports, late ones and strings included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
# Each room, and the rooms that it may import besides itself and `objectives`.
BASE = {"errors", "files", "plugins", "quantities"}
DATA = BASE | {"question", "plan"}
LOW = DATA | {"catalog", "readers", "costs", "search", "export"}
MIDDLE = LOW | {"simulate", "petals", "report"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "plugins": {"errors"},
    "quantities": set(),
    "question": BASE,
    "plan": BASE | {"question"},
    "catalog": BASE,
    "search": BASE | {"question"},
    "readers": DATA | {"catalog"},
    "costs": DATA | {"catalog"},
    "export": DATA,
    "simulate": DATA | {"search", "costs"},
    "report": DATA | {"search"},
    "petals": DATA | {"readers", "simulate"},
    "kinds": MIDDLE,
    "run": LOW | {"kinds"},
    "profile": LOW | {"run"},
    "inventory": BASE | {"catalog"},
    "registry": {"errors", "plugins", "search", "kinds"},
    "contest": MIDDLE | {"kinds", "registry"},
    "optimize": MIDDLE | {"kinds", "registry", "contest"},
    "whatif": MIDDLE | {"kinds", "registry", "contest", "optimize"},
    "testing": LOW | {"kinds", "registry", "optimize", "contest"},
    "commands": MIDDLE | {"kinds", "registry", "optimize", "run", "profile", "whatif", "inventory"},
    "cli": {"errors", "plan", "plugins", "commands"},
    "__main__": {"cli"},
    "__init__": MIDDLE | {"kinds", "registry", "optimize", "run"},
}
MOST_LATE = 20
GROUPS = {"placement.kinds"}  # names of entry points that are names of rooms too
TARGET = re.compile(r"^(\.*[A-Za-z_][\w.]*)(?::\w+)?$")


@dataclass(frozen=True)
class Import:
    """One import: from which module, of what, in which line, and whether inside a function."""

    source: str
    target: str
    line: int
    late: bool


def modules() -> dict[str, Path]:
    """All modules of both packages by name."""
    found = {}
    for path in sorted(path for top in ("objectives", "placement") for path in (ROOT / top).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def absolute(name: str, source: str, level: int) -> str:
    """A relative name in full."""
    package = source.split(".") if MODULES[source].name == "__init__.py" else source.split(".")[:-1]
    return ".".join([*package[: len(package) - level + 1], *filter(None, [name])])


def imports(source: str) -> Iterator[Import]:
    """Every import of a module of ours: statements anywhere but for type checkers, and strings that name modules."""
    tree = ast.parse(MODULES[source].read_text(encoding="utf-8"))
    for node, late in walk(tree, late=False):
        for name in names(node, source):
            target = name if name in MODULES else name.rpartition(".")[0]
            if target in MODULES and target != source:
                yield Import(source, target, getattr(node, "lineno", 0), late)


def walk(node: ast.AST, *, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes but those under TYPE_CHECKING, each with whether it is inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, late
        yield from walk(child, late=inside)


def names(node: ast.AST, source: str) -> list[str]:
    """Full names that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = absolute(node.module or "", source, node.level) if node.level else node.module or ""
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := TARGET.match(node.value)):
        name = found[1]
        level = len(name) - len(name.lstrip("."))
        if level:
            return [absolute(name[level:], source, level)] if ":" in node.value else []
        return [name] if name in MODULES and "." in name and name not in GROUPS else []
    return []


def room(module: str) -> str:
    """The room of a module of `placement`; "objectives" for the ground floor."""
    top, *rest = module.split(".")
    return top if top == "objectives" else rest[0] if rest else "__init__"


IMPORTS = [item for source in MODULES for item in imports(source)]


@pytest.mark.parametrize("name", sorted({room(module) for module in MODULES}))
def test_rooms_import_downwards(name: str) -> None:
    """A room imports the rooms below it and nothing else; the ground floor knows nothing of the house."""
    allowed = {"objectives"} if name == "objectives" else ROOMS[name] | {"objectives", name}
    wrong = [f"{i.source}:{i.line} -> {i.target}" for i in IMPORTS if room(i.source) == name]
    targets = [room(i.target) for i in IMPORTS if room(i.source) == name]
    assert [line for line, target in zip(wrong, targets, strict=True) if target not in allowed] == []


def test_the_floors_have_an_order() -> None:
    """No room stands, over others, on itself."""
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph((a, b) for a, rooms in ROOMS.items() for b in rooms))


def test_no_modules_go_round() -> None:
    """Modules import each other in no circle, but for what a problem's portfolio needs when it is asked for."""
    graph = networkx.DiGraph((i.source, i.target) for i in IMPORTS if not i.late)
    assert [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1] == []


def test_late_imports_are_few_and_have_a_reason() -> None:
    """An import of ours inside a function has a comment in its line that says why it is late."""
    late = {(item.source, item.line): item for item in IMPORTS if item.late and not is_string(item)}
    bare = [f"{i.source}:{i.line}" for i in late.values() if "#" not in line_of(i)]
    assert bare == []
    assert len(late) <= MOST_LATE


def line_of(item: Import) -> str:
    """The source line of an import."""
    return MODULES[item.source].read_text(encoding="utf-8").splitlines()[item.line - 1]


def is_string(item: Import) -> bool:
    """Whether a module is named by a string only, as lists do."""
    return "import" not in line_of(item)


def test_few_modules_at_the_door() -> None:
    """At most ten modules lie directly in the package."""
    assert len(list((ROOT / "placement").glob("*.py"))) <= 10


KINDS = "pipeline|replicated|sessions|routes"
KIND_TESTS = re.compile(rf"kind [!=]= .({KINDS})\b|isinstance\([^)]*({KINDS.title()})\w+\)")


def test_only_kinds_and_commands_ask_for_the_kind() -> None:
    """Who stands outside of the kinds does not branch on them."""
    wrong = []
    for module, path in MODULES.items():
        if room(module) in {"kinds", "commands", "objectives", "testing"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if KIND_TESTS.search(line):
                wrong.append(f"{module}:{number}: {line.strip()}")
    assert wrong == []
