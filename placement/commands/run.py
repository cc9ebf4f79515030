"""`placement run`: a plan on this machine, a process for every node, measured beside predicted figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..errors import InputError
from ..kinds import kind_named
from ..kinds.pipeline.replan import replan_at_once
from ..plan.plan import Plan
from ..readers.cluster.read import read_request
from ..report.progress import count_bar
from ..run.job import ensure_whole
from ..run.launcher import Launch, run_plan
from ..run.prompts import texts
from ..run.result import RunResult
from .options import Json, pairs_of
from .output import SOLVED, console, ensure_writable, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan to run.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint folder (safetensors) or .gguf file.")],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="A text; may be repeated.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--ids", help="Token ids: 1,2,3; may be repeated.")] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens to generate for each prompt.")] = 64,
    micro_batch: Annotated[int, typer.Option("--micro-batch", help="Most sequences that go together.")] = 1,
    in_flight: Annotated[int, typer.Option("--in-flight", help="Most micro-batches in flight; 0: all.")] = 0,
    device: Annotated[list[str] | None, typer.Option("--device", metavar="NODE=DEVICE", help="tower=cuda:0")] = None,
    slow: Annotated[
        list[str] | None, typer.Option("--slow", metavar="NODE=FACTOR", help="Emulate a slow node.")
    ] = None,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="Cluster file, for the two options below.")] = None,
    emulate_links: Annotated[bool, typer.Option("--emulate-links", help="Delay messages as the links would.")] = False,
    recover: Annotated[bool, typer.Option("--recover", help="Replan when a worker is lost.")] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the rendezvous; 0: a free one.")] = 0,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a Chrome trace.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUNS.JSONL", help="Add the measured figures, as one more line.")
    ] = None,
    json: Json = False,
) -> int:
    """Run a plan on this machine, a process for every node, and compare it with its prediction."""
    ensure_writable(trace, out)
    loaded = Plan.load(plan)
    kind, can = loaded.kind, kind_named(loaded.kind, plan).can
    if "run" not in can:
        raise InputError(f"a plan of the kind '{kind}' cannot be run", str(plan))
    if recover and "replan" not in can:
        raise InputError(f"does not apply to {plan}: a plan of the kind '{kind}' is not planned anew", "--recover")
    ensure_whole(loaded, str(plan))
    if bool(prompt) == bool(ids):
        raise InputError("expected either --prompt or --ids")
    prompts = list(prompt) if prompt else [_ids(text) for text in ids or []]
    slowed = {node: _number(value, f"--slow {node}") for node, value in pairs_of(slow, "--slow").items()}
    known = read_request(cluster, model=model).cluster if cluster else None
    devices = pairs_of(device, "--device")
    with count_bar("loading", "tokens", len(prompts) * tokens, hidden=json) as progress:
        result = run_plan(
            loaded,
            model,
            prompts,
            tokens,
            cluster=known,
            replan=replan_at_once if recover else None,
            emulate_links=emulate_links,
            slow=slowed,
            launch=Launch(port=port, progress=progress),
            micro_batch=micro_batch,
            in_flight=in_flight,
            devices=devices,
        )
    if out:
        result.append_to(out)
    if trace:
        result.write_trace(trace)
    answers = texts(model, result.tokens) if prompt else []
    if json:
        print_json({**result.record(), "tokens": result.tokens, "texts": answers})
        return SOLVED
    for text in answers:
        typer.echo(text)
    show_result(result)
    return SOLVED


def show_result(result: RunResult) -> None:
    """Print measured beside predicted figures, and what every worker did."""
    screen, measured, predicted = console(), result.measured, result.predicted
    table = Table("", "measured", "predicted")
    table.add_row("time to first token", _ms(measured.ttft_s), _ms(predicted.get("ttft_s")))
    table.add_row("time per token (median)", _ms(measured.time_per_token_s), _ms(predicted.get("time_per_token_s")))
    table.add_row("time per token (95%)", _ms(measured.time_per_token_p95_s), "")
    # What is measured is the rate of decode steps; plans from before had it in `tokens_per_s`.
    rates = ("decode_tokens_per_s", "tokens_per_s", "served_tokens_per_s")
    served = next((predicted[name] for name in rates if name in predicted), None)
    table.add_row("tokens/s", f"{measured.tokens_per_s:.2f}", "" if served is None else f"{served:.2f}")
    screen.print(table)
    workers = Table("worker", "busy", "weights", "cache", "memory of the process", "planned memory")
    for stage in result.stages:
        sizes = (stage.weight_bytes, stage.cache_bytes, stage.memory_bytes, stage.predicted_memory_bytes)
        told = [f"{size / 2**20:.1f} MiB" if size else "" for size in sizes]
        workers.add_row(stage.name, f"{stage.busy_share:.0%}", *told)
    screen.print(workers)
    screen.print(f"emulation of unequal hosts: {result.emulation}")
    if "served_tokens_per_s" in predicted:
        screen.print(f"predicted figures are those with {predicted.in_flight:.0f} requests in flight")
    for note in result.notes:
        screen.print(note, markup=False)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.2f} ms"


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"expected a number, got {text[:80]!r}", where) from None


def _ids(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"expected token ids such as 1,2,3, got {text[:80]!r}", "--ids") from None
