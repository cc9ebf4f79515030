"""Seconds of real blocks on a device: every kind of block once, with random weights, over batches and contexts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..question.model import Block, Model
from ..run.architecture import find, skeleton, skeleton_from
from ..run.random_weights import materialize
from .hardware import Hardware, synchronizer, timed
from .pauses import Rest

ROOM = 0.8
"""Share of the free memory that a measurement may take."""

COPIES_BYTES = 768e6
"""Small blocks are measured several in a row, of this size together: caches must not hide the memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured point.

    Attributes
    ----------
    kind : int
        Number of the kind of block (see `kinds_of`).
    phase : str
        "decode" or "prefill".
    batch : int
        Sequences.
    tokens : int
        Context of a decode step, or length of a prompt.
    seconds : float
        Median of the repeats; after a rest, without what a pass takes once.
    spread : float
        Interquartile range over the median.
    repeats : int
    flops, n_bytes : float
        Work and traffic of the point by the model's own count.
    pass_s : float
        Seconds that a pass took once, however many blocks; only known where there was a rest before each.
    """

    kind: int
    phase: str
    batch: int
    tokens: int
    seconds: float
    spread: float
    repeats: int
    flops: float
    n_bytes: float
    pass_s: float = 0.0


def kinds_of(model: Model) -> tuple[list[int], list[int]]:
    """Return the first block of every kind, and the kind of every block; blocks of a kind differ in name only."""
    first: dict[tuple[Any, ...], int] = {}
    kinds: list[int] = []
    starts: list[int] = []
    for number, block in enumerate(model.blocks):
        mark = tuple(getattr(block, name) for name in Block.__slots__ if name != "name")
        if mark not in first:
            first[mark] = len(starts)
            starts.append(number)
        kinds.append(first[mark])
    return starts, kinds


def measure_blocks(
    source: Any,
    model: Model,
    hardware: Hardware,
    *,
    dtype: str,
    batches: Sequence[int],
    contexts: Sequence[int],
    prompts: Sequence[int],
    budget_s: float = 40.0,
    clock: Callable[[], float] = time.perf_counter,
    rest: Rest | None = None,
) -> list[Sample]:
    """Measure the decode and prefill seconds of every kind of block.

    Parameters
    ----------
    source : Path, mapping or callable
        Checkpoint folder or config.json, the configuration itself, or what makes the model from a number format.
    model : Model
        The same model as blocks: says which blocks are alike, and what a pass costs by count.
    dtype : str
        Number format of weights and activations.
    batches, contexts, prompts : sequence of int
        Decode is measured at every batch and context, prefill at every prompt length.
    budget_s : float
        Seconds for all points together; slow points take what two repeats take.
    clock : callable
        `time.thread_time` measures one CPU thread without its neighbours: what emulated hosts are multiples of.
    rest : Rest, optional
        Before every pass, as in a pipeline; none measures passes in a row.
    """
    starts, kinds = kinds_of(model)
    points = len(batches) * len(contexts) + len(prompts)
    # Most of a model is of one or two kinds: those get most of the time.
    weights = [4.0 if kinds.count(kind) > 1 else 1.0 for kind in range(len(starts))]
    samples: list[Sample] = []
    wake_s = 0.0  # what a pass through nothing but a lookup takes, once there was one
    with torch.inference_mode():
        for kind, number in enumerate(starts):
            block, share = model.blocks[number], 0.8 * budget_s / points * weights[kind] / sum(weights)
            most = max(max(batches) * block.kv_bytes(max(contexts)), block.kv_bytes(max(prompts)))
            alike = next((k for k, other in enumerate(kinds[number:]) if other != kind), len(kinds) - number)
            runner = _Runner(source, number, alike, model, hardware, dtype, most, max(prompts))
            runner.clock, runner.wake_s = clock, wake_s
            runner.rest = None if rest is None else rest.between(hardware.device)
            for batch in batches:
                for context in contexts:
                    times, pass_s = runner.decode(batch, context, share)
                    flops = batch * (block.flops_per_token + block.attention_flops_per_token * context)
                    moved = block.read_bytes(batch) + batch * block.kv_bytes(context)
                    samples.append(_sample(kind, "decode", batch, context, times, flops, moved, pass_s))
            pass_s = min((s.pass_s for s in samples if s.kind == kind), default=0.0)
            wake_s = wake_s or pass_s
            for prompt in prompts:
                times = runner.prefill(prompt, share, pass_s)
                tokens = 1 if block.last_token_only else prompt
                flops = tokens * (block.flops_per_token + block.attention_flops_per_token * prompt / 2.0)
                moved = block.read_bytes(tokens) + block.kv_bytes(prompt)
                samples.append(_sample(kind, "prefill", 1, prompt, times, flops, moved))
    return samples


def _sample(
    kind: int,
    phase: str,
    batch: int,
    tokens: int,
    times: Sequence[float],
    flops: float,
    n_bytes: float,
    pass_s: float = 0.0,
) -> Sample:
    middle = float(np.median(times))
    spread = float(np.subtract(*np.quantile(times, [0.75, 0.25]))) / max(middle, 1e-12)
    return Sample(kind, phase, batch, tokens, middle, spread, len(times), flops, n_bytes, pass_s)


class _Runner:
    """One block on the device, or a run of blocks like it where they are small, passed in one go.

    What a pass costs once (masks, positions, leaving Python) is thus shared by many blocks, as in a real stage.
    """

    def __init__(
        self,
        source: Any,
        block: int,
        alike: int,
        model: Model,
        hardware: Hardware,
        dtype: str,
        cache_bytes: float,
        prompt: int,
    ) -> None:
        self.device, self.block, self.clock = hardware.device, block, time.perf_counter
        self.rest: Callable[[float], None] | None = None
        self.wake_s = 0.0
        self.wait = synchronizer(hardware.device)
        self.dtype = getattr(torch, dtype)
        empty = skeleton_of(source, dtype)
        arch = find(empty)
        if arch.n_blocks != model.n_blocks:
            raise InputError(f"the configuration gives {arch.n_blocks} blocks, the model has {model.n_blocks}", "model")
        own = sum(p.numel() * p.element_size() for m in arch.modules(block) for p in m.parameters())
        copies = 1
        if 0 < block < arch.n_blocks - 1:
            copies = max(1, min(alike, int(COPIES_BYTES // max(own, 1)), 16))
        need = copies * (own + cache_bytes) + 8.0 * prompt * arch.config.hidden_size * 4.0
        if need > ROOM * hardware.free_bytes:
            raise InputError(
                f"measuring block '{model.blocks[block].name}' needs {need / 1e9:.2f} GB, "
                f"{hardware.free_bytes / 1e9:.2f} GB are free on {hardware.device}",
                "memory",
            )
        self.blocks = range(block, block + copies)
        for number in self.blocks:
            self.stage = materialize(empty, number, self.device)
        self.arch = arch
        self.hidden = int(self.arch.config.hidden_size)

    def _values(self, batch: int, tokens: int) -> Any:
        if self.block == 0:
            return torch.zeros((batch, tokens), dtype=torch.int64, device=self.device)
        return torch.randn((batch, tokens, self.hidden), device=self.device).to(self.dtype)

    def prefill(self, prompt: int, budget_s: float, pass_s: float) -> list[float]:
        values = self._values(1, prompt)

        def work() -> None:
            self.stage.forget(0)
            self.stage.run(0, self.blocks.start, self.blocks.stop, 0, values)

        times = timed(work, self.wait, budget_s, clock=self.clock, rest=self.rest)
        return [_less(seconds, pass_s) / len(self.blocks) for seconds in times]

    def decode(self, batch: int, context: int, budget_s: float) -> tuple[list[float], float]:
        """Seconds per block of each repeat, and those that a pass takes once."""
        values, rest, n = self._values(batch, 1), self.rest, len(self.blocks)
        position = [context]

        def passes(stop: int, budget_s: float) -> list[float]:
            self.stage.forget(0)
            self.stage.room, position[0] = context + 64, context
            if 0 < self.block < self.arch.n_blocks - 1:
                for number in self.blocks:
                    self.stage.fill(0, number, batch, context)

            def work() -> None:
                self.stage.run(0, self.blocks.start, stop, position[0], values)
                position[0] += 1

            return timed(work, self.wait, budget_s, clock=self.clock, rest=rest)

        if rest is None:
            return [seconds / n for seconds in passes(self.blocks.stop, budget_s)], 0.0
        many = passes(self.blocks.stop, budget_s / 2)
        if n > 1:  # a pass through one block and one through many: the rest is what they share
            one = float(np.median(passes(self.blocks.start + 1, budget_s / 2)))
            each = max(float(np.median(many)) - one, 0.0) / (n - 1)
            pass_s = max(one - each, 0.0)
        elif self.block == 0:  # a lookup takes next to nothing: what a rest adds is waking up
            rest = None
            pass_s = max(float(np.median(many)) - float(np.median(passes(1, budget_s / 4))), 0.0)
        else:
            pass_s = self.wake_s
        return [_less(seconds, pass_s) / n for seconds in many], pass_s


def _less(seconds: float, pass_s: float) -> float:
    """Blocks without what a pass takes once; noise must not leave nothing of them."""
    return max(seconds - pass_s, 0.05 * seconds)


def skeleton_of(source: Any, dtype: str) -> Any:
    """Return a model without memory from a folder, a config.json or a configuration."""
    if callable(source):
        return source(dtype)
    if isinstance(source, Mapping):
        return skeleton_from(source, dtype)
    path = Path(source)
    return skeleton(path.parent if path.is_file() else path, dtype)
