"""Requests on a plan: iterations of serving engines, event by event, under a policy.

`simulate` is the whole of it: a plan, its question, requests and a policy in, figures out. Time goes from pass to pass;
every stage and link serves first come, first served; a policy is asked whenever something can change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from placement.costs.engines import HostCosts
from placement.errors import InputError
from placement.plan.plan import Plan
from placement.question.request import Request
from placement.question.requests import Requests

from .engine import Engine, Load
from .figures import Limits, ServingFigures, ServingRun, Spread, busy_by_time, figures_of
from .machine import Serving, serving_of
from .options import EngineOptions
from .policies import POLICIES, make_policy
from .policies.base import Policy

__all__ = [
    "EngineOptions",
    "HostCosts",
    "Limits",
    "Load",
    "Serving",
    "ServingFigures",
    "ServingRun",
    "Spread",
    "serve",
    "serving_of",
    "simulate",
]


def simulate(
    plan: Plan,
    question: Request,
    requests: Requests,
    *,
    policy: str | Policy = "vllm",
    settings: Mapping[str, Any] | None = None,
    options: EngineOptions | None = None,
    load: Load | None = None,
    limits: Limits | None = None,
    copies: int = 1,
    progress: Callable[[float, int], None] | None = None,
) -> ServingRun:
    """Serve requests on a plan.

    Parameters
    ----------
    plan : Plan
        A pipeline, or a replicated placement with chains.
    question : Request
        What it answers: model, cluster, workload.
    requests : Requests
        From a trace or a generator.
    policy : str or Policy
        A name of `policies.POLICIES`, of a plugin, or a policy itself.
    settings : mapping, optional
        Fields of the policy by name.
    options : EngineOptions, optional
    load : Load, optional
        A closed stream, an end of time, a warm-up.
    limits : Limits, optional
        For goodput.
    copies : int
        So many equal machines side by side.
    progress : callable, optional
        Called with simulated seconds and finished requests.

    Returns
    -------
    ServingRun
        When Ctrl-C stops it, with the figures so far.

    Raises
    ------
    InputError
        The plan does not suit the question, has no room for caches, or every request is too long for it.
    """
    chosen = options or EngineOptions()
    serving = serving_of(plan, question, chosen, copies=copies)
    return serve(
        serving,
        requests,
        policy=policy,
        settings=settings,
        options=chosen,
        load=load,
        limits=limits,
        progress=progress,
    )


def serve(
    serving: Serving,
    requests: Requests,
    *,
    policy: str | Policy = "vllm",
    settings: Mapping[str, Any] | None = None,
    options: EngineOptions | None = None,
    load: Load | None = None,
    limits: Limits | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> ServingRun:
    """Serve requests on a machine that `serving_of` made; parameters as for `simulate`."""
    name = policy if isinstance(policy, str) else type(policy).__name__
    chosen = make_policy(policy, settings or {}) if isinstance(policy, str) else policy
    needed = POLICIES[name].instances if name in POLICIES else 1
    if serving.instances < needed:
        raise InputError(
            f"the policy '{name}' needs {needed} instances or more, got {serving.instances}: give copies, or a plan "
            "with several chains",
            "policy",
        )
    engine = Engine(serving, requests, chosen, options or EngineOptions(), load or Load())
    interrupted = False
    try:
        engine.go(progress)
    except KeyboardInterrupt:
        interrupted = True
    if engine.ledger.refused.all():
        longest = int((requests.prompt_tokens + requests.output_tokens).max())
        world, chains = engine.world, range(serving.instances)
        room = max(world.capacity(c) for c in chains)
        paged = max(world.blocks(c) for c in chains) * engine.options.block_size
        kept = min(room, paged) if engine.scheduler.block else room
        most = min(kept, engine.options.max_model_len)
        fewer = "" if kept == room else f"; max_num_seqs={max(world.most)} sequences keep the rest, fewer leave more"
        raise InputError(
            f"expected requests that fit into the caches ({most} tokens), got none (the longest has {longest} tokens)"
            + fewer,
            requests.name,
        )
    busy, bin_s = busy_by_time(engine)
    refused = int(engine.ledger.refused.sum())
    notes = (*requests.notes, *serving.notes)
    if refused:
        first = int(engine.ledger.refused.argmax())
        tokens = engine.ledger.longest(first) + 1
        line = f"{refused} requests refused: longer than the caches can hold; the first is {first}, {tokens} tokens"
        notes = (line, *notes)
    return ServingRun(
        figures=figures_of(engine, limits or Limits()),
        ledger=engine.ledger,
        samples=engine.samples.table(),
        busy=busy,
        bin_s=bin_s,
        gantt=engine.s.gantt[: int(engine.s.noted[0])].copy(),
        nodes=serving.nodes,
        policy=name,
        notes=notes,
        interrupted=interrupted,
    )
