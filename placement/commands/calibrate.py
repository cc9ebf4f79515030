"""`placement calibrate`: a cluster file corrected by measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..errors import InputError
from ..files import write_atomic
from ..profile.calibrate import calibrate as correct
from ..profile.calibrate import corrected_yaml, read_runs
from ..readers.cluster.read import read_request
from .options import Json, Out
from .output import SOLVED, ensure_writable, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    cluster: Annotated[Path, typer.Argument(metavar="CLUSTER.YAML")],
    runs: Annotated[Path, typer.Argument(metavar="RUNS.JSONL", help="What `placement run --out` wrote.")],
    model: Annotated[str | None, typer.Option("--model", help="The model that ran; the file's by default.")] = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Correct a cluster file by measured runs; the error before and after is told (leaving one out)."""
    ensure_writable(out)
    request = read_request(cluster, model=model)
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
