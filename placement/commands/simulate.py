"""`placement simulate`: requests on a plan, under a serving policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..files import read_document, write_atomic
from ..kinds import kind_named
from ..kinds.asked import Asked as Question
from ..kinds.asked import ask
from ..kinds.space.variants import as_named, asked_for
from ..optimize import Search, answer
from ..plan.plan import VERSION, Plan
from ..question.request import Request
from ..question.requests import Requests
from ..report.plot import ensure_drawable
from ..report.progress import text_bar
from ..simulate.serving import Load, ServingRun
from ..simulate.serving import simulate as serve_requests
from ..simulate.serving.policies import POLICIES
from ..simulate.serving.show import csv_text, lines_of, series_of
from .options import Json, ModelName, Out, Quiet, Seed, Set, TimeLimit
from .output import INTERRUPTED, SOLVED, console, ensure_writable, print_json
from .traffic import Asked, engine_of, limits_of, prefixes_of, rates_of, requests_of, seconds_of, settings_of

if TYPE_CHECKING:
    from ..simulate.serving import EngineOptions, Limits

WARM = 0.1  # of a closed stream: part of its time that does not count
PLAN_KEYS, QUESTION_KEYS = ("chains", "placement", "status"), ("model", "network", "nodes")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    file: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="A plan; or a cluster file, planned first.")],
    cluster: Annotated[
        Path | None, typer.Argument(metavar="CLUSTER.YAML", help="Of a plan: the file that it answers.")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", metavar="NAME", help=", ".join(POLICIES))] = "vllm",
    settings: Annotated[
        list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="Of the policy: chunked=false, reserve=pow2")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="4/s", help="Requests by time; 1/s,2/s,4/s: one run each.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Azure's CSV, Mooncake's JSONL, or lengths.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="A closed stream of so many requests.", min=0)
    ] = 0,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="600s", help="Time in which requests come.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--requests", metavar="N", help="So many requests instead.", min=1, max=2_000_000)
    ] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", metavar="WHAT", help="chat, code, sharegpt, ...; 512:128; 32-512:1-128; a file.")
    ] = "",
    prefixes: Annotated[
        str | None, typer.Option("--prefixes", metavar="system=100,groups=10,questions=10", help="Prompts begin alike.")
    ] = None,
    burstiness: Annotated[float, typer.Option("--burstiness", help="Variation of the gaps; 1: Poisson.")] = 1.0,
    swing: Annotated[float, typer.Option("--swing", help="Part by which the rate swings over --period.")] = 0.0,
    period: Annotated[str, typer.Option("--period", metavar="24h")] = "86400",
    engine: Annotated[
        list[str] | None, typer.Option("--engine", metavar="KEY=VALUE", help="max_num_seqs=128, block_size=16, ...")
    ] = None,
    copies: Annotated[int, typer.Option("--copies", help="Equal machines side by side.", min=1, max=1024)] = 1,
    ttft: Annotated[str | None, typer.Option("--ttft", metavar="1s", help="Goodput: to the first token.")] = None,
    time_per_token: Annotated[
        str | None, typer.Option("--time-per-token", metavar="100ms", help="Goodput: between tokens.")
    ] = None,
    warm: Annotated[
        str | None, typer.Option("--warm", metavar="60s", help="Time at first that does not count.")
    ] = None,
    seed: Seed = 0,
    model: ModelName = None,
    overrides: Set = None,
    time_limit: TimeLimit = 5.0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="RUN.PNG", help="Draw it.")] = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Serve requests on a plan, pass by pass, under a serving policy."""
    ensure_writable(out, plot)
    ensure_drawable(plot)
    options, limits, chosen = engine_of(engine), limits_of(ttft, time_per_token), settings_of(settings)
    rates = rates_of(rate)
    asked = Asked(
        trace=trace,
        concurrency=concurrency,
        duration_s=seconds_of(duration, "--duration"),
        number=number,
        lengths=lengths,
        prefixes=prefixes_of(prefixes),
        burstiness=burstiness,
        swing=swing,
        period_s=seconds_of(period, "--period") or 0.0,
    )
    _check_stream(asked, rates)
    question, plan = plan_and_question(file, cluster, model, overrides, time_limit, seed)
    runs: list[tuple[float | None, ServingRun]] = []
    for each in rates:
        requests = _requests(replace(asked, rate_per_s=each), question, seed)
        load = _load(asked, seconds_of(warm, "--warm"))
        try:
            run = _run(plan, question, requests, policy, chosen, options, load, limits, copies, json or quiet)
        except InputError as error:
            raise error.in_file(str(file), PLAN_KEYS).in_file(str(cluster or file), QUESTION_KEYS) from None
        runs.append((each, run))
        if run.interrupted:
            break
    return _deliver(runs, out=out, plot=plot, json=json, quiet=quiet)


def _check_stream(asked: Asked, rates: Sequence[float | None]) -> None:
    if asked.concurrency and rates != [None]:
        raise InputError("expected --rate or --concurrency, got both")


def _requests(asked: Asked, question: Request, seed: int) -> Requests:
    return requests_of(asked, (question.workload.prompt_tokens, question.workload.output_tokens), seed)


def _load(asked: Asked, warm_s: float | None) -> Load:
    """How requests come, and what does not count."""
    if not asked.concurrency:
        return Load(warm_s=warm_s or 0.0)
    end = asked.duration_s or (600.0 if asked.number is None else math.inf)
    default = WARM * end if math.isfinite(end) else 0.0
    return Load(asked.concurrency, end, default if warm_s is None else warm_s)


def plan_and_question(
    file: Path, cluster: Path | None, model: str | None, overrides: list[str] | None, time_limit: float, seed: int
) -> tuple[Request, Plan]:
    """The plan of the first file, or of a search where it is a cluster; and the question that it answers.

    Parameters
    ----------
    file, cluster : Path
        A plan and its cluster file, or a cluster file alone.
    model : str or None
    overrides : list of str or None
    time_limit : float
        Seconds of a search.
    seed : int

    Raises
    ------
    InputError
        A plan without its cluster file, or a kind whose requests are not simulated.
    """
    data = read_document(file, expect=("model", "nodes"))
    is_plan = "placement" in data and "objective" in data and "figures" in data
    if is_plan and cluster is None:
        usage = "placement simulate PLAN.JSON CLUSTER.YAML"
        raise InputError(f"a plan needs the cluster file that it answers: {usage}", str(file))
    if not is_plan and cluster is not None:
        raise InputError("expected a plan before the cluster file", str(file))
    asked = ask(model, cluster or file, overrides=overrides or ())
    _check_kind(asked, str(cluster or file))
    if is_plan:
        plan = Plan.load(file)
        if "simulate" not in kind_named(plan.kind, file).can:
            raise InputError(f"requests on plans of the kind '{plan.kind}' are not simulated pass by pass", str(file))
    else:
        plan = answer(asked, Search("auto", time_limit, seed)).plan
    return _as_answered(asked.question, plan, str(file)), plan


def _as_answered(question: Request, plan: Plan, where: str) -> Request:
    """The question on the nodes that the plan uses: tensor parallel groups are nodes of their own."""
    if question.choices is not None:
        raise InputError("a context, concurrency or format that is a choice: state it, with --set", where)
    return asked_for(as_named(plan.placement, question), question)


def _check_kind(asked: Question, where: str) -> None:
    if "simulate" not in asked.kind.can or not isinstance(asked.question, Request):
        what = "a case given by tables" if "simulate" in asked.kind.can else f"{asked.kind.name}"
        raise InputError(f"asks for {what}: there is no model whose passes could be simulated", where)


def _run(
    plan: Plan,
    question: Request,
    requests: Requests,
    policy: str,
    settings: Any,
    options: EngineOptions,
    load: Load,
    limits: Limits,
    copies: int,
    hidden: bool,
) -> ServingRun:
    total = load.duration_s if load.concurrency and math.isfinite(load.duration_s) else float(requests.number)
    with text_bar(total, first="serving", hidden=hidden) as move:

        def show(now: float, finished: int) -> None:
            if move is not None and finished % 16 == 0:
                done = now if total != requests.number else float(finished)
                move(done, f"{now:,.0f} s simulated, {finished:,} requests served")

        return serve_requests(
            plan,
            question,
            requests,
            policy=policy,
            settings=settings,
            options=options,
            load=load,
            limits=limits,
            copies=copies,
            progress=None if move is None else show,
        )


def _deliver(
    runs: Sequence[tuple[float | None, ServingRun]], *, out: Path | None, plot: Path | None, json: bool, quiet: bool
) -> int:
    last = runs[-1][1]
    if out is not None:
        write_atomic(out, csv_text(last))
    if plot is not None:
        from ..simulate.serving.plot import draw_runs  # matplotlib comes with it

        draw_runs(plot, runs)
    if json:
        documents = [document(rate, run) for rate, run in runs]
        print_json(documents[0] if len(runs) == 1 else {"runs": documents, "version": VERSION})
    elif not quiet:
        screen = console()
        for rate, run in runs:
            for line in lines_of(run, rate):
                screen.print(line)
    return INTERRUPTED if last.interrupted else SOLVED


def document(rate: float | None, run: ServingRun) -> dict[str, Any]:
    """A run as JSON: figures with their units in their names, and series over time."""
    return {
        "status": "interrupted" if run.interrupted else "solved",
        "policy": run.policy,
        "rate_per_s": rate,
        "figures": asdict(run.figures),
        "series": series_of(run),
        "notes": list(run.notes),
        "version": VERSION,
    }
