"""`placement calibrate`: a cluster file corrected by measured runs or rates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..errors import InputError
from ..files import write_atomic
from ..profile.bench_outputs import holds_runs
from ..profile.calibrate import calibrate as correct
from ..profile.calibrate import corrected_yaml, read_runs
from ..profile.calibrate_rates import calibrate_rates, rates_yaml, read_rates
from ..question.request import Request
from ..readers.cluster.read import read_request
from .options import Json, Out
from .output import SOLVED, ensure_writable, print_json

Runs = Annotated[
    Path,
    typer.Argument(
        metavar="RUNS",
        help="What `placement run --out` wrote, a CSV of measurements, or the JSON of a benchmark: "
        "`llama-bench -o json`, `vllm bench serve`, exo.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    cluster: Annotated[Path, typer.Argument(metavar="CLUSTER.YAML")],
    runs: Runs,
    model: Annotated[str | None, typer.Option("--model", help="The model that ran; the file's by default.")] = None,
    split: Annotated[str, typer.Option("--split", metavar="SPANS", help="Of a benchmark that does not say it.")] = "",
    out: Out = None,
    json: Json = False,
) -> int:
    """Correct a cluster file by what was measured; the error before and after is told (of runs, leaving one out)."""
    ensure_writable(out)
    request = read_request(cluster, model=model)
    if holds_runs(runs):
        return _by_runs(request, cluster, runs, out=out, json=json)
    return _by_rates(request, cluster, runs, split, out=out, json=json)


def _by_runs(request: Request, cluster: Path, runs: Path, *, out: Path | None, json: bool) -> int:
    measured = read_runs(runs)
    try:
        result = correct(request, measured)
    except InputError as error:
        raise error.under(str(runs)) from None
    before, after = (float(np.median(errors)) for errors in (result.before, result.after))
    if out:
        write_atomic(out, corrected_yaml(cluster, result))
    if json:
        found = {name: {key: getattr(by, key) for key in by.__slots__} for name, by in result.corrections.items()}
        errors = {"error_before": before, "error_after": after, "before": result.before, "after": result.after}
        print_json({**errors, "hop_s": result.hop_s, "nodes": found})
        return SOLVED
    for name, by in sorted(result.corrections.items()):
        typer.echo(
            f"{name}: decode x {by.decode_factor:.3f} + {by.overhead_s * 1e6:.1f} us per block, "
            f"prefill x {by.prefill_factor:.3f}"
        )
    typer.echo(f"every hop: + {result.hop_s * 1e6:.1f} us")
    typer.echo(f"median error of the time per token: {before:.1%} before, {after:.1%} after (leaving one out)")
    return SOLVED


def _by_rates(request: Request, cluster: Path, rates: Path, split: str, *, out: Path | None, json: bool) -> int:
    result = calibrate_rates(request, read_rates(rates, request, split))
    before, after = (float(np.median(errors)) for errors in (result.before, result.after))
    if out:
        write_atomic(out, rates_yaml(cluster, result))
    if json:
        names = ("bandwidth", "compute", "pass")
        found = {name: dict(zip(names, values, strict=True)) for name, values in result.factors.items()}
        errors = {"error_before": before, "error_after": after, "before": result.before, "after": result.after}
        print_json({**errors, "nodes": found})
        return SOLVED
    for name, (bandwidth, compute, once) in sorted(result.factors.items()):
        typer.echo(f"{name}: bandwidth x {bandwidth:.3f}, compute x {compute:.3f}, time per pass x {once:.3f}")
    typer.echo(f"median error of {len(result.after)} rates: {before:.1%} before, {after:.1%} after (fitted on them)")
    return SOLVED
