"""What rivals share: a search in a thread of its own, a plain encoding, and plans as proposals."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from objectives.spans import Span
from placement.search.solver import NotApplicableError, Proposal

Evaluate = Callable[[np.ndarray], np.ndarray]


SILENCE_S = 0.05


class Stopped(Exception):  # noqa: N818
    """The clock has run out; unwinds the rival's own loop."""


def pipeline_of(problem: Any) -> Any:
    """The problem, when it is one of pipelines."""
    if not hasattr(problem, "custom"):
        raise NotApplicableError("this rival plans pipelines only")
    return problem


def from_shares(problem: Any, keys: np.ndarray) -> np.ndarray:
    """The plain encoding: N keys that order the nodes (0.75 and more: idle) and N shares of the blocks."""
    n, blocks = problem.tables.n_nodes, problem.tables.n_blocks
    rows = np.zeros((len(keys), problem.genome_size), dtype=np.int64)
    for row, key in zip(rows, keys, strict=True):
        order = [int(i) for i in np.argsort(key[:n]) if key[i] < 0.75][: problem.width] or [int(np.argmin(key[:n]))]
        shares = key[n:][order] + 1e-6
        stops = np.rint(np.cumsum(shares) / shares.sum() * blocks).astype(int).tolist()
        stops[-1] = blocks
        pairs = zip(order, [0, *stops], stops, strict=False)
        row[:] = problem.encode([Span(node, a, b) for node, a, b in pairs if b > a])
    return rows


def penalised(problem: Any, rows: np.ndarray) -> np.ndarray:
    """One number for optimizers that know no constraints: cost times one plus ten violations."""
    costs, broken = problem.evaluate(rows)
    return np.asarray(costs * (1 + 10 * broken) + broken * 1e-3)


Found = Callable[[Proposal], None]


def streamed(body: Callable[[Found, threading.Event], None], genome_size: int) -> Iterator[Proposal]:
    """Run `body(found, ended)` in a thread and yield the proposals that it passes to `found`, empty ones in silence.

    `ended` is set when nobody wants more; `found` then raises `Stopped`.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=4)
    ended = threading.Event()
    nothing = Proposal(np.empty((0, genome_size), dtype=np.int64))

    def found(proposal: Proposal) -> None:
        if ended.is_set():
            raise Stopped
        waiting.put(proposal)

    def work() -> None:
        try:
            body(found, ended)
        except Stopped:
            pass
        except Exception as error:
            waiting.put(error)
        waiting.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = waiting.get(timeout=SILENCE_S)
            except queue.Empty:
                yield nothing
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        ended.set()
        while thread.is_alive():
            try:
                waiting.get(timeout=SILENCE_S)
            except queue.Empty:
                continue


def threaded(
    body: Callable[[Callable[[np.ndarray], np.ndarray]], None], problem: Any, decode: Any
) -> Iterator[Proposal]:
    """Run `body(score)` in a thread and yield the best placement of every batch of keys that it scores."""

    def scoring(found: Found, _: threading.Event) -> None:
        def score(keys: np.ndarray) -> np.ndarray:
            rows = decode(np.atleast_2d(keys))
            values = penalised(problem, rows)
            found(Proposal(rows[[int(values.argmin())]], len(rows)))
            return values

        body(score)

    yield from streamed(scoring, problem.genome_size)
