"""What a simulation measured: rates, waiting, caches, busy stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .engine import BINS, Engine
from .kernels.events import FloatArray
from .ledger import Ledger
from .samples import COLUMNS


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user takes for good: most seconds to the first token, and per token after it."""

    ttft_s: float = math.inf
    time_per_token_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of a quantity over requests; NaN of none."""

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: FloatArray) -> Spread:
        """Of values by request."""
        if not len(values):
            return cls(math.nan, math.nan, math.nan, math.nan)
        return cls(float(values.mean()), *(float(q) for q in np.percentile(values, (50, 90, 99))))


@dataclass(frozen=True, slots=True)
class ServingFigures:
    """Figures of a simulation.

    Attributes
    ----------
    seconds : float
        Simulated.
    requests, finished, refused, unfinished : int
        Requests that came; that were served; that could never fit; that were still there at the end.
    requests_per_s, output_tokens_per_s, total_tokens_per_s, goodput_per_s : float
        Finished requests and tokens (prompts included in the total) by time; requests within the limits.
    ttft_s, time_per_token_s, latency_s, normalized_latency_s, queueing_s : Spread
        From arrival to the first token; between tokens after it; to the last token; that by output tokens; from arrival
        to the first pass.
    in_flight, waiting : float
        Mean requests taken in, and in the queue.
    cache_used, cache_reserved, cache_internal, cache_external : float
        Mean part of the caches' room that holds tokens, is given away, is given away and holds none, and is free but
        too scattered.
    useful_share : float
        Mean part of what cannot be given to others that holds tokens, while somebody waits or all the time.
    preemptions : int
    events : mapping of str to float
        What the policy counted.
    busy : mapping of str to float
        Busy share by node.
    passes : int
    """

    seconds: float
    requests: int
    finished: int
    refused: int
    unfinished: int
    requests_per_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    goodput_per_s: float
    ttft_s: Spread
    time_per_token_s: Spread
    latency_s: Spread
    normalized_latency_s: Spread
    queueing_s: Spread
    in_flight: float
    waiting: float
    cache_used: float
    cache_reserved: float
    cache_internal: float
    cache_external: float
    useful_share: float
    preemptions: int
    events: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    passes: int = 0


@dataclass(frozen=True, slots=True)
class ServingRun:
    """A simulation that has ended, or was stopped.

    Attributes
    ----------
    figures : ServingFigures
    ledger : Ledger
        Every request.
    samples : array (T, 6)
        Time in s, tokens used, reserved and unusable, requests running and waiting.
    busy : array (N, bins)
        Busy seconds by node and stretch of time.
    bin_s : float
        Length of a stretch.
    gantt : array (P, 5)
        Node, group, begin and end in s, tokens of the first passes.
    nodes : tuple of str
    policy : str
    notes : tuple of str
    interrupted : bool
    """

    figures: ServingFigures
    ledger: Ledger
    samples: FloatArray
    busy: FloatArray
    bin_s: float
    gantt: FloatArray
    nodes: tuple[str, ...]
    policy: str
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def requests(self) -> dict[str, npt.NDArray[Any]]:
        """Columns by request: tokens, times in s (NaN where there is none), preemptions."""
        ledger = self.ledger
        return {
            "prompt_tokens": ledger.prompt,
            "output_tokens": ledger.output,
            "arrival_s": ledger.arrival_s,
            "begun_s": ledger.begun_s,
            "first_token_s": ledger.first_s,
            "finish_s": ledger.finish_s,
            "preempted": ledger.preempted,
            "refused": ledger.refused,
        }


def figures_of(engine: Engine, limits: Limits) -> ServingFigures:
    """Figures of a simulation at its present state; what came or ended before its warm-up was over does not count."""
    ledger, now, warm_s = engine.ledger, engine.now, engine.load.warm_s
    came = np.isfinite(ledger.arrival_s) & (ledger.arrival_s <= now) & (np.arange(ledger.number) < engine.arrived)
    done = np.isfinite(ledger.finish_s)
    counted = done & (ledger.arrival_s >= warm_s)
    ends = done & (ledger.finish_s >= warm_s)
    seconds = max(now - warm_s, 1e-12)
    ttft = (ledger.first_s - ledger.arrival_s)[counted]
    latency = (ledger.finish_s - ledger.arrival_s)[counted]
    output = ledger.output[counted]
    many = output > 1
    between = (ledger.finish_s - ledger.first_s)[counted][many] / (output[many] - 1)
    good = (ttft <= limits.ttft_s).copy()
    good[many] &= between <= limits.time_per_token_s
    caches = _caches(engine, warm_s)
    return ServingFigures(
        seconds=now,
        requests=int(came.sum()),
        finished=int(done.sum()),
        refused=int(ledger.refused.sum()),
        unfinished=int(came.sum() - done.sum() - ledger.refused.sum()),
        requests_per_s=float(ends.sum()) / seconds,
        output_tokens_per_s=float(ledger.output[ends].sum()) / seconds,
        total_tokens_per_s=float((ledger.output + ledger.prompt)[ends].sum()) / seconds,
        goodput_per_s=float(good.sum()) / seconds,
        ttft_s=Spread.of(ttft),
        time_per_token_s=Spread.of(between),
        latency_s=Spread.of(latency),
        normalized_latency_s=Spread.of(latency / output),
        queueing_s=Spread.of((ledger.begun_s - ledger.arrival_s)[counted]),
        preemptions=int(ledger.preempted.sum()),
        events=dict(sorted(engine.world.events.items())),
        in_flight=engine.running_s / seconds,
        waiting=engine.waiting_s / seconds,
        busy=_busy(engine),
        passes=int(engine.s.noted[1]),
        **caches,
    )


def _caches(engine: Engine, warm_s: float) -> dict[str, float]:
    """Means over time of what samples show."""
    table = engine.samples.table()
    room = sum(engine.world.room_tokens(c) for c in range(engine.serving.instances))
    names = ("cache_used", "cache_reserved", "cache_internal", "cache_external", "useful_share")
    table = table[table[:, 0] >= warm_s]
    if not len(table) or room <= 0:
        return dict.fromkeys(names, 0.0)
    spans = np.diff(table[:, 0], prepend=min(warm_s, table[0, 0]))  # a sample shows what was before it
    spans = spans if spans.sum() > 0 else np.ones(len(table))
    column = {name: table[:, k] for k, name in enumerate(COLUMNS)}

    def mean(values: FloatArray, where: npt.NDArray[np.bool_] | None = None) -> float:
        weights = spans if where is None else spans * where
        total = float(weights.sum())
        return float((values * weights).sum() / total) if total > 0 else 0.0

    crowded = (column["waiting"] > 0) & (column["reserved"] > 0)
    crowded = crowded if (crowded * spans).sum() > 0 else column["reserved"] > 0
    taken = column["reserved"] + column["unusable"]
    return {
        "cache_used": mean(column["used"]) / room,
        "cache_reserved": mean(column["reserved"]) / room,
        "cache_internal": mean(np.maximum(column["reserved"] - column["used"], 0.0)) / room,
        "cache_external": mean(column["unusable"]) / room,
        "useful_share": mean(np.minimum(column["used"] / np.maximum(taken, 1.0), 1.0), crowded),
    }


def _busy(engine: Engine) -> dict[str, float]:
    total = engine.s.busy.sum(axis=1) / max(engine.now, 1e-12)
    return {name: float(share) for name, share in zip(engine.serving.nodes, total, strict=True)}


def busy_by_time(engine: Engine) -> tuple[FloatArray, float]:
    """Busy seconds by node and stretch of time up to now, and the length of a stretch in s."""
    bin_s = float(engine.s.bin_s[0])
    last = min(math.ceil(engine.now / bin_s) if bin_s > 0 else BINS, BINS)
    return engine.s.busy[:, : max(last, 1)].copy(), bin_s
