"""Commands that touch real machines: run a plan, profile devices and links, calibrate a cluster file, replan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .output import SOLVED, console, ensure_writable, print_json, say

if TYPE_CHECKING:
    from ..profile.links import LinkProfile
    from ..question.request import Request
    from ..run.result import RunResult

Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where the result is written.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, profile, calibrate, replan):
        app.command()(command)


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
    out: Annotated[Path | None, typer.Option("--out", help="Add the measured figures to a JSONL file.")] = None,
    json: Json = False,
) -> int:
    """Run a plan on this machine, a process for every node, and compare it with its prediction."""
    from ..plan.plan import Plan
    from ..report.progress import count_bar
    from ..run.launcher import Launch, run_plan

    ensure_writable(trace, out)
    loaded = Plan.load(plan)
    if bool(prompt) == bool(ids):
        raise InputError("expected either --prompt or --ids")
    prompts = list(prompt) if prompt else [_ids(text) for text in ids or []]
    slowed = {node: _number(value, f"--slow {node}") for node, value in _pairs(slow).items()}
    known, devices = _cluster(cluster, model) if cluster else None, _pairs(device)
    with count_bar("loading", "tokens", len(prompts) * tokens, hidden=json) as progress:
        result = run_plan(
            loaded, model, prompts, tokens, cluster=known, recover=recover, emulate_links=emulate_links, slow=slowed,
            launch=Launch(port=port, progress=progress), micro_batch=micro_batch, in_flight=in_flight, devices=devices,
        )  # fmt: skip
    if out:
        result.append_to(out)
    if trace:
        result.write_trace(trace)
    texts = _texts(model, result) if prompt else []
    if json:
        print_json({**result.record(), "tokens": result.tokens, "texts": texts})
        return SOLVED
    for text in texts:
        typer.echo(text)
    show_result(result)
    return SOLVED


def show_result(result: RunResult) -> None:
    """Print measured beside predicted figures, and what every worker did."""
    from rich.table import Table

    screen, measured, predicted = console(), result.measured, result.predicted
    table = Table("", "measured", "predicted")
    table.add_row("time to first token", f"{measured.ttft_s * 1e3:.2f} ms", f"{predicted.ttft_s * 1e3:.2f} ms")
    table.add_row(
        "time per token (median)", f"{measured.time_per_token_s * 1e3:.2f} ms",
        f"{predicted.time_per_token_s * 1e3:.2f} ms",
    )  # fmt: skip
    table.add_row("time per token (95%)", f"{measured.time_per_token_p95_s * 1e3:.2f} ms", "")
    table.add_row("tokens/s", f"{measured.tokens_per_s:.2f}", f"{predicted.tokens_per_s:.2f}")
    screen.print(table)
    workers = Table("worker", "busy", "weights", "cache", "memory of the process", "planned memory")
    for stage in result.stages:
        sizes = (stage.weight_bytes, stage.cache_bytes, stage.memory_bytes, stage.predicted_memory_bytes)
        workers.add_row(stage.name, f"{stage.busy_share:.0%}", *(f"{size / 2**20:.1f} MiB" for size in sizes))
    screen.print(workers)
    screen.print(f"emulation of unequal hosts: {result.emulation}")
    for note in result.notes:
        screen.print(note, markup=False)


def profile(
    model: Annotated[str | None, typer.Option("--model", help="Preset, folder, config.json or .gguf.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:N or mps.")] = "cpu",
    name: Annotated[str, typer.Option("--name", help="Name of the node (of this end of a link).")] = "",
    dtype: Annotated[str, typer.Option("--dtype", help="Number format; the model's own by default.")] = "",
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens")] = 128,
    budget: Annotated[float, typer.Option("--budget", help="Seconds for the blocks.")] = 25.0,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0: torch's choice.")] = 0,
    in_a_row: Annotated[bool, typer.Option("--in-a-row", help="No rest between passes.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Answer measurements of links.")] = False,
    bind: Annotated[str, typer.Option("--bind", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to serve on; 0: a free one.")] = 0,
    peers: Annotated[str, typer.Option("--peers", metavar="HOST:PORT,...", help="Measure links to servers.")] = "",
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="All pairs of a torchrun launch.")] = False,
    token: Annotated[str, typer.Option("--token", envvar="PLACEMENT_TOKEN", help="Both sides must know it.")] = "",
    out: Out = None,
    json: Json = False,
) -> int:
    """Measure a device with the blocks of a model, or the links between hosts."""
    ensure_writable(out)
    if serve:
        from ..profile.links import serve as answer

        _check_token(token)
        answer(token, bind=bind, port=port, name=name, ready=lambda number: say(f"serving on {bind}:{number}"))
        return SOLVED
    if peers or all_pairs:
        from ..profile.links import measure_all_pairs, measure_peer

        if peers:
            _check_token(token)
        links = [measure_peer(peer, token, name=name) for peer in peers.split(",") if peer]
        links = links or measure_all_pairs(device=device)
        if links or os.environ.get("RANK", "0") == "0":
            _write_links(links, out, json)
        return SOLVED
    if model is None:
        raise InputError("expected --model, --serve, --peers or --all-pairs")
    from ..profile.node import profile_node
    from ..profile.pauses import Rest
    from ..question.workload import Workload

    work = Workload(prompt_tokens, output_tokens)
    found = profile_node(
        model, device=device, name=name, dtype=dtype, workload=work, budget_s=budget, threads=threads,
        rest=None if in_a_row else Rest(),
    )  # fmt: skip
    if out:
        found.save(out)
    if json:
        print_json({"node": found.entry(), "conditions": dict(found.hardware.conditions)})
    elif not out:
        typer.echo(found.to_yaml(), nl=False)
    return SOLVED


def calibrate(
    cluster: Annotated[Path, typer.Argument(metavar="CLUSTER.YAML")],
    runs: Annotated[
        Path,
        typer.Argument(
            metavar="RUNS",
            help="What `placement run --out` wrote, a CSV of measurements, or the JSON of a benchmark: "
            "`llama-bench -o json`, `vllm bench serve`, exo.",
        ),
    ],
    model: Annotated[str | None, typer.Option("--model", help="The model that ran; the file's by default.")] = None,
    split: Annotated[str, typer.Option("--split", metavar="SPANS", help="Of a benchmark that does not say it.")] = "",
    out: Out = None,
    json: Json = False,
) -> int:
    """Correct a cluster file by measured runs; the error before and after is told (of runs, leaving one out)."""
    from ..profile.bench_outputs import holds_runs
    from ..readers.cluster.read import read_request

    ensure_writable(out)
    request = read_request(cluster, model=model)
    if not holds_runs(runs):
        return _by_rates(request, cluster, runs, split, out, json)
    return _by_runs(request, cluster, runs, out, json)


def _by_rates(request: Request, cluster: Path, rates: Path, split: str, out: Path | None, json: bool) -> int:
    import numpy as np

    from ..files import write_atomic
    from ..profile.calibrate_rates import calibrate_rates, rates_yaml, read_rates

    result = calibrate_rates(request, read_rates(rates, request, split))
    before, after = (float(np.median(errors)) for errors in (result.before, result.after))
    if out:
        write_atomic(out, rates_yaml(cluster, result))
    if json:
        names = ("bandwidth", "compute", "pass")
        nodes = {name: dict(zip(names, values, strict=True)) for name, values in result.factors.items()}
        print_json(
            {
                "error_before": before,
                "error_after": after,
                "before": result.before,
                "after": result.after,
                "nodes": nodes,
            }
        )
        return SOLVED
    for name, (bandwidth, compute, once) in sorted(result.factors.items()):
        typer.echo(f"{name}: bandwidth x {bandwidth:.3f}, compute x {compute:.3f}, time per pass x {once:.3f}")
    typer.echo(f"median error of {len(result.after)} rates: {before:.1%} before, {after:.1%} after (fitted on them)")
    return SOLVED


def _by_runs(request: Request, cluster: Path, runs: Path, out: Path | None, json: bool) -> int:
    import numpy as np

    from ..files import write_atomic
    from ..profile.calibrate import calibrate as correct
    from ..profile.calibrate import corrected_yaml, read_runs

    result = correct(request, read_runs(runs))
    before, after = (float(np.median(errors)) for errors in (result.before, result.after))
    if out:
        write_atomic(out, corrected_yaml(cluster, result))
    if json:
        corrections = {name: {key: getattr(by, key) for key in by.__slots__} for name, by in result.corrections.items()}
        print_json(
            {"error_before": before, "error_after": after, "before": result.before, "after": result.after,
             "hop_s": result.hop_s, "nodes": corrections}
        )  # fmt: skip
        return SOLVED
    for name, by in sorted(result.corrections.items()):
        typer.echo(
            f"{name}: decode x {by.decode_factor:.3f} + {by.overhead_s * 1e6:.1f} us per block, "
            f"prefill x {by.prefill_factor:.3f}"
        )
    typer.echo(f"every hop: + {result.hop_s * 1e6:.1f} us")
    typer.echo(f"median error of the time per token: {before:.1%} before, {after:.1%} after (leaving one out)")
    return SOLVED


def replan(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan that runs now.")],
    cluster: Annotated[Path, typer.Argument(metavar="CLUSTER.YAML")],
    lost: Annotated[list[str] | None, typer.Option("--lost", metavar="NODE", help="A node that is gone.")] = None,
    model: Annotated[str | None, typer.Option("--model")] = None,
    load_rate: Annotated[str, typer.Option("--load-rate", help="How fast nodes load weights.")] = "500 MB/s",
    horizon: Annotated[float, typer.Option("--horizon", help="Decode steps that the loading is spread over.")] = 1000.0,
    time_limit: Annotated[float, typer.Option("--time-limit", help="Seconds of search.")] = 5.0,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    out: Out = None,
    json: Json = False,
) -> int:
    """Find the next plan when nodes were lost or came: bytes that must be loaded are a cost."""
    from ..kinds.pipeline.replan import replan as next_plan
    from ..plan.plan import Plan
    from ..readers import units
    from ..readers.cluster.read import read_request

    ensure_writable(out)
    try:
        rate = units.bandwidth(load_rate)
    except ValueError as error:
        raise InputError(str(error), "--load-rate") from None
    request = read_request(cluster, model=model)
    for name in lost or []:
        request.cluster.index(name)
    found = next_plan(
        Plan.load(plan), None, request, lost=lost or [], load_bytes_per_s=rate, horizon_tokens=horizon,
        time_limit=time_limit, seed=seed,
    )  # fmt: skip
    if out:
        found.plan.save(out)
    if json:
        moves = [{"node": m.node, "block": m.block, "bytes": m.n_bytes} for m in found.moves]
        print_json({**found.plan.to_dict(), "moves": moves, "moved_bytes": found.moved_bytes, "load_s": found.load_s})
        return SOLVED
    from ..report.table import stage_table

    screen = console()
    screen.print(stage_table(found.plan, ascii_only=screen.options.ascii_only))
    screen.print(f"{len(found.moves)} blocks to load, {found.moved_bytes / 1e6:.1f} MB, about {found.load_s:.1f} s")
    return SOLVED


def _write_links(links: list[LinkProfile], out: Path | None, json: bool) -> None:
    import yaml

    from ..files import write_atomic

    document = {"network": {"links": [link.entry() for link in links]}}
    text = "".join(
        f"# {link.a} - {link.b}: 95% of latencies below {link.latency_p95_s * 1e6:.1f} us\n" for link in links
    )
    text += yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
    if out:
        write_atomic(out, text)
    if json:
        print_json(document)
    elif not out:
        typer.echo(text, nl=False)


def _cluster(path: Path, model: str) -> Any:
    from ..readers.cluster.read import read_request

    return read_request(path, model=model).cluster


def _texts(model: str, result: RunResult) -> list[str]:
    from ..run.prompts import texts

    return texts(model, result.tokens)


def _check_token(token: str) -> None:
    if not token:
        raise InputError("a token is needed, the same on both sides: --token, or PLACEMENT_TOKEN", "--token")


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, mark, value = text.partition("=")
        if not mark or not name or not value:
            raise InputError(f"expected NODE=VALUE, got {text!r}")
        pairs[name] = value
    return pairs


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"expected a number, got {text!r}", where) from None


def _ids(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"expected token ids such as 1,2,3, got {text!r}", "--ids") from None
