"""What decides a rate: the seconds of micro-batches per output token, prompts left out or taken in.

A pipeline with C sequences in flight in micro-batches of m has C / m of them under way, one behind the other. Some of
their passes carry prompts and take longer; those behind such a pass wait for it at every stage, so a round trip takes
the long way as often as any of the C / m passes is long:

    round(m, C) = sum of stages and hops of  short + (1 - (1 - share) ** (C / m)) * convoy
    busy(m)     = max over nodes and links of  short + share * convoy
    seconds per token = min over m and C of  max(round(m, C) / C, busy(m) / m)

Little's law (J. D. C. Little, Operations Research 9(3), 1961, doi:10.1287/opre.9.3.383). C is at most what memory holds
and the workload wants, m at most that; an engine has whole micro-batches under way, at most one per stage: C is m times
a number up to that of the stages.
More in flight never makes micro-batches of one size slower: (1 - (1 - q) ** g) / g falls with g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """Per output token of each sequence of a micro-batch; B sizes, N nodes, L blocks.

    Attributes
    ----------
    short_s : array (B, N, L)
        Seconds in a block on a node of a pass that carries no prompt.
    convoy_s : array (B, N, L)
        Seconds more of a pass that carries prompts.
    share : array (B,)
        Part of the passes that carry prompts.
    tokens, prompts : array (B,)
        How many times `CostTables.cut_bytes` cross a link with a pass, and `prompt_cut_bytes` with one that carries
        prompts.
    passes : array (B,)
        Passes per output token: the hops' latencies count so many times.
    fixed_s : array (B,)
        Seconds of a round trip beside stages and hops.
    staged : bool
        Whole micro-batches are under way, at most one per stage, as engines have it.
    """

    short_s: FloatArray
    convoy_s: FloatArray
    share: FloatArray
    tokens: FloatArray
    prompts: FloatArray
    passes: FloatArray
    fixed_s: FloatArray
    staged: bool = False

    def __post_init__(self) -> None:
        shape = self.short_s.shape
        if self.convoy_s.shape != shape:
            raise ValueError(f"Expected convoy_s of shape {shape}, got {self.convoy_s.shape}.")
        for name in ("share", "tokens", "prompts", "passes", "fixed_s"):
            found = getattr(self, name)
            if found.shape != shape[:1] or not (found >= 0).all():
                raise ValueError(f"Expected {name} >= 0 of shape {shape[:1]}, got {found}.")
        if not (self.short_s.min() >= 0 and self.convoy_s.min() >= 0 and (self.share <= 1).all()):
            raise ValueError("Expected seconds of at least 0 and shares of at most 1.")

    def long_share(self, size: int, groups: float) -> float:
        """Part of the round trips that take the long way with so many micro-batches under way."""
        return float(1.0 - (1.0 - float(self.share[size])) ** max(1.0, groups))

    def flying(self, in_flight: int, batch: int, stages: int) -> int:
        """Sequences under way at once in micro-batches of a size that fits."""
        return batch * min(in_flight // batch, stages) if self.staged else in_flight

    def unit(self, batch: int) -> int:
        """Sequences under way are a multiple of this."""
        return batch if self.staged else 1

    def stages_for(self, in_flight: int, batch: int) -> int:
        """Stages that so many sequences in flight need at least."""
        return -(-in_flight // batch) if self.staged else 1


def decode_rounds(batches: IntArray, decode_s: FloatArray) -> Rounds:
    """Decode steps alone: no pass carries prompts."""
    size = batches.astype(np.float64)
    none, one = np.zeros(len(size)), np.ones(len(size))
    return Rounds(decode_s, np.broadcast_to(0.0, decode_s.shape), none, size, none, one, none)


def prompt_passes(size: FloatArray, output_tokens: int, chunks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Passes per request, and prompts that join a micro-batch of each size in one of its passes, in the mean.

    A request has a pass for each further token, one for each chunk of its prompt, and misses one as it waits to join.
    """
    passes = output_tokens - 1 + chunks + 1.0
    return passes, size * chunks / passes


def together(arriving: FloatArray) -> FloatArray:
    """Prompts of a pass that carries some, where so many come per pass by chance: the mean of a Poisson above 0."""
    share = -np.expm1(-arriving)
    return np.where(arriving > 1e-12, arriving / np.maximum(share, 1e-300), 1.0)


def served_rounds(batches: IntArray, decode_s: FloatArray, prefill_s: FloatArray, output_tokens: int) -> Rounds:
    """Prompts taken in, from seconds of decode steps and of whole prompts alone: nothing of a pass is shared.

    Parameters
    ----------
    batches : int array (B,)
    decode_s : array (B, N, L)
        Seconds of a decode step of a micro-batch in a block on a node.
    prefill_s : array (N, L)
        Seconds of a prompt.
    output_tokens : int
        Tokens generated per request.
    """
    size = batches.astype(np.float64)
    passes, arriving = prompt_passes(size, output_tokens, np.ones(len(size)))
    joined = together(arriving)
    per_token = passes / output_tokens
    short = np.empty_like(decode_s)
    sizes = np.concatenate([[0.0], size])
    steps = np.concatenate([np.zeros_like(decode_s[:1]), decode_s])
    for k, mean in enumerate((size * (output_tokens - 1) / passes).tolist()):
        after = int(np.searchsorted(sizes, mean, side="left").clip(1, len(size)))
        part = (mean - sizes[after - 1]) / (sizes[after] - sizes[after - 1])
        short[k] = per_token[k] * ((1.0 - part) * steps[after - 1] + part * steps[after])
    return Rounds(
        short_s=short,
        convoy_s=(per_token * joined)[:, None, None] * prefill_s[None],
        share=arriving / joined,
        tokens=size * (output_tokens - 1) / output_tokens,
        prompts=per_token * joined,
        passes=per_token,
        fixed_s=np.zeros(len(size)),
        staged=True,
    )
