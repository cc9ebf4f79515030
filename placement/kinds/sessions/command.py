"""`placement solve` for a fleet whose sessions reserve caches: JSON, or a short table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from objectives.sessions.chains import Fleet, chain_seconds
from placement.files import plain, write_atomic
from placement.foreign import Ask
from placement.plan.plan import VERSION
from placement.readers.fleet import read_fleet
from placement.search.stop import Progress

from .solve import ChainResult, solve_chains


def answer(path: Path, ask: Ask) -> int:
    """Solve the fleet in a file and show the plan; return the exit code."""
    from placement.commands.output import INTERRUPTED, SOLVED, console, print_json, say
    from placement.report.progress import text_bar

    fleet = read_fleet(path)
    objective = ask.objective or "rate"
    with text_bar(ask.time_limit, hidden=ask.quiet or ask.json) as move:
        result = solve_chains(
            fleet, objective=objective, time_limit=ask.time_limit, seed=ask.seed,
            progress=None if move is None else lambda spent, progress: move(spent, describe(objective, progress)),
        )  # fmt: skip
    data = document(fleet, result, objective, ask.seed)
    if ask.out is not None:
        write_atomic(ask.out, json.dumps(plain(data), indent=2) + "\n")
    if ask.json:
        print_json(data)
    elif not ask.quiet:
        console().print("\n".join(lines(fleet, result)), markup=False)
    if result.interrupted:
        say("interrupted: this is the best plan so far")
    return INTERRUPTED if result.interrupted else SOLVED


def describe(objective: str, progress: Progress) -> str:
    """One line on the best so far of the search in hand; its response time is a mix of both bounds."""
    if progress.violation > 0:
        return f"nothing serves the arrivals yet, {progress.evaluations:,} placements tried"
    value = f"{1.0 / progress.cost:.4g} sessions/s" if objective == "rate" else f"about {progress.cost:.4g} s"
    return f"best {value}, {progress.evaluations:,} placements"


def document(fleet: Fleet, result: ChainResult, objective: str, seed: int) -> dict[str, Any]:
    """The plan as plain data: spans by server, chains with capacities, figures with units in their names."""
    rate = objective == "rate"
    simulated = result.simulated
    response = simulated.mean_s if simulated else None
    least = result.response_bound
    return {
        "status": "interrupted" if result.interrupted else "solved",
        "kind": "chains",
        "n_blocks": fleet.n_blocks,
        "objective": {
            "name": objective,
            "value": result.rate if rate else response,
            "unit": "sessions/s" if rate else "s",
            "bound": result.bound if rate else least,
            "gap": result.gap if rate else response / least - 1.0 if response and least else None,
        },
        "placement": [
            {"node": name, "start": start, "stop": stop}
            for name, (start, stop) in zip(fleet.names, result.plan.spans, strict=True)
            if stop > start
        ],
        "chains": [
            {
                "servers": [fleet.names[j] for j in chain.servers],
                "stops": list(chain.stops),
                "blocks": list(chain.blocks),
                "capacity": chain.capacity,
                "seconds": chain_seconds(fleet, chain),
            }
            for chain in result.plan.chains
        ],
        "figures": {
            "rate_per_s": result.rate,
            "rate_bound_per_s": result.bound,
            "rate_bound_of_this_placement_per_s": result.relaxation,
            "arrivals_per_s": fleet.arrivals_per_s,
            "sessions_at_once": sum(chain.capacity for chain in result.plan.chains),
            "response_bound_s": least,
            "response_lower_bound_s": result.response[0],
            "response_upper_bound_s": result.response[1],
            "response_simulated_s": response,
            "response_simulated_p95_s": simulated.p95_s if simulated else None,
        },
        "notes": notes(fleet),
        "seed": seed,
        "evaluations": result.evaluations,
        "seconds": result.seconds,
        "version": VERSION,
    }


def notes(fleet: Fleet) -> list[str]:
    """What the user should know about the servers, a line each."""
    need = fleet.block_bytes + fleet.cache_bytes
    return [
        f"{name} holds nothing: {memory / 1e9:g} GB are less than a block with a session's cache, {need / 1e9:g} GB"
        for name, memory, most in zip(fleet.names, fleet.memory_bytes, fleet.most_blocks, strict=True)
        if most == 0
    ]


def lines(fleet: Fleet, result: ChainResult) -> list[str]:
    """The plan for people."""
    text = [f"{fleet.n_blocks} blocks on {sum(b > a for a, b in result.plan.spans)} of {fleet.n_servers} servers"]
    for chain in result.plan.chains:
        starts = (0, *chain.stops)
        way = "  ".join(
            f"{fleet.names[j]}:{a}-{b - 1}" for j, a, b in zip(chain.servers, starts, chain.stops, strict=False)
        )
        text.append(f"  {chain.capacity:4d} sessions of {chain_seconds(fleet, chain):.3g} s  {way}")
    text.append(f"rate      {result.rate:.4g} sessions/s; no placement serves more than {result.bound:.4g}")
    if result.simulated is None:
        text.append(
            f"arrivals  {fleet.arrivals_per_s:.4g} sessions/s are more than that: the queue would grow for ever"
        )
    else:
        text.append(
            f"response  {result.simulated.mean_s:.4g} s mean, {result.simulated.p95_s:.4g} s for 95 of 100, "
            f"simulated at {fleet.arrivals_per_s:.4g} sessions/s"
        )
    if result.response_bound is not None:
        text.append(f"bound     no placement has a mean response below {result.response_bound:.4g} s")
    text += [f"note      {note}" for note in notes(fleet)]
    return text
