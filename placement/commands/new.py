"""`placement new`: a commented cluster file from this machine or from what other programs print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalog import hardware
from ..catalog.instances import instance
from ..catalog.instances import instances as known_instances
from ..errors import InputError, nearest, shown
from ..files import read_input, read_text, write_atomic
from ..inventory import READERS, read_output
from ..inventory.found import Found, FoundNode, joined
from ..inventory.write import cluster_text, nodes_text
from ..profile.here import this_machine, tool
from .options import Out, Quiet
from .output import SOLVED, ensure_writable, say

MODEL = "llama-3.1-8b"
MOST_BYTES = 4_000_000
SSH_S = 60.0
HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]{0,63}@)?[A-Za-z0-9][\w.-]{0,252}")
TOPOLOGY = ("nvidia-smi", "topo", "-m")
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help=f"What a program printed ('-': standard input): {'; '.join(e.command for e in READERS.values())}. A "
        "topology belongs to the cards of the file before it. Without files: this machine.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(new)


def new(
    files: Sources = None,
    instances: Annotated[
        list[str] | None, typer.Option("--instance", metavar="TYPE", help="An instance type of a cloud: g5.12xlarge.")
    ] = None,
    ssh: Annotated[
        list[str] | None, typer.Option("--ssh", metavar="HOST", help="Ask a host: ssh HOST placement new --node.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="What shall run.", metavar="MODEL")] = None,
    network: Annotated[
        str | None, typer.Option("--network", metavar="LINK", help="Link type between hosts: ethernet-10g, wifi-6, ...")
    ] = None,
    node: Annotated[bool, typer.Option("--node", help="Only the entries of this machine, for `nodes`.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    out: Out = None,
    quiet: Quiet = False,
) -> int:
    """Write a cluster file with comments: from this machine, from outputs of nvidia-smi and others, from instances."""
    ensure_writable(out)
    if out is not None and out.exists() and not force:
        raise InputError("is there already: give --force, or another name", str(out))
    if network is not None:
        hardware.link(network)
    parts = [_of_file(name) for name in files or ()]
    parts += [_of_instance(word) for word in instances or ()]
    parts += [_of_host(host) for host in ssh or ()]
    named = ", ".join(files or ())
    try:
        found = joined(parts) if parts else here()
    except InputError as error:
        raise error.under(named) from None
    if not found.nodes:
        raise InputError("expected cards or machines, got a topology alone: give the list of cards before it", named)
    text = nodes_text(found.nodes) if node else _whole(found, model, network, files, instances, ssh, quiet=quiet)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        say(f"written: {out}; next: placement check {out}")
    return SOLVED


def _whole(
    found: Found,
    model: str | None,
    network: str | None,
    files: list[str] | None,
    instances: list[str] | None,
    ssh: list[str] | None,
    *,
    quiet: bool,
) -> str:
    """The file; what cannot be known is asked where somebody sits at a terminal."""
    hosts = {str(node.get("host") or node.name) for node in found.nodes}
    attended = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
    if attended and not quiet:
        if model is None:
            model = typer.prompt("Which model (placement catalog models)", default=MODEL, err=True)
        if network is None and len(hosts) > 1:
            network = typer.prompt("Link between hosts (placement catalog links)", default="ethernet-1g", err=True)
            hardware.link(network)
    sources = [Path(name).name for name in files or ()] + list(instances or ()) + list(ssh or ())
    text = cluster_text(found, model=model or MODEL, network=network or "", source=", ".join(sources))
    return text if model else text.replace(f"model: {MODEL}", f"model: {MODEL}   # assumed: an example")


def here() -> Found:
    """What this machine has: its cards with their topology, its processor with the main memory."""
    nodes = tuple(_remarked(entry) for entry in this_machine()["nodes"])
    cards = [node for node in nodes if node.get("device") is not None]
    topology = tool(TOPOLOGY) if len(cards) > 1 else ""
    try:
        links = read_output(topology, "here", "nvidia-smi topo -m").topology if topology else ()
        return joined([Found(tuple(cards)), Found(topology=links), Found(tuple(n for n in nodes if n not in cards))])
    except InputError as error:
        return Found(nodes, notes=(f"the topology was not understood: {error.detail}",))


def _remarked(entry: dict[str, Any]) -> FoundNode:
    keys = ((key, value, REMARKS.get(key, "")) for key, value in entry.items() if key != "name")
    return FoundNode(entry["name"], tuple(keys))


REMARKS = {
    "memory": "free now",
    "memory_bandwidth": "measured for a moment",
    "compute": "measured for a moment",
    "overhead": "assumed",
}


def _of_file(name: str) -> Found:
    if name == "-":
        return read_output(read_input(MOST_BYTES, foreign=True), "host", "standard input")
    text = read_text(name, MOST_BYTES, foreign=True)
    host = re.sub(r"[^\w.-]", "-", Path(name).stem)[:40].strip("-.") or "host"
    return read_output(text, host, name)


def _of_instance(word: str) -> Found:
    found = instance(word)
    if found is None:
        raise InputError(
            f"the catalog has no instance type {shown(word)}{nearest(word, known_instances())}", "--instance"
        )
    name = re.sub(r"[^\w-]", "-", found.name)
    return Found(
        (FoundNode(name, (("device", found.name, f"{found.count} x {found.device}"), ("region", found.cloud, ""))),)
    )


def _of_host(host: str) -> Found:
    if not HOST.fullmatch(host):
        raise InputError(f"expected a host name, got {shown(host)}", "--ssh")
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, "placement", "new", "--node"]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SSH_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise InputError("the program ssh is not there", "--ssh") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"no answer within {SSH_S:.0f} s", f"--ssh {host}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        raise InputError(
            f"`placement new --node` failed there: {said or f'exit code {done.returncode}'}", f"--ssh {host}"
        )
    return read_output(done.stdout, host.rpartition("@")[2], f"--ssh {host}")
