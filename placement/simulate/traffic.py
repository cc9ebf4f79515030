"""Requests that are made up: when they come, how long they are; seeded, with their moments stated.

Arrivals: Poisson; gamma (bursts, by the coefficient of variation of the gaps); diurnal (a Poisson stream whose rate
swings over a day). Lengths: lognormal, cut to a range and rounded, with parameters chosen for published means; the mix
"long" has short and very long contexts together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from placement.errors import InputError, nearest
from placement.question.requests import MOST_REQUESTS, FloatArray, IntArray, Requests, Shared

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Tokens whose logarithm is normal, rounded and cut to a range.

    Attributes
    ----------
    median : float
        Tokens.
    sigma : float
        Standard deviation of the natural logarithm.
    least, most : int
    """

    median: float
    sigma: float
    least: int = 1
    most: int = 100_000

    def draw(self, rng: np.random.Generator, number: int) -> IntArray:
        """So many lengths."""
        raw = np.exp(math.log(self.median) + self.sigma * rng.standard_normal(number))
        return np.clip(np.rint(raw), self.least, self.most).astype(np.int64)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of what `draw` gives."""
        tokens = np.arange(self.least, self.most + 1)
        if self.sigma == 0:
            return float(np.clip(round(self.median), self.least, self.most)), 0.0
        edges = np.concatenate([[-math.inf], (np.log(tokens[:-1] + 0.5) - math.log(self.median)) / self.sigma])
        below = np.array([0.5 * math.erfc(-edge / math.sqrt(2.0)) for edge in edges])
        chance = np.diff(np.append(below, 1.0))
        mean = float((tokens * chance).sum())
        return mean, math.sqrt(max(float((tokens.astype(float) ** 2 * chance).sum()) - mean * mean, 0.0))


@dataclass(frozen=True, slots=True)
class Uniform:
    """Tokens from `least` to `most`, each as likely."""

    least: int
    most: int

    def draw(self, rng: np.random.Generator, number: int) -> IntArray:
        """So many lengths."""
        return rng.integers(self.least, self.most + 1, number)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return (self.least + self.most) / 2.0, math.sqrt(((self.most - self.least + 1) ** 2 - 1) / 12.0)


@dataclass(frozen=True, slots=True)
class Lengths:
    """One kind of request.

    Attributes
    ----------
    prompt, output : Lognormal or Uniform
    source : str
        Where the means are from.
    """

    prompt: Lognormal | Uniform
    output: Lognormal | Uniform
    source: str = ""


# Medians and spreads are chosen so that the means (prompt, output) are those published: sharegpt 161 and 338, alpaca 19
# and 58 (W. Kwon et al., SOSP 2023, section 6.1); chat 1155 and 211, code 2048 and 28 (Azure's traces of 2023: P. Patel
# et al., "Splitwise", ISCA 2024, arXiv:2311.18677). `moments` tells what is drawn exactly.
LENGTHS: Mapping[str, tuple[tuple[float, Lengths], ...]] = MappingProxyType(
    {
        "sharegpt": ((1.0, Lengths(Lognormal(85, 1.2, 4, 1024), Lognormal(237, 1.0, 4, 1024), "SOSP 2023")),),
        "alpaca": ((1.0, Lengths(Lognormal(16.5, 0.55, 4, 256), Lognormal(38, 0.95, 4, 512), "SOSP 2023")),),
        "chat": ((1.0, Lengths(Lognormal(725, 1.0, 8, 7000), Lognormal(161, 0.75, 4, 1000), "Splitwise, ISCA 2024")),),
        "code": ((1.0, Lengths(Lognormal(1455, 0.9, 16, 7400), Lognormal(17, 1.0, 1, 900), "Splitwise, ISCA 2024")),),
        "summarisation": ((1.0, Lengths(Lognormal(4000, 0.6, 256, 15000), Lognormal(180, 0.5, 16, 999), "our guess")),),
        "orca": ((1.0, Lengths(Uniform(32, 512), Uniform(1, 128), "OSDI 2022, section 6")),),
        "long": (
            (0.95, Lengths(Lognormal(400, 1.0, 8, 4000), Lognormal(200, 0.8, 4, 1000), "our guess")),
            (0.05, Lengths(Lognormal(60_000, 0.6, 16_000, 200_000), Lognormal(300, 0.8, 16, 2000), "our guess")),
        ),
    }
)


# Quantiles in tokens of the conversations in Azure's trace of 2023 (arXiv:2311.18677) that have prompts of 4 to 2,048
# and outputs of 4 to 1,024 tokens, 4,428 of the first 5,000. Half of the prompts have 980 to 1,240 tokens, and few are
# longer: of lognormal ones the longest hold up everybody else, and single clusters serve 3% less.
PAIRED_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
PAIRED_PROMPTS = (7, 209, 390, 416, 988, 1027, 1057, 1093, 1139, 1231, 1467, 2045)
PAIRED_OUTPUTS = (10, 71, 93, 123, 181, 378, 395, 402, 415, 437, 550, 1000)
LEAST_PRODUCT, MOST_PRODUCT = 0.75, 1.25  # lengths so distributed reach a little more


def paired_lengths(
    prompt_tokens: float, output_tokens: float, product: float, *, number: int = 5000, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Lengths of requests whose prompts and outputs depend on each other: distributed as Azure's, but for their means.

    Parameters
    ----------
    prompt_tokens, output_tokens : float
        Means.
    product : float
        Mean of prompt times output, over the product of both means; from 0.75 to 1.25. Azure's have 1.155.
    number, seed : int

    Returns
    -------
    prompts, outputs : array (number,)
        Whole tokens, at least 1.
    """
    if not LEAST_PRODUCT <= product <= MOST_PRODUCT:
        raise ValueError(f"Expected a product from {LEAST_PRODUCT} to {MOST_PRODUCT}, got {product}.")
    rng = np.random.default_rng(seed)
    one, two = rng.standard_normal((2, number))
    prompts = _ranked(one, PAIRED_PROMPTS)
    low, high = -1.0, 1.0  # how far both go together; the product rises with it
    for _ in range(40):
        alike = (low + high) / 2.0
        outputs = _ranked(alike * one + math.sqrt(1.0 - alike * alike) * two, PAIRED_OUTPUTS)
        low, high = (alike, high) if float((prompts * outputs).mean()) < product else (low, alike)
    return np.maximum(1.0, np.rint(prompt_tokens * prompts)), np.maximum(1.0, np.rint(output_tokens * outputs))


def _ranked(values: FloatArray, quantiles: tuple[float, ...]) -> FloatArray:
    """Numbers of mean 1 with the order of `values`, distributed as quantiles at `PAIRED_SHARES` say."""
    shares = (np.argsort(np.argsort(values)) + 0.5) / len(values)
    raw = np.interp(shares, PAIRED_SHARES, quantiles)
    found: FloatArray = raw / raw.mean()
    return found


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests come.

    Attributes
    ----------
    rate_per_s : float
    burstiness : float
        Coefficient of variation of the gaps: 1 is Poisson, more comes in bursts (gamma).
    swing : float
        Part of the rate by which it swings over a period, from 0 to 1.
    period_s : float
    """

    rate_per_s: float
    burstiness: float = 1.0
    swing: float = 0.0
    period_s: float = DAY_S

    def __post_init__(self) -> None:
        if not 0.0 < self.rate_per_s <= 1e6:
            raise InputError(f"expected requests/s above 0, got {self.rate_per_s:g}", "rate")
        if not 0.0 < self.burstiness <= 100.0:
            raise InputError(f"expected a number above 0 and at most 100, got {self.burstiness:g}", "burstiness")
        if not 0.0 <= self.swing <= 1.0:
            raise InputError(f"expected a share from 0 to 1, got {self.swing:g}", "swing")
        if not self.period_s > 0.0:
            raise InputError(f"expected seconds above 0, got {self.period_s:g}", "period")

    def draw(self, rng: np.random.Generator, number: int) -> FloatArray:
        """So many times in s, ascending."""
        shape = 1.0 / self.burstiness**2
        gaps = rng.gamma(shape, 1.0 / shape, number)
        return self._clock(np.cumsum(gaps))

    def until(self, rng: np.random.Generator, seconds: float) -> FloatArray:
        """Times before `seconds`; at least one."""
        expected = self.rate_per_s * seconds
        if expected > MOST_REQUESTS:
            raise InputError(f"expected at most {MOST_REQUESTS} requests, got about {expected:.3g}", "duration")
        times = self.draw(rng, int(expected + 10.0 * self.burstiness * math.sqrt(expected + 1.0)) + 10)
        return times[: max(1, int(np.searchsorted(times, seconds)))]

    def _clock(self, units: FloatArray) -> FloatArray:
        """Times at which so many requests are expected to have come: the inverse of the summed rate."""
        if self.swing == 0.0:
            return units / self.rate_per_s
        # rate (1 - swing cos(2 pi t / period)): at night first. Solved by bisection, all at once.
        turn = 2.0 * math.pi / self.period_s
        low, high = np.zeros_like(units), units / self.rate_per_s + self.period_s
        for _ in range(80):
            middle = (low + high) / 2.0
            come = self.rate_per_s * (middle - self.swing * np.sin(turn * middle) / turn)
            low, high = np.where(come < units, middle, low), np.where(come < units, high, middle)
        return (low + high) / 2.0


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prompts that begin alike: groups that share a system prompt, each with a few questions that come again and again.

    Attributes
    ----------
    system_tokens : int
        Tokens of a group's beginning.
    groups : int
    questions : int
        Different prompts of each group; 0: every question is new.
    """

    system_tokens: int
    groups: int = 1
    questions: int = 0

    def __post_init__(self) -> None:
        for name, least in (("system_tokens", 0), ("groups", 1), ("questions", 0)):
            if not least <= getattr(self, name) <= 10_000_000:
                raise InputError(f"expected a whole number of at least {least}, got {getattr(self, name)!r}", name)


def lengths_named(name: str) -> tuple[tuple[float, Lengths], ...]:
    """The mix of that name; raise `InputError` with the nearest one for an unknown name."""
    if name not in LENGTHS:
        raise InputError(f"unknown lengths '{name}'{nearest(name, LENGTHS)} (known: {', '.join(LENGTHS)})", "lengths")
    return LENGTHS[name]


def make_requests(
    times: FloatArray,
    mix: tuple[tuple[float, Lengths], ...],
    rng: np.random.Generator,
    *,
    prefixes: Prefixes | None = None,
    name: str = "traffic",
) -> Requests:
    """Requests at given times.

    Parameters
    ----------
    times : array (R,)
        In s, ascending.
    mix : tuple of (float, Lengths)
        Kinds of requests and their shares, which add up to 1.
    rng : numpy Generator
    prefixes : Prefixes, optional
        What prompts share; with questions that come again their lengths are drawn once for each question.
    name : str
        For messages.
    """
    number = len(times)
    repeated = prefixes is not None and prefixes.questions > 0
    different = prefixes.groups * prefixes.questions if prefixes is not None and repeated else number
    kind = rng.choice(len(mix), size=different, p=[share for share, _ in mix])
    prompt, output = np.zeros(different, dtype=np.int64), np.zeros(different, dtype=np.int64)
    for k, (_, lengths) in enumerate(mix):
        chosen = np.flatnonzero(kind == k)
        prompt[chosen] = lengths.prompt.draw(rng, len(chosen))
        output[chosen] = lengths.output.draw(rng, len(chosen))
    if prefixes is None:
        return Requests(times, prompt, output, name=name)
    which = np.arange(number) % different
    groups = which // prefixes.questions if repeated else rng.integers(0, prefixes.groups, number)
    prompt, output = prompt[which], output[which]
    system = np.minimum(prefixes.system_tokens, prompt)
    ids, tokens = groups[:, None], system[:, None]
    if repeated:
        ids = np.concatenate([ids, prefixes.groups + which[:, None]], axis=1)
        tokens = np.concatenate([tokens, prompt[:, None] - system[:, None]], axis=1)
    at = np.arange(number + 1, dtype=np.int64) * ids.shape[1]
    shared = Shared(at, ids.reshape(-1).astype(np.int64), tokens.reshape(-1).astype(np.int64))
    return Requests(times, prompt, output, shared, name=name)
