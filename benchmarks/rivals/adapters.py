"""What rivals share: a search in a thread of its own, a plain encoding, and plans as proposals."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from objectives.terms import Span
from placement.solvers.base import NotApplicableError, Proposal

Evaluate = Callable[[np.ndarray], np.ndarray]


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


def threaded(
    body: Callable[[Callable[[np.ndarray], np.ndarray]], None], problem: Any, decode: Any
) -> Iterator[Proposal]:
    """Run `body(score)` in a thread and yield the best placement of every batch of keys that it scores."""
    found: queue.Queue[Any] = queue.Queue(maxsize=4)
    ended = threading.Event()

    def score(keys: np.ndarray) -> np.ndarray:
        if ended.is_set():
            raise Stopped
        rows = decode(np.atleast_2d(keys))
        values = penalised(problem, rows)
        found.put(Proposal(rows[[int(values.argmin())]], len(rows)))
        return values

    def work() -> None:
        try:
            body(score)
        except Stopped:
            pass
        except Exception as error:
            found.put(error)
        found.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := found.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        ended.set()
        while thread.is_alive():
            try:
                found.get(timeout=0.05)
            except queue.Empty:
                continue
