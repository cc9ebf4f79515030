"""`placement petals`: the state of a Petals swarm, and the moves that it should make."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..files import plain, write_atomic
from ..petals.advise import RATE_BYTES_PER_S, Advice
from ..petals.advise import advise as compare
from ..petals.dht import read_view
from ..petals.swarm_file import document, read, text
from .options import Json, Out, Seed, ShapeOption
from .output import SOLVED, console, ensure_writable, print_json

Peers = Annotated[list[str] | None, typer.Option("--peers", metavar="ADDRESS", help="A peer of it; repeatable.")]
Prefix = Annotated[str, typer.Option("--prefix", metavar="NAME", help="The model's dht_prefix.")]
Blocks = Annotated[int, typer.Option("--blocks", metavar="N", help="Decoder layers of the model.")]
BlockBytes = Annotated[float, typer.Option("--block-bytes", metavar="BYTES", help="Weights of a block.", min=0.0)]
LoadRate = Annotated[float, typer.Option("--load-rate", metavar="BYTES/S", help="Download rate of a server.", min=0.0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    petals = typer.Typer(help="Watch a Petals swarm, and advise it.", no_args_is_help=True)
    petals.command("status")(status)
    petals.command("advise")(advise)
    app.add_typer(petals, name="petals")


def status(
    peers: Peers = None,
    prefix: Prefix = "",
    blocks: Blocks = 0,
    block_bytes: BlockBytes = 0.0,
    load_rate: LoadRate = 0.0,
    out: Annotated[Path | None, typer.Option("--out", metavar="SWARM.YAML", help="Write a swarm file; atomic.")] = None,
    json: Json = False,
) -> int:
    """Read the live state of a swarm from its DHT, without weights, as a swarm file."""
    for value, key, hint in (
        (peers, "--peers", "an address"),
        (prefix, "--prefix", "a name"),
        (blocks, "--blocks", "a number"),
    ):
        if not value:
            raise InputError(f"expected {hint}", key)
    ensure_writable(out)
    data = document(read_view(peers or [], prefix, blocks), prefix, block_bytes, load_rate)
    if out is not None:
        write_atomic(out, text(data))
    if json:
        print_json(data)
    elif out is None:
        typer.echo(text(data), nl=False)
    return SOLVED


def advise(
    file: Annotated[Path, typer.Argument(metavar="SWARM.YAML", help="What `petals status` wrote, or a file like it.")],
    shape: ShapeOption = None,
    preference: Annotated[
        float, typer.Option("--preference", help="0: the fastest chain; 1: throughput.", min=0.0, max=1.0)
    ] = 0.5,
    weight: Annotated[
        float, typer.Option("--weight", help="Relative gain that reloading the whole model must bring.", min=0.0)
    ] = 0.5,
    moves: Annotated[int, typer.Option("--moves", help="Most moves.", min=0)] = 10,
    block_bytes: BlockBytes = 0.0,
    load_rate: LoadRate = 0.0,
    seconds: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="For seeking moves.", min=0.0, max=1e6)
    ] = 60.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> int:
    """Petals' balance of a swarm against ours, and the moves worth making."""
    ensure_writable(out)
    swarm, about, own_shape = read(file)
    size = block_bytes or about.block_bytes
    rate = load_rate or about.load_bytes_per_s or RATE_BYTES_PER_S
    found = compare(
        swarm,
        shape=shape.value if shape else own_shape,
        preference=preference,
        weight=weight,
        block_bytes=size,
        load_bytes_per_s=rate,
        most_moves=moves,
        seconds=seconds,
        seed=seed,
    )
    if out is not None:
        write_atomic(out, json_text.dumps(plain(found.plan_document()), indent=2) + "\n")
    if json:
        print_json(found.to_dict())
    else:
        console().print("\n".join(lines(found)), markup=False, highlight=False, soft_wrap=True)
    return SOLVED


def lines(found: Advice) -> list[str]:
    """The advice for people."""
    text = [f"{'':<21}{'tokens/s':>10}{'ms/token':>10}{'moves':>7}{'blocks':>8}   (tokens/s of the weakest block)"]
    rows = (("as it stands", found.now), ("where Petals settles", found.petals), ("after our moves", found.ours))
    for label, b in rows:
        text.append(f"{label:<21}{b.bottleneck:>10.4g}{b.token_s * 1e3:>10.1f}{b.moves:>7}{b.loaded:>8}")
    text.append(f"Petals' own rule would move now: {', '.join(found.movers) or 'nobody'}")
    if found.cut_short:
        text.append("the time was over before all moves were sought: --time-limit gives more")
    elif not found.moves:
        text.append("no move is worth its reloading")
    for k, m in enumerate(found.moves, 1):
        size = f"{m.loaded * found.block_bytes / 1e9:.1f} GB, " if found.block_bytes else ""
        gain = "a block that nobody holds" if m.gain > 1e6 else f"gain {m.gain:.1%}"
        text.append(
            f"{k}. {found.names[m.server]}: {m.old[0]}:{m.old[1]} to {m.new[0]}:{m.new[1]}, loads {m.loaded} blocks "
            f"({size}{found.outage_s(m) / 60:.1f} min away), {gain}"
        )
    if found.moves and not found.block_bytes:
        text.append("minutes are those of a restart alone: give --block-bytes to count the download")
    return text
