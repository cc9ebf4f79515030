"""A proven bound on what a pipeline serves: no order of passes is faster, whatever the policy mixes into them.

A pass has d decode steps, at most as many as a micro-batch may have sequences, and p tokens of prompts, d + p at most
those of a pass. Prices u of a decode step and v of a prompt token with u d + v p <= seconds(d, p) for every such pass
say that D steps and P tokens take u D + v P seconds at least (weak duality of the linear program over passes). Held
against each stage, each link and the host by itself, and, a micro-batch being in one place at a time, against whole
round trips shared by all micro-batches. Attention is added by what every order has in common: each token sees its
context, each cache is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placement.question.requests import Requests

from .kernels.events import FloatArray, Machine
from .machine import Serving
from .options import EngineOptions

PRICES = 64  # of a prompt token that are tried; each gives a proof, the best one counts


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes that an engine may have; R rows.

    Attributes
    ----------
    steps : array (R,)
        Decode steps.
    tokens : array (R,)
        Steps and tokens of prompts together.
    """

    steps: FloatArray
    tokens: FloatArray

    @classmethod
    def of(cls, grid: FloatArray, sequences: int, most: int) -> Passes:
        """All numbers of steps by the tokens between which seconds are linear."""
        steps, tokens = np.arange(sequences + 1.0), np.append(grid[(grid > 0) & (grid < most)], float(most))
        d, t = (side.reshape(-1) for side in np.meshgrid(steps, np.union1d(tokens, steps[1:])))
        kept = (t >= d) & (t <= max(most, sequences))
        return cls(d[kept], t[kept])

    def least_s(self, seconds: FloatArray, steps: float, prompt_tokens: float) -> float:
        """Least seconds of so many steps and prompt tokens, in passes that take `seconds` (R,)."""
        decoding, prompts = self.steps > 0, self.tokens - self.steps
        alone = ~decoding
        highest = float((seconds[alone] / prompts[alone]).min())
        price = np.linspace(0.0, highest, PRICES)[:, None]
        rest = (seconds - price * prompts)[:, decoding] / self.steps[decoding]
        return float((np.maximum(rest.min(axis=1), 0.0) * steps + price[:, 0] * prompt_tokens).max())


def most_tokens_per_s(serving: Serving, requests: Requests, options: EngineOptions) -> float:
    """Output tokens/s that no run of these requests exceeds, from the first pass to the last one's end.

    Parameters
    ----------
    serving : Serving
        One instance; each of its nodes has one stage.
    requests : Requests
        Without shared beginnings; none is preempted, and none goes whole that is longer than a pass.
    options : EngineOptions
        With the sequences and micro-batches that may be under way.

    Raises
    ------
    ValueError
        There are several instances.
    """
    if serving.instances != 1:
        raise ValueError(f"Expected one instance, got {serving.instances}.")
    m, stages = serving.machine, serving.machine.stages[0, : serving.machine.length[0]].tolist()
    groups = options.micro_batches or len(stages)
    passes = Passes.of(m.grid, -(-options.max_num_seqs // groups), options.max_num_batched_tokens)
    prompt, out = requests.prompt_tokens.astype(float), requests.output_tokens.astype(float)
    steps, tokens = float((out - 1.0).sum()), float(prompt.sum())
    host = m.pass_s + m.sequence_s * np.maximum(passes.steps, 1.0) + m.prompt_token_s * (passes.tokens - passes.steps)
    busiest, trips = passes.least_s(host, steps, tokens), host
    attending = 0.0
    for stage in stages:
        seconds, attention_s = products(m, stage, passes), attention(serving, stage, prompt, out)
        busiest = max(busiest, passes.least_s(seconds, steps, tokens) + attention_s)
        trips, attending = trips + seconds, attending + attention_s
    for seconds, latency_s in links(m, stages, passes):
        busiest = max(busiest, passes.least_s(seconds, steps, tokens))
        trips = trips + seconds + latency_s
    round_s = passes.least_s(trips, steps, tokens) + attending
    return float(out.sum()) / max(busiest, round_s / groups)


def products(m: Machine, stage: int, passes: Passes) -> FloatArray:
    """Seconds (R,) of matrix products of passes at a stage; a head sees the last token of each sequence."""
    total = np.zeros(len(passes.steps))
    for k in range(int(m.kinds[stage])):
        seen = np.maximum(passes.steps, 1.0) if m.rows[stage, k] else passes.tokens
        total += m.blocks[stage, k] * np.interp(seen, m.grid, m.products_s[stage, k])
    return total


def attention(serving: Serving, stage: int, prompt: FloatArray, out: FloatArray) -> float:
    """Seconds of attention at a stage at least, all requests together: arithmetic or reading, whichever is more."""
    m, total = serving.machine, 0.0
    for k in range(int(m.kinds[stage])):
        window = float(serving.windows[int(m.window[stage, k])])
        pairs = _seen(prompt + out - 1.0, window).sum()
        within = (_seen(prompt + out - 1.0, window) - _seen(prompt, window) + np.minimum(prompt, window)).sum()
        whole = (_seen(prompt + out - 1.0, np.inf) - _seen(prompt, np.inf) + prompt).sum()
        read = m.cache_s[stage, k] * within + m.kept_s[stage, k] * whole + m.state_s[stage, k] * out.sum()
        if m.rows[stage, k]:
            read = 0.0
        total += float(m.blocks[stage, k] * max(m.attention_s[stage, k] * pairs, read))
    return total


def _seen(tokens: FloatArray, window: float) -> FloatArray:
    """Tokens x context of so many tokens in turn, each seeing itself and what came before it in the window."""
    full = np.minimum(tokens, window)
    rest = np.maximum(tokens - window, 0.0)
    seen: FloatArray = full * (full + 1.0) / 2.0 + (rest * window if np.isfinite(window) else 0.0)
    return seen


def links(m: Machine, stages: list[int], passes: Passes) -> list[tuple[FloatArray, float]]:
    """Seconds (R,) that passes keep each link of the way busy, and its latency."""
    client = m.latency_s.shape[0] - 1
    places = [client, *(int(m.node[stage]) for stage in stages), client]
    sent = [passes.tokens * m.bytes_in[stage] for stage in stages]
    sent.append(np.maximum(passes.steps, 1.0) * m.bytes_out)
    hops = zip(places, places[1:], sent, strict=False)
    return [(carried * m.per_byte_s[a, b], float(m.latency_s[a, b])) for a, b, carried in hops]
