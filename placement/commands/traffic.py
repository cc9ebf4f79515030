"""What `placement simulate` is told about requests and engines, turned into values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, nearest, shown
from ..question.requests import Requests
from ..readers import units
from ..readers.traces import read_trace
from ..simulate.serving import EngineOptions, HostCosts, Limits
from ..simulate.traffic import LENGTHS, Arrivals, Lengths, Prefixes, Uniform, lengths_named, make_requests
from .options import pairs_of

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
CLOSED_REQUESTS = 200_000  # of a closed stream: more are never simulated
MOST_RATES = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What requests were asked for.

    Attributes
    ----------
    trace : Path or None
    rate_per_s : float or None
    concurrency : int
        0: an open stream.
    duration_s : float or None
        In which requests come; of a closed stream the end.
    number : int or None
        Of requests.
    lengths : str
        As `length_mix` reads it; empty: those of the trace, else of the workload.
    prefixes : Prefixes or None
    burstiness, swing, period_s : float
    """

    trace: Path | None = None
    rate_per_s: float | None = None
    concurrency: int = 0
    duration_s: float | None = None
    number: int | None = None
    lengths: str = ""
    prefixes: Prefixes | None = None
    burstiness: float = 1.0
    swing: float = 0.0
    period_s: float = 86400.0


def rates_of(text: str | None) -> list[float | None]:
    """Requests/s of an option such as ``4/s`` or ``1/s,2/s,4/s``; [None] without one."""
    if text is None:
        return [None]
    found: list[float | None] = []
    for part in text.split(",")[: MOST_RATES + 1]:
        found.append(rate_of(part))
    if len(found) > MOST_RATES:
        raise InputError(f"expected at most {MOST_RATES} rates", "--rate")
    return found


def rate_of(text: str) -> float:
    """Requests/s of one rate."""
    try:
        return units.requests_per_s(text)
    except ValueError as error:
        raise InputError(str(error), "--rate") from None


def seconds_of(text: str | None, option: str) -> float | None:
    """Seconds of an option such as ``600s``."""
    if text is None:
        return None
    try:
        return float(units.seconds(text.strip()))
    except ValueError as error:
        raise InputError(str(error), option) from None


def requests_of(asked: Asked, workload: tuple[int, int], seed: int) -> Requests:
    """The requests that were asked for.

    Parameters
    ----------
    asked : Asked
    workload : (int, int)
        Prompt and output tokens of the question, for when nothing else is said.
    seed : int

    Raises
    ------
    InputError
        A trace without times and no rate; or what a trace or generator refuses.
    """
    rng = np.random.default_rng(seed)
    lengths = asked.lengths
    known = read_trace(asked.trace) if asked.trace is not None else None
    if lengths and known is None and not _is_mix(lengths):
        known = read_trace(Path(lengths))
    elif lengths and known is not None:
        raise InputError("does not apply: the trace has lengths", "--lengths")
    if known is not None and asked.prefixes is not None:
        raise InputError("does not apply: a trace says itself what prompts share", "--prefixes")
    if known is not None and asked.rate_per_s is None and not asked.concurrency:
        if not known.timed:
            raise InputError("has no times: give --rate or --concurrency", known.name)
        found = known if asked.duration_s is None else known.until(asked.duration_s)
        return found if asked.number is None else found.first(asked.number)
    times = _times(asked, rng, known)
    if known is not None:
        return known.at(times)
    mix = length_mix(lengths or f"{workload[0]}:{workload[1]}")
    return make_requests(times, mix, rng, prefixes=asked.prefixes, name=f"lengths {lengths or 'of the workload'}")


def _times(asked: Asked, rng: np.random.Generator, known: Requests | None) -> np.ndarray:
    if asked.concurrency:
        return np.zeros(asked.number or CLOSED_REQUESTS)
    if asked.rate_per_s is None:
        raise InputError("expected --rate, --trace or --concurrency: say how requests come")
    arrivals = Arrivals(asked.rate_per_s, asked.burstiness, asked.swing, asked.period_s)
    if asked.number is not None:
        return arrivals.draw(rng, asked.number)
    if asked.duration_s is None and known is not None:
        return arrivals.draw(rng, known.number)
    return arrivals.until(rng, asked.duration_s or 600.0)


def _is_mix(text: str) -> bool:
    return text in LENGTHS or ":" in text or not os.path.exists(text)


def length_mix(text: str) -> tuple[tuple[float, Lengths], ...]:
    """Lengths by name, or as ``PROMPT:OUTPUT``, each a number or a range such as ``32-512``."""
    if ":" not in text:
        return lengths_named(text)
    parts = text.split(":")
    ranges = [_RANGE.fullmatch(part.strip()) for part in parts]
    if len(parts) != 2 or ranges[0] is None or ranges[1] is None:
        raise InputError(f"expected PROMPT:OUTPUT such as 512:128 or 32-512:1-128, got {shown(text)}", "--lengths")
    both = []
    for match in ranges:
        least = int(match[1]) if match else 0
        most = int(match[2]) if match and match[2] else least
        if not 1 <= least <= most:
            raise InputError(f"expected tokens of at least 1, the smaller first, got {shown(text)}", "--lengths")
        both.append(Uniform(least, most))
    return ((1.0, Lengths(both[0], both[1])),)


def prefixes_of(text: str | None) -> Prefixes | None:
    """What prompts share, such as ``system=100,groups=10,questions=10``."""
    if text is None:
        return None
    names = {"system": "system_tokens", "groups": "groups", "questions": "questions"}
    found: dict[str, int] = {}
    for key, value in pairs_of(text.split(","), "--prefixes", "system=100,groups=10,questions=10").items():
        if key not in names:
            raise InputError(f"unknown key {shown(key)}{nearest(key, names)}", "--prefixes")
        found[names[key]] = int(number_of(value, f"--prefixes {key}", whole=True))
    if "system_tokens" not in found:
        raise InputError("expected system=TOKENS", "--prefixes")
    return Prefixes(**found)


def engine_of(given: list[str] | None) -> EngineOptions:
    """Engine options by name; those of the host as ``host.pass_s``."""
    plain: dict[str, Any] = {}
    host: dict[str, float] = {}
    known = [field.name for field in fields(EngineOptions) if field.name not in ("host", "instances")]
    hosts = [f"host.{field.name}" for field in fields(HostCosts)]
    for key, value in pairs_of(given, "--engine", "KEY=VALUE").items():
        if key in hosts:
            host[key.removeprefix("host.")] = number_of(value, f"--engine {key}")
        elif key in known:
            plain[key] = _engine_value(key, value)
        else:
            raise InputError(f"unknown key {shown(key)}{nearest(key, [*known, *hosts])}", "--engine")
    try:
        return EngineOptions(**plain, host=HostCosts(**host) if host else None)
    except InputError as error:
        raise error.under("--engine") from None


def _engine_value(key: str, value: str) -> object:
    where = f"--engine {key}"
    if key == "ahead":
        return truth_of(value, where)
    if key == "memory_share":
        return number_of(value, where)
    if key == "swap_bytes_per_s":
        try:
            return units.memory_bandwidth(value)
        except ValueError as error:
            raise InputError(str(error), where) from None
    return int(number_of(value, where, whole=True))


def settings_of(given: list[str] | None) -> Mapping[str, object]:
    """Settings of a policy: numbers and truth values where they read as such, else text."""
    found: dict[str, object] = {}
    for key, value in pairs_of(given, "--with", "KEY=VALUE").items():
        if value.lower() in ("true", "false"):
            found[key] = value.lower() == "true"
        elif re.fullmatch(r"\d{1,12}", value):
            found[key] = int(value)
        elif re.fullmatch(r"\d{0,12}\.\d{1,12}", value):
            found[key] = float(value)
        else:
            found[key] = value
    return found


def number_of(value: str, where: str, *, whole: bool = False) -> float:
    """A number of at least 0."""
    pattern = r"\d{1,12}" if whole else r"\d{1,12}(\.\d{0,12})?([eE][+-]?\d{1,2})?|\.\d{1,12}"
    if not re.fullmatch(pattern, value):
        raise InputError(f"expected a {'whole ' if whole else ''}number of at least 0, got {shown(value)}", where)
    return float(value)


def truth_of(value: str, where: str) -> bool:
    """True or false."""
    if value.lower() not in ("true", "false"):
        raise InputError(f"expected true or false, got {shown(value)}", where)
    return value.lower() == "true"


def limits_of(ttft: str | None, time_per_token: str | None) -> Limits:
    """What counts as good."""
    first, between = seconds_of(ttft, "--ttft"), seconds_of(time_per_token, "--time-per-token")
    default = Limits()
    return Limits(default.ttft_s if first is None else first, default.time_per_token_s if between is None else between)
