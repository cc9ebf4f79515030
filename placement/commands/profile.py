"""`placement profile`: a device measured with the blocks of a model, as a node entry of cluster.yaml."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import InputError
from ..question.workload import Workload
from . import links
from .options import Json, Out
from .output import SOLVED, ensure_writable, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(profile)


def profile(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help="Preset, folder, config.json or .gguf.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:N or mps.")] = "cpu",
    name: Annotated[str, typer.Option("--name", help="Name of the node.")] = "",
    dtype: Annotated[str, typer.Option("--dtype", help="Number format; the model's own by default.")] = "",
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens")] = 128,
    budget: Annotated[float, typer.Option("--budget", help="Seconds for the blocks.")] = 25.0,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0: torch's choice.")] = 0,
    in_a_row: Annotated[bool, typer.Option("--in-a-row", help="No rest between passes.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="As of `placement links`, its older name.")] = False,
    bind: links.Bind = links.LOOPBACK,
    port: links.Port = 0,
    peers: links.Peers = "",
    all_pairs: links.AllPairs = False,
    token_file: links.TokenFile = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Measure a device with the blocks of a model (links between hosts: `placement links`)."""
    if serve or peers or all_pairs:
        _refuse(context, ("model", "dtype", "prompt_tokens", "output_tokens", "budget", "threads", "in_a_row"))
        return links.links(
            serve=serve,
            bind=bind,
            port=port,
            peers=peers,
            all_pairs=all_pairs,
            token_file=token_file,
            name=name,
            device=device,
            out=out,
            json=json,
        )
    if model is None:
        raise InputError("expected --model (or --serve, --peers or --all-pairs, see `placement links`)")
    ensure_writable(out)
    from ..profile.node import profile_node  # imports torch
    from ..profile.pauses import PAUSES  # as the line above

    found = profile_node(
        model,
        device=device,
        name=name,
        dtype=dtype,
        workload=Workload(prompt_tokens, output_tokens),
        budget_s=budget,
        threads=threads,
        rest=None if in_a_row else PAUSES,
    )
    if out:
        found.save(out)
    if json:
        print_json({"node": found.entry(), "conditions": dict(found.hardware.conditions)})
    elif not out:
        typer.echo(found.to_yaml(), nl=False)
    return SOLVED


def _refuse(context: typer.Context, names: tuple[str, ...]) -> None:
    """Refuse options of a device where links are measured."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError("links are measured without it", "--" + name.replace("_", "-"))
