"""`placement links`: latency and bandwidth between hosts, or between the processes of a torchrun launch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from ..errors import InputError, printable
from ..files import read_text, write_atomic
from .options import Json, Out
from .output import SOLVED, ensure_writable, print_json, say

if TYPE_CHECKING:
    from ..profile.links import LinkProfile

LOOPBACK = "127.0.0.1"
Serve = Annotated[bool, typer.Option("--serve", help="Answer measurements of links.")]
Bind = Annotated[str, typer.Option("--bind", help="Address to serve on.")]
Port = Annotated[int, typer.Option("--port", help="Port to serve on; 0: a free one.", min=0, max=65535)]
Peers = Annotated[str, typer.Option("--peers", metavar="HOST:PORT,...", help="Measure links to servers.")]
AllPairs = Annotated[bool, typer.Option("--all-pairs", help="All pairs of processes of a torchrun launch.")]
TOKEN = "PLACEMENT_TOKEN"  # an environment variable: arguments of a process can be read by everybody on its host
LONGEST_TOKEN = 4096  # bytes of a file with one
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help=f"Holds the token that both sides know, instead of {TOKEN}."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(links)


def links(
    serve: Serve = False,
    bind: Bind = LOOPBACK,
    port: Port = 0,
    peers: Peers = "",
    all_pairs: AllPairs = False,
    token_file: TokenFile = None,
    name: Annotated[str, typer.Option("--name", help="Name of this end of the links.")] = "",
    device: Annotated[str, typer.Option("--device", help="With --all-pairs: cpu, or cuda (between GPUs).")] = "cpu",
    out: Out = None,
    json: Json = False,
) -> int:
    """Measure links between hosts: --serve on one, --peers on the other; or --all-pairs under torchrun."""
    if serve + bool(peers) + all_pairs != 1:
        raise InputError("expected one of --serve, --peers and --all-pairs")
    token = read_text(token_file, LONGEST_TOKEN).strip() if token_file is not None else os.environ.get(TOKEN, "")
    if not all_pairs and not token:
        raise InputError(f"a token is needed, the same on both sides: set {TOKEN}, or give --token-file", TOKEN)
    ensure_writable(out)
    from ..profile.links import measure_all_pairs, measure_peer  # imports torch
    from ..profile.links import serve as answer  # imports torch

    if serve:
        answer(token, bind=bind, port=port, name=name, ready=lambda number: say(f"serving on {bind}:{number}"))
        return SOLVED
    if peers:
        found = [measure_peer(peer, token, name=name) for peer in peers.split(",") if peer]
    else:
        found = measure_all_pairs(device=device)
    if found or os.environ.get("RANK", "0") == "0":
        _write(found, out, json)
    return SOLVED


def _write(found: list[LinkProfile], out: Path | None, json: bool) -> None:
    document = {"network": {"links": [link.entry() for link in found]}}
    text = "".join(
        f"# {printable(f'{link.a} - {link.b}')}: 95% of latencies below {link.latency_p95_s * 1e6:.1f} us\n"
        for link in found
    )
    text += yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
    if out:
        write_atomic(out, text)
    if json:
        print_json(document)
    elif not out:
        typer.echo(text, nl=False)
