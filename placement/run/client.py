"""The client of a run: sends prompts, gets sampled tokens, keeps every token, so that nothing is lost with a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .job import Job
from .transport import FORGET, WORK, Message

Send = Callable[[Message], None]


@dataclass
class Batch:
    """A micro-batch: sequences of equal length that go through the stages together.

    Attributes
    ----------
    number : int
    rows : tuple of int
        Which prompts these are.
    prompts : tensor (n, tokens) of int32
    tokens : list of list of int
        Generated so far, for each row.
    began_s : float
        When the prompt was sent, on the clock of `time.perf_counter`.
    times_s : list of float
        When each token came.
    restarts : list of int
        Numbers of tokens that were known when the batch had to be filled in again.
    """

    number: int
    rows: tuple[int, ...]
    prompts: torch.Tensor
    tokens: list[list[int]]
    began_s: float = 0.0
    times_s: list[float] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens[0])


class Client:
    """Feeds the first stages and collects from the last.

    Parameters
    ----------
    job : Job
    place : int
        Number of the client among the places.
    count : Path or None
        A file that grows by one byte with every generated token, for who watches the run.
    """

    def __init__(self, job: Job, place: int, count: Path | None = None) -> None:
        self.job, self.place = job, place
        self.count = None if count is None else count.open("ab", buffering=0)
        self.waiting = make_batches(job)
        self.batches = {batch.number: batch for batch in self.waiting}
        self.active: dict[int, Batch] = {}
        self.most = job.in_flight or len(self.waiting)

    @property
    def done(self) -> bool:
        """All prompts have all their tokens."""
        return not self.active and not self.waiting

    def begin(self, chains: Sequence[Sequence[int]], of_batch: Sequence[int], send: Send) -> None:
        """Send what should be in flight: interrupted sequences from their tokens first, then new ones.

        Parameters
        ----------
        chains : sequence of sequence of int
            Places of each chain, in the order of its spans.
        of_batch : sequence of int
            The chain of each micro-batch, by its number.
        send : callable
        """
        self.chains, self.of_batch = chains, of_batch
        for batch in self.active.values():
            batch.restarts.append(batch.length)
            generated = torch.tensor(batch.tokens, dtype=torch.int32)
            self._send(batch, torch.cat([batch.prompts, generated], dim=1) if batch.length else batch.prompts, 0, send)
        self._fill(send)

    def on_tokens(self, message: Message, send: Send) -> None:
        """Take the sampled tokens of a micro-batch and send its next step."""
        batch = self.active.get(message.batch)
        if batch is None or message.values is None:
            return
        batch.times_s.append(time.perf_counter())
        for row, token in zip(batch.tokens, message.values[:, 0].tolist(), strict=True):
            row.append(int(token))
        if self.count is not None:
            self.count.write(bytes(len(batch.tokens)))
        if batch.length < self.job.tokens and not self._ended(batch):
            self._send(batch, message.values.to(torch.int32), batch.prompts.shape[1] + batch.length - 1, send)
            return
        del self.active[batch.number]
        for place in dict.fromkeys(self.chains[self.of_batch[batch.number]]):
            send(Message(FORGET, self.place, place, batch.number))
        self._fill(send)

    def texts(self) -> list[list[int]]:
        """Return the generated tokens of every prompt, up to and with the end token."""
        rows: dict[int, list[int]] = {}
        for batch in self.batches.values():
            for row, tokens in zip(batch.rows, batch.tokens, strict=True):
                stop = tokens.index(self.job.eos) + 1 if self.job.eos in tokens else len(tokens)
                rows[row] = tokens[:stop]
        return [rows[row] for row in sorted(rows)]

    def records(self) -> list[dict[str, Any]]:
        """Return the times of every token of every micro-batch as plain data."""
        return [
            {
                "rows": batch.rows,
                "prompt": batch.prompts.shape[1],
                "began_s": batch.began_s,
                "times_s": batch.times_s,
                "restarts": batch.restarts,
            }
            for batch in self.batches.values()
        ]

    def _ended(self, batch: Batch) -> bool:
        return self.job.eos is not None and all(self.job.eos in row for row in batch.tokens)

    def _fill(self, send: Send) -> None:
        while self.waiting and len(self.active) < self.most:
            batch = self.waiting.pop(0)
            self.active[batch.number] = batch
            batch.began_s = time.perf_counter()
            self._send(batch, batch.prompts, 0, send)

    def _send(self, batch: Batch, values: torch.Tensor, position: int, send: Send) -> None:
        chain = self.of_batch[batch.number]
        send(Message(WORK, self.place, self.chains[chain][0], batch.number, chain, 0, position, values))


def make_batches(job: Job) -> list[Batch]:
    """The micro-batches of a job, before anything was generated."""
    return [
        Batch(k, rows, torch.tensor([job.prompts[r] for r in rows], dtype=torch.int32), [[] for _ in rows])
        for k, rows in enumerate(job.batches)
    ]
