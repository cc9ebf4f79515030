"""A bound on what pipelines side by side serve together, however many there are and whoever is in which."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from .rounds import Rounds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SLACK = 1e-9
RANGE_SLACK = 1e-3
GRID = 6  # steps of each weight that are tried first
LEAST_STEP = 0.004  # of a weight; then the search for better ones ends
LARGE = 500_000  # costs of holders, sizes and blocks; of more, fewer weights are tried
MOST_CLASSES = 6  # of devices, whose prices are searched one by one


@dataclass(frozen=True, slots=True, eq=False)
class Holders:
    """All that may hold blocks of a pipeline: single devices, groups of them, devices that leave parts elsewhere.

    H holders, B micro-batch sizes, L blocks, K classes of devices. Of a class there are so many devices in all, and
    every holder takes some of each class.

    Attributes
    ----------
    sizes : int array (B + 1,)
        Micro-batches of ``sizes[k]`` to ``sizes[k + 1] - 1`` sequences take no less than the seconds at k, but for
        `RANGE_SLACK`: they grow with the sequences, if not strictly where prompts fill every pass.
    rates : Rounds
        Seconds of each holder in the place of a node; shares, passes and the host's seconds are those of all.
    work : Rounds or None
        Seconds of device time, where they may be less than those that a round lasts; None: the same.
    allowed : bool array (H, L)
        Which holder may hold which block.
    devices : array (H, K)
        Devices of each class in a holder.
    room_bytes : array (H,)
        Memory of a holder for weights and caches.
    largest_bytes : float
        The most memory of any holder.
    supply : array (K,)
        Devices of each class in all.
    weight_bytes, kv_bytes : float
        Of one pipeline: all weights, and the cache of one sequence in all blocks.
    hop_s : float
        Least seconds of one hop between two holders, once per pass.
    ends_s : float
        Least seconds from the client to a holder and from a holder back, once per pass.
    """

    sizes: IntArray
    rates: Rounds
    allowed: BoolArray
    devices: FloatArray
    room_bytes: FloatArray
    supply: FloatArray
    weight_bytes: float
    kv_bytes: float
    hop_s: float
    ends_s: float
    largest_bytes: float
    work: Rounds | None = None


def least_together(holders: Holders, sequences: int) -> float:
    """Return seconds per token that all pipelines together need at least.

    A pipeline that has g micro-batches of m sequences on their way serves x tokens/s. Three things run short: it holds
    m g sequences for as long as a round takes (Little's law), every block takes its holder's devices for a time, and
    weights and caches lie in memory all the while. With prices for sequences, device-seconds and bytes, a token costs
    at least the sum over blocks of what the cheapest holder costs, for the best m and g; and what all sequences,
    devices and bytes cost is what there is to spend (linear programming duality: any prices give a bound, the best
    ones are searched).

    Parameters
    ----------
    holders : Holders
    sequences : int
        In all pipelines together.

    Returns
    -------
    float
        Infinite where no holder may have some block.
    """
    market = _Market(holders, sequences)
    if not market.possible:
        return np.inf
    grid, least_step = (GRID, LEAST_STEP) if market.size <= LARGE else (GRID // 2, 10 * LEAST_STEP)
    best = max((market.least(*weights), weights) for weights in _simplex(grid))
    step = 1.0 / grid
    while step > least_step:
        step /= 2.0
        for _ in range(4):
            found = max(((market.least(*one), one) for one in _around(best[1], step)), default=best)
            if found[0] <= best[0]:
                break
            best = found
        if market.n_classes > 1:
            best = market.improve(best)
    return best[0] * (1 - SLACK)


def _simplex(steps: int) -> list[tuple[float, float, float]]:
    """Three weights that sum to 1, in so many steps."""
    pairs = ((k, j) for k in range(steps + 1) for j in range(steps + 1 - k))
    return [(k / steps, j / steps, (steps - k - j) / steps) for k, j in pairs]


def _around(weights: tuple[float, float, float], step: float) -> list[tuple[float, float, float]]:
    """Weights a step away: some of one is moved to another."""
    found = []
    for giver, taker in product(range(3), repeat=2):
        moved = min(step, weights[giver])
        if giver != taker and moved > 0:
            one = list(weights)
            one[giver] -= moved
            one[taker] += moved
            found.append((one[0], one[1], one[2]))
    return found


class _Market:
    """What a token costs at prices for sequences, devices and bytes."""

    def __init__(self, holders: Holders, sequences: int) -> None:
        rates, self.sequences = holders.rates, sequences
        kinds, counts = _alike(holders)
        many = np.flatnonzero(holders.sizes[:-1] <= sequences)
        most = (holders.sizes[many + 1] - 1).astype(np.float64)
        self.barred = np.where(holders.allowed[:, kinds], 0.0, np.inf)[:, None, :]
        exact = np.where(holders.sizes[many + 1] - holders.sizes[many] > 1, 1.0 - RANGE_SLACK, 1.0)[:, None, None]
        self.short = (exact * rates.short_s[many][:, :, kinds]).transpose(1, 0, 2)
        self.convoy = (exact * rates.convoy_s[many][:, :, kinds]).transpose(1, 0, 2)
        work = holders.work or rates
        busy = exact * (work.short_s + work.share[:, None, None] * work.convoy_s)[many][:, :, kinds]
        self.busy = busy.transpose(1, 0, 2) / most[None, :, None]
        self.counts, self.possible = counts, bool(holders.allowed.any(axis=0).all())
        self.devices, self.supply = holders.devices, holders.supply
        each = holders.room_bytes / holders.devices.sum(axis=1)
        room = np.where(holders.devices > 0, np.maximum(each, 0.0)[:, None], 0.0).max(axis=0) @ holders.supply
        stages = np.ceil((holders.weight_bytes + holders.kv_bytes) / max(holders.largest_bytes, 1e-9) - 1e-9)
        hops = holders.ends_s + max(0.0, stages - 1.0) * holders.hop_s
        self.beside = rates.fixed_s[many] + rates.passes[many] * hops
        deep = np.array([1, 2, 3, 4, 5, 6, 7, 8, *(2**k for k in range(4, 13)), 1 << 30], dtype=np.float64)
        fits = [int(k) for k in range(len(deep) - 1) if deep[k] <= sequences]
        self.long = [1.0 - (1.0 - rates.share[many]) ** deep[k] for k in fits]
        held = holders.weight_bytes / np.maximum(room, 1e-9)
        self.memory = [held / (most * (deep[k + 1] - 1)) + holders.kv_bytes / np.maximum(room, 1e-9) for k in fits]
        self.prices = self._plain_prices()

    @property
    def size(self) -> int:
        """Costs that a token is looked for among."""
        return self.short.size * len(self.long)

    @property
    def n_classes(self) -> int:
        """Classes of devices."""
        return len(self.supply)

    def _plain_prices(self) -> FloatArray:
        """A price for each class by what a second of it does of the block that it is best at, beside the fastest."""
        if not self.possible:
            return np.ones(self.n_classes)
        busy = self.busy + self.barred
        least = busy.min(axis=(0, 1))
        prices = np.zeros(self.n_classes)
        for mine, devices in zip(busy.min(axis=1), self.devices, strict=True):
            paid = np.where(np.isfinite(mine) & (mine > 0), least / np.maximum(mine, 1e-300), 0.0).max()
            prices = np.maximum(prices, np.where(devices > 0, paid / devices.sum(), 0.0))
        found: FloatArray = np.maximum(prices, 1e-6 * max(prices.max(), 1e-300))
        return found

    def least(self, round_trip: float, work: float, memory: float, prices: FloatArray | None = None) -> float:
        """What a token costs at least where everything there is costs 1, in these parts.

        Parameters
        ----------
        round_trip, work, memory : float
            Parts of sequences, device-seconds and bytes; they sum to 1.
        prices : array (K,), optional
            Of a second of a device of each class, in any unit.
        """
        prices = self.prices if prices is None else prices
        of_work = self.devices @ (prices / max(float(prices @ self.supply), 1e-300)) * work
        busy = of_work[:, None, None] * self.busy if work > 0 else 0.0
        found = np.inf
        for long, held in zip(self.long, self.memory, strict=True):
            paid = round_trip / self.sequences + memory * held
            seconds = self.short + long[None, :, None] * self.convoy
            each = paid[None, :, None] * seconds + busy + self.barred
            tokens = each.min(axis=0) @ self.counts + paid * self.beside
            found = min(found, float(tokens.min()))
        return found

    def improve(self, best: tuple[float, tuple[float, float, float]]) -> tuple[float, tuple[float, float, float]]:
        """Raise or lower the price of one class after the other as long as the bound rises."""
        value, weights = best
        for place in range(min(self.n_classes, MOST_CLASSES)):
            for factor in (0.5, 0.8, 1.25, 2.0):
                trial = self.prices.copy()
                trial[place] *= factor
                found = self.least(*weights, trial)
                if found > value:
                    value, self.prices = found, trial
        return value, weights


def _alike(holders: Holders) -> tuple[IntArray, FloatArray]:
    """One block of each kind that nobody tells apart, and how many of each there are."""
    rates, work = holders.rates, holders.work
    seconds = [rates.short_s, rates.convoy_s, *([work.short_s, work.convoy_s] if work else [])]
    columns = np.concatenate([*seconds, holders.allowed[None].astype(np.float64)])
    flat = columns.reshape(-1, columns.shape[-1]).T
    _, first, counts = np.unique(flat, axis=0, return_index=True, return_counts=True)
    return first.astype(np.int64), counts.astype(np.float64)
