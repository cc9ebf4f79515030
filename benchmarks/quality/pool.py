"""A pool of processes that performs experiments, with a progress display."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import numpy as np

from .experiments import Experiment, Record, perform

Show = Callable[[int, int, Record], None]
# One process has one core: neither BLAS nor numba nor torch may take more. HiGHS and CP-SAT are told in their models.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Keep what is loaded from now on, here and in processes that are started, to one thread, unless told otherwise."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")


def processes(workers: int) -> ProcessPoolExecutor:
    """Fresh processes of one thread each."""
    one_thread()
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def perform_all(
    todo: Iterable[Experiment],
    workers: int,
    add: Callable[[Record], None],
    show: Show,
    minutes: float = np.inf,
) -> bool:
    """Perform experiments; `add` gets each record as it comes, in this process. Return whether all were performed.

    After so many minutes no further one is begun. Ctrl-C ends it: what is done is kept, the rest is left for the next
    time.
    """
    todo = list(todo)
    until = time.monotonic() + 60 * minutes
    one_thread()
    done = 0
    if workers <= 1:
        for experiment in todo:
            if time.monotonic() >= until:
                break
            record = perform(experiment)
            done += 1
            add(record)
            show(done, len(todo), record)
        return done == len(todo)
    with processes(workers) as pool:
        waiting, running = iter(todo), set[Future[Record]]()
        try:
            while True:
                # Few are handed out at a time, so that a deadline or an interruption leaves nothing half done for long.
                while len(running) < workers + 2 and time.monotonic() < until:
                    experiment_or_none = next(waiting, None)
                    if experiment_or_none is None:
                        break
                    running.add(pool.submit(perform, experiment_or_none))
                if not running:
                    return done == len(todo)
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    record = future.result()
                    done += 1
                    add(record)
                    show(done, len(todo), record)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
