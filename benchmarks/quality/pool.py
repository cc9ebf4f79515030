"""A pool of processes that performs experiments, with a progress display."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from .experiments import Experiment, Record, perform

Show = Callable[[int, int, Record], None]


def perform_all(todo: Iterable[Experiment], workers: int, add: Callable[[Record], None], show: Show) -> None:
    """Perform experiments; `add` gets each record as it comes, in this process.

    Ctrl-C ends it: what is done is kept, the rest is left for the next time.
    """
    todo = list(todo)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if workers <= 1:
        for number, experiment in enumerate(todo, 1):
            record = perform(experiment)
            add(record)
            show(number, len(todo), record)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(perform, experiment) for experiment in todo]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                record = future.result()
                add(record)
                show(number, len(todo), record)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
