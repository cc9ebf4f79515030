"""The figures of plans in words: every kind's, by their names, with intervals where a plan has them."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan.plan import Figures, Plan
from ..quantities import between, quantity

# In the order of the page; units are those of `placement.quantities.quantity`.
WORDS: dict[str, tuple[str, str]] = {
    "time_per_token_s": ("time per token", "s"),
    "ttft_s": ("time to first token", "s"),
    "tokens_per_s": ("throughput", "tokens/s"),
    "served_tokens_per_s": ("served output", "tokens/s"),
    "flow_tokens_per_s": ("max flow, prompts and outputs", "tokens/s"),
    "goodput_per_s": ("goodput, simulated", "requests/s"),
    "simulated_ttft_p50_s": ("first token under load, median", "s"),
    "simulated_ttft_p99_s": ("first token under load, 99 of 100", "s"),
    "simulated_time_per_token_p50_s": ("time per token under load, median", "s"),
    "simulated_time_per_token_p99_s": ("time per token under load, 99 of 100", "s"),
    "request_time_s": ("whole request", "s"),
    "light_time_per_token_s": ("time per token, one request alone", "s"),
    "light_ttft_s": ("first token, one request alone", "s"),
    "best_chain_s": ("time per token on the fastest chain", "s"),
    "rate_per_s": ("sessions served", "sessions/s"),
    "rate_bound_per_s": ("no placement serves more than", "sessions/s"),
    "arrivals_per_s": ("sessions that arrive", "sessions/s"),
    "sessions_at_once": ("sessions at once", ""),
    "response_simulated_s": ("response time, mean, simulated", "s"),
    "response_simulated_p95_s": ("response time, 95 of 100", "s"),
    "in_flight": ("sequences in flight", ""),
    "micro_batch": ("sequences in a micro-batch", ""),
    "bottleneck_s": ("bottleneck busy per micro-batch", "s"),
    "stages": ("stages of the longest chain", ""),
    "min_holders": ("holders of the rarest block", ""),
    "survival": ("every block is up, probability", ""),
    "price_per_hour": ("price", "$/h"),
    "price_per_token": ("price", "$/token"),
    "energy_per_token_j": ("energy", "J/token"),
    "moved_bytes": ("weights to be loaded", "B"),
}
SILENT = ("price_per_hour", "price_per_token", "moved_bytes", "energy_per_token_j")  # not told where they are 0
ENDINGS = (("_tokens_per_s", "tokens/s"), ("_per_s", "1/s"), ("_bytes", "B"), ("_s", "s"), ("_j", "J"))


def words_of(name: str) -> tuple[str, str]:
    """A figure's title and unit; of one that is not known, its name and what its ending says."""
    if name in WORDS:
        return WORDS[name]
    unit = next((unit for ending, unit in ENDINGS if name.endswith(ending)), "")
    return name.replace("_", " "), unit


def ordered(figures: Figures) -> Iterator[str]:
    """Names of the figures that there are, in the order of the page; prices and moves of nothing are left out."""
    for name in dict.fromkeys((*WORDS, *figures)):
        if name in figures and (figures[name] != 0 or name not in SILENT):
            yield name


def shown_figures(plan: Plan) -> list[tuple[str, str, str]]:
    """Title, value and interval of each figure; the interval is empty where there is none."""
    rows = []
    for name in ordered(plan.figures):
        title, unit = words_of(name)
        ends = plan.intervals.get(name)
        rows.append((title, quantity(plan.figures[name], unit), between(*ends, unit) if ends else ""))
    return rows
