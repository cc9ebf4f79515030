"""Seeded random cost tables, small enough for exhaustive search, with every kind of constraint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectives.combine import RATES, TERMS, Objective
from objectives.pipeline.tables import CostTables

KINDS = ("pins", "cuts", "max_nodes", "required", "links", "tie", "memory", "twins", "uneven")


def tables(
    rng: np.random.Generator,
    n_nodes: int = 3,
    n_blocks: int = 5,
    concurrency: int = 1,
    *,
    kinds: frozenset[str] | set[str] = frozenset(),
    contiguous: bool = True,
    room: float = 2.0,
) -> CostTables:
    """Random tables; `kinds` (of `KINDS`) switch constraints on, `room` is total memory over what is needed."""
    n, m = n_nodes, n_blocks
    like = np.arange(n)
    if "twins" in kinds:
        like = rng.integers(0, max(1, (n + 1) // 2), n)
    batches = np.array([b for b in (1, 2, 4, 8, 16, 32) if b <= concurrency], dtype=np.int64)
    size = np.exp(rng.normal(0, 0.5, m)) if "uneven" in kinds else np.ones(m)
    speed = rng.uniform(0.2, 2.0, n)[like]
    weight = 1e9 * size
    kv = 1e8 * (np.exp(rng.normal(0, 0.5, m)) if "uneven" in kinds else np.ones(m))
    share = rng.uniform(0.3, 1.7, n)[like]
    total = room * float(weight.sum() + kv.sum() * (1 + (concurrency - 1) / 2))
    if "memory" in kinds:
        total /= 1.6
    step = 0.01 * speed[:, None] * size[None, :]
    slope = rng.uniform(0.0, 0.5, n)[like][:, None]
    decode = np.stack([step * (1 + slope * (b - 1)) for b in batches.tolist()])
    latency, bandwidth = _links(rng, n, like)
    if "links" in kinds:
        lost = rng.random((n + 1, n + 1)) < 0.2
        lost[n, rng.integers(n)] = lost[rng.integers(n), n] = False
        bandwidth[lost[np.ix_(_ends(like), _ends(like))]] = 0.0
    cuts = np.ones(m + 1, dtype=bool)
    if "cuts" in kinds:
        cuts[1:m] = rng.random(m - 1) > 0.4
    allowed = np.ones((n, m), dtype=bool)
    if "pins" in kinds:
        allowed = (rng.random((n, m)) > 0.12)[like]
    cut_bytes = rng.uniform(0.5, 2.0, m + 1) * 1e5
    return CostTables(
        batches=batches,
        decode_s=decode,
        prefill_s=step * rng.uniform(2, 20, n)[like][:, None],
        weight_bytes=weight,
        kv_bytes=kv,
        capacity_bytes=share / share.sum() * total,
        cut_bytes=cut_bytes,
        prompt_cut_bytes=cut_bytes * 100,
        latency_s=latency,
        bandwidth_bytes_per_s=bandwidth,
        price_per_hour=rng.uniform(0.1, 3, n)[like],
        power_w=rng.uniform(50, 500, n)[like],
        cut_allowed=cuts,
        allowed=allowed,
        ties=np.array([[0, m - 1]] if "tie" in kinds else [], dtype=np.int64).reshape(-1, 2),
        required=(rng.random(n) < 0.25)[like] if "required" in kinds else np.zeros(n, dtype=bool),
        max_nodes=int(rng.integers(1, n + 1)) if "max_nodes" in kinds else n,
        contiguous=contiguous,
        output_tokens=int(rng.integers(2, 100)),
        concurrency=concurrency,
    )


def _ends(like: np.ndarray) -> np.ndarray:
    return np.append(like, len(like))


def _links(rng: np.random.Generator, n: int, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latency = np.exp(rng.uniform(np.log(1e-4), np.log(2e-2), (n + 1, n + 1)))
    bandwidth = np.exp(rng.uniform(np.log(1e7), np.log(1e10), (n + 1, n + 1)))
    ends = np.ix_(_ends(like), _ends(like))
    return latency[ends].copy(), bandwidth[ends].copy()


def tiny(rng: np.random.Generator, *, contiguous: bool = True) -> CostTables:
    """A random instance of 1 to 4 nodes and 1 to 6 blocks with a random set of constraints."""
    kinds = {kind for kind in KINDS if rng.random() < 0.3}
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    if m < 2:
        kinds.discard("tie")
    if "tie" in kinds or not contiguous:
        n, m = min(n, 3), min(m, 5)
    concurrency = int(rng.choice([1, 2, 5, 8]))
    return tables(rng, n, m, concurrency, kinds=kinds, contiguous=contiguous, room=float(rng.uniform(1.2, 4.0)))


def random_objective(
    rng: np.random.Generator, values: np.ndarray | None = None, rates: Sequence[str] = RATES
) -> Objective:
    """Any objective: one term or a mix; with `values` (n, terms) of some placements, perhaps with limits near them."""
    count = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
    rate = str(rng.choice(rates))  # exact proves one rate at a time
    known = [name for name in TERMS if name == rate or name not in RATES]
    names = rng.choice(known, count, replace=False).tolist()
    scale = dict.fromkeys(TERMS, 1.0) if values is None else dict(zip(TERMS, values.mean(axis=0), strict=True))
    weights = {name: float(rng.uniform(0.3, 2.0)) / max(scale[name], 1e-12) for name in names}
    limits = {}
    if values is not None and rng.random() < 0.5:
        for name in rng.choice(known, int(rng.integers(1, 3)), replace=False).tolist():
            most = float(np.quantile(values[:, TERMS.index(name)], rng.uniform(0.05, 0.8))) * 1.0001
            limits[name] = 1.0 / most if name in RATES else most
    return Objective(weights, limits)
