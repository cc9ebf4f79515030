"""Every writer x 30 hostile names: what comes out has the shape of harmless names, by the notation's real parser."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from placement.errors import InputError
from placement.export import make_runtime
from placement.export.api import export_plan
from placement.export.base import Source
from placement.plan.plan import Figures, Plan
from placement.report.page import page

from .hostile import HOSTILE, KINDS
from .plans import from_owners

SHELL = ["vllm", "sglang", "llama.cpp", "prima.cpp", "parallax", "megatron", "petals"]
PROGRAMS = ("python", "vllm", "llama-server", "llama-cli", "torchrun", "ggml-rpc-server")
# Each program writes its words with a zero between them, and an empty word at its end; nothing else can be found.
STUBS = "PATH=/nonexistent\n" + "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\" ''; }}\n" for name in PROGRAMS)


def plan_of(name: str) -> Plan:
    """A ring of two nodes that all runtimes but those of runs hold; the first has the hostile name."""
    return from_owners([name, name, name, "other", "other", "other", "other"])


def exported(runtime: str, name: str, model: str = "m", style: str = "") -> str:
    """The text of a runtime whose rules the plan suits."""
    plan = plan_of(name)
    if runtime == "prima.cpp":
        plan = from_owners(["other", name, name, name, "other", "other", "other"])
    return export_plan(plan, runtime, model=model, style=style).text


def model_of(name: str) -> str | None:
    """The name as that of a model; None where it is refused."""
    if name.isprintable():
        return name
    with pytest.raises(InputError) as refused:
        export_plan(plan_of("a"), "vllm", model=name)
    assert str(refused.value).isprintable()
    return None


@pytest.mark.parametrize("runtime", SHELL)
@pytest.mark.parametrize("kind", KINDS)
def test_shell(runtime: str, kind: str, tmp_path: Path) -> None:
    """Bash reads it, runs the same programs as for harmless names, and hands the model's name over as it is."""
    name = HOSTILE[kind]
    text, harmless = exported(runtime, name, model_of(name) or "m"), exported(runtime, "a", "m")
    assert len(text.splitlines()) == len(harmless.splitlines())
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")

    def words(script: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc"],
            input=STUBS + script,
            text=True,
            capture_output=True,
            check=True,
            cwd=tmp_path,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout.split("\0")

    told, expected = words(text), words(harmless)
    assert list(tmp_path.iterdir()) == []
    assert len(told) == len(expected)
    assert told.count(model_of(name) or "m") >= expected.count("m")


@pytest.mark.parametrize("runtime", ["deepspeed", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_python(runtime: str, kind: str) -> None:
    """The program is that of harmless names; names are comments only."""
    found = ast.dump(ast.parse(exported(runtime, HOSTILE[kind], model_of(HOSTILE[kind]) or "m")))
    assert found == ast.dump(ast.parse(exported(runtime, "a")))


@pytest.mark.parametrize("kind", KINDS)
def test_toml(kind: str) -> None:
    """TOML reads the same table."""
    assert tomllib.loads(exported("torchtitan", HOSTILE[kind])) == tomllib.loads(exported("torchtitan", "a"))


@pytest.mark.parametrize("kind", KINDS)
def test_json(kind: str) -> None:
    """JSON holds the very names."""
    name = HOSTILE[kind]
    assigned = json.loads(exported("exo", name, model_of(name) or "m"))["shardAssignments"]
    assert list(assigned["nodeToRunner"]) == [name, "other"]
    assert assigned["modelId"] == (model_of(name) or "m")
    assert set(json.loads(exported("accelerate", name)).values()) == set(
        json.loads(exported("accelerate", "a")).values()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_compose(kind: str) -> None:
    """A YAML loader finds two services; with variables put in, as compose does, the model's name is as it was."""
    name = HOSTILE[kind]
    services = yaml.safe_load(exported("petals", name, model_of(name) or "m", "compose"))["services"]
    assert len(services) == 2
    for service in services.values():
        assert set(service) == {"image", "command", "network_mode", "volumes", "restart", "deploy"}
        assert re.sub(r"\$\$", "$", service["command"][3]) == (model_of(name) or "m")
        assert not re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", service["command"][3])


@pytest.mark.parametrize("kind", KINDS)
def test_systemd(kind: str) -> None:
    """Units have their lines and no others; the command has its words, by the rules of systemd.syntax(7)."""
    name = HOSTILE[kind]
    text, harmless = (exported("petals", n, model_of(n) or "m", "systemd").splitlines() for n in (name, "a"))
    assert [line.partition("=")[0] for line in text if line[:1] != "#"] == [
        line.partition("=")[0] for line in harmless if line[:1] != "#"
    ]
    assert not any(line.endswith("\\") for line in text)
    starts = [line.removeprefix("ExecStart=") for line in text if line.startswith("ExecStart=")]
    assert [systemd_words(line)[4] for line in starts] == [model_of(name) or "m"] * 2


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_reads_all_units(tmp_path: Path) -> None:
    """Its own reader has nothing to say about any of them."""
    for kind, name in HOSTILE.items():
        text = exported("petals", name, model_of(name) or "m", "systemd")
        unit = text.split("[Unit]")[1].rpartition("# /etc/systemd")[0]
        (tmp_path / f"{kind.replace(' ', '-')}.service").write_text(f"[Unit]{unit}")
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def systemd_words(line: str) -> list[str]:
    """Words of a command: blanks part them; in double quotes backslashes escape; %% and $$ are signs."""
    escape = {"\\": "\\", '"': '"'}
    found = [quoted or plain for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)]
    words = [re.sub(r"\\(.)", lambda match: escape[match[1]], word) for word in found]
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


class Shape(HTMLParser):
    """Tags with the names of their attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def shape_of(name: str) -> Shape:
    """The page of a plan whose node, model and notes have the name."""
    names = ("time_per_token_s", "ttft_s", "tokens_per_s", "request_time_s", "price_per_hour", "energy_per_token_j")
    plan = replace(
        plan_of(name), model=name, notes=(name,), solver=name, figures=Figures(dict.fromkeys(names, 1.0), in_flight=1)
    )
    shape = Shape()
    shape.feed(page(plan))
    return shape


@pytest.mark.parametrize("kind", KINDS)
def test_html(kind: str) -> None:
    """The page has the tags and attributes of harmless names, and shows the name as text."""
    name = HOSTILE[kind]
    found = shape_of(name)
    # A name inside a bar of a drawing is shown where it fits.
    assert [tag for tag in found.tags if tag != ("text", ("x", "y", "style"))] == [
        tag for tag in shape_of("a").tags if tag != ("text", ("x", "y", "style"))
    ]
    assert name.replace("\r", "\n") in found.text.replace("\r", "\n")


@pytest.mark.parametrize("runtime", [*SHELL, "deepspeed", "torch", "torchtitan"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_read_back(runtime: str, kind: str) -> None:
    """The comment that names the nodes gives the very names back."""
    text = exported(runtime, HOSTILE[kind])
    spans = make_runtime(runtime).read(Source(text, 5))
    assert {span.node for span in spans} == {HOSTILE[kind], "other"}


@pytest.mark.parametrize("word", ["-rf", "--help", "", "a b", "a;b", "$(a)", "a\nb", "x" * 300, "a,b", "a'b", "ä"])
def test_addresses(word: str) -> None:
    """What is no address and no device is refused, one line."""
    with pytest.raises(InputError, match="expected an address or a device"):
        export_plan(plan_of("a"), "llama.cpp", at={"a": word})


@pytest.mark.parametrize("runtime", ["llama.cpp", "deepspeed"])
def test_two_names_of_one_host(runtime: str) -> None:
    """Nodes whose names would make one host name need their addresses."""
    plan = from_owners(["a b", "a b", "a b", "a-b", "a-b", "a-b", "a-b"])
    with pytest.raises(InputError, match="would both be the host a-b"):
        export_plan(plan, runtime)
    assert export_plan(plan, runtime, at={"a b": "10.0.0.1:50052"}).text


def test_a_model_is_no_option() -> None:
    """A name that begins with a dash would be read as an option."""
    with pytest.raises(InputError, match="does not begin with '-'"):
        export_plan(plan_of("a"), "vllm", model="--trust-remote-code")
