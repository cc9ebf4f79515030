"""Whether the order of machines holds: Kendall's tau within a model, and what tau a perfect predictor would have.

A pair is two measurements of one figure of one model in one number format, on machines that a cluster file tells apart,
or under other runtimes or releases. Two measurements of the same machine under the same release have no order that a
prediction can know: they are no pair, but repeats, and tell how far measurements of two people lie apart. A pair that
is predicted alike counts as half right (M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30, 1938,
doi:10.1093/biomet/30.1-2.81).

The repeats give a ceiling: were the truth known, a measurement would still be off by what repeats are off, and so
would be the order of two measurements that lie near each other. The truth is drawn about each measurement, time and
again, and the order of the draws is held against that of the measurements. Two measurements of one person share a part
of their errors, which draws do not: the ceiling of a table that one person made is a little higher.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from placement.profile.rates_errors import Residual

DRAWS = 2000
FloatArray = npt.NDArray[np.float64]


def machine(row: Residual) -> tuple[object, ...]:
    """What ran where and how, as far as a prediction knows: figures of nodes, split, runtime and release."""
    case = row.case
    nodes = tuple(
        (node.device, node.memory_bandwidth_bytes_per_s, node.peak_flops_per_s("float32"), node.cores)
        for node in case.request.cluster.nodes
    )
    cluster = case.request.cluster
    links = cluster.latency_s.tobytes(), cluster.bandwidth_bytes_per_s.tobytes()
    return nodes, links, case.spans, case.costs.name, case.row.concurrency


def pairs_within_models(rows: Sequence[Residual], apart: float = 1.0) -> list[tuple[Residual, Residual]]:
    """Pairs of one model, format and figure that have an order, the faster one first.

    Parameters
    ----------
    rows : sequence of Residual
    apart : float
        The measured figures differ by this factor at least.
    """
    groups: dict[tuple[str, str, str], list[Residual]] = {}
    for row in rows:
        groups.setdefault((row.case.row.model, row.case.row.weights, row.figure), []).append(row)
    ordered = (
        (a, b) if a.measured > b.measured else (b, a)
        for group in groups.values()
        for a, b in combinations(group, 2)
        if a.measured != b.measured and machine(a) != machine(b)
    )
    return [(fast, slow) for fast, slow in ordered if fast.measured >= apart * slow.measured]


def tau_within_models(rows: Sequence[Residual], apart: float = 1.0) -> float:
    """Kendall's tau over the pairs of `pairs_within_models`, ties of predictions as half; nan without a pair."""
    signs = [np.sign(fast.predicted - slow.predicted) for fast, slow in pairs_within_models(rows, apart)]
    return float(np.mean(signs)) if signs else math.nan


def wrong_pairs(rows: Sequence[Residual], apart: float = 1.0) -> Iterator[str]:
    """Lines on the pairs whose predicted order is not the measured one."""
    for fast, slow in pairs_within_models(rows, apart):
        if fast.predicted <= slow.predicted:
            told = [f"{row.case.row.id} {row.measured:.4g} (predicted {row.predicted:.4g})" for row in (fast, slow)]
            yield f"{fast.figure}: {told[0]} > {told[1]}, measured x{fast.measured / slow.measured:.2f}"


def repeats(rows: Sequence[Residual]) -> FloatArray:
    """Logarithms of the ratios of repeats (n,), larger over smaller: one machine, release and shape of model."""
    found = [
        abs(math.log(a.measured / b.measured))
        for a, b in combinations(rows, 2)
        if a.figure == b.figure and _shape(a) == _shape(b) and machine(a) == machine(b)
    ]
    return np.array(found, dtype=np.float64)


def _shape(row: Residual) -> tuple[int, float]:
    model = row.case.request.model
    return model.n_blocks, sum(block.weight_bytes for block in model.blocks)


def ceiling(rows: Sequence[Residual], noise: FloatArray, rng: np.random.Generator, apart: float = 1.0) -> FloatArray:
    """Tau of a perfect predictor on exactly these pairs, draw by draw.

    Parameters
    ----------
    rows : sequence of Residual
    noise : array (n,)
        Logarithms of ratios of repeats: each is the difference of two errors, one error 1 / sqrt(2) of it.
    rng : numpy.random.Generator
    apart : float
        As for `pairs_within_models`.

    Returns
    -------
    array (DRAWS,)
    """
    pairs = pairs_within_models(rows, apart)
    number = {id(row): k for k, row in enumerate(rows)}
    fast, slow = (np.array([number[id(pair[end])] for pair in pairs]) for end in (0, 1))
    logs = np.log([row.measured for row in rows])
    errors = rng.choice(noise, (DRAWS, len(rows))) * rng.choice([-1.0, 1.0], (DRAWS, len(rows))) / math.sqrt(2.0)
    truth = logs - errors
    return np.asarray(np.sign(truth[:, fast] - truth[:, slow]).mean(axis=1))
