"""Exact answers under additive limits: cost-and-resource labels in the table of `subset.py`, from the end backwards.

A label at (row, stop) is what follows a stage of that row which ends there: its cost and its use of each limited
resource. It is dropped when a Lagrangian bound on its completion does not beat the best pipeline known, when the least
resource of any completion breaks a limit, or when another label there is at least as good in everything. After
J. Desrosiers, Y. Dumas, M. M. Solomon, F. Soumis, "Time constrained routing and scheduling", Handbooks in OR & MS 8,
1995, doi:10.1016/S0927-0507(05)80106-9.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from placement.search.kernels import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """A pool of labels in chains, one chain for each (row, stop).

    Attributes
    ----------
    costs : array (P, K + 1)
        Cost, then use of each of the K resources.
    place : int array (P, 4)
        Row, stop, next label of the chain, label that this one came from; -1 for none.
    head : int array (rows, L + 1)
        First label of each chain.
    state : int array (2,)
        Labels in the pool; the best finished one.
    """

    costs: FloatArray
    place: IntArray
    head: IntArray
    state: IntArray


class Priced(NamedTuple):
    """Costs of the objective and of K resources, in one row each; see `StageData` for the meaning of the columns."""

    stage: FloatArray
    fixed: FloatArray
    latency: FloatArray
    volume: FloatArray
    most: FloatArray
    multipliers: FloatArray


@kernel
def hop_costs(p, d, i, j, cut, out):
    """Add the costs of a hop to `out`; return False where it is not possible."""
    if d.latency[i, j] == np.inf or d.cut_bytes[cut] > d.most_bytes[i, j]:
        return False
    for k in range(out.shape[0]):
        out[k] += p.latency[k, i, j] + p.volume[k, cut] * d.per_byte[i, j]
    return True


@kernel
def put_label(labels, costs, row, stop, source):
    """Put a label into its chain unless a label there dominates it; return False when the pool is full."""
    count = labels.state[0]
    other, previous = labels.head[row, stop], -1
    while other >= 0:
        worse, better = False, False
        for k in range(costs.shape[0]):
            worse |= labels.costs[other, k] > costs[k]
            better |= labels.costs[other, k] < costs[k]
        if not worse:
            return True
        following = labels.place[other, 2]
        if not better:
            if previous < 0:
                labels.head[row, stop] = following
            else:
                labels.place[previous, 2] = following
        else:
            previous = other
        other = following
    if count >= labels.costs.shape[0]:
        return False
    # A loop, because numba takes seconds to compile the assignment of one array to a part of another.
    for k in range(costs.shape[0]):
        labels.costs[count, k] = costs[k]
    labels.place[count, 0], labels.place[count, 1] = row, stop
    labels.place[count, 2], labels.place[count, 3] = labels.head[row, stop], source
    labels.head[row, stop] = count
    labels.state[0] += 1
    return True


@kernel
def seed_labels(labels, rows, d, p, complete):
    """One label for each row that may be the last: the hop back to the client."""
    m, n_types = labels.head.shape[1] - 1, d.fixed.shape[0]
    costs = np.empty(p.fixed.shape[0])
    for row in range(complete.shape[0]):
        if complete[row]:
            for k in range(costs.shape[0]):
                costs[k] = 0.0
            if hop_costs(p, d, rows.type_of[row], n_types, m, costs) and not put_label(labels, costs, row, m, -1):
                return False
    return True


@kernel
def within(p, costs, lagrange, floors, row, start, cutoff):
    """Tell whether a label can still be completed within the limits at less than `cutoff`."""
    total = costs[0] + lagrange[row, start]
    for k in range(p.most.shape[0]):
        total += p.multipliers[k] * (costs[k + 1] - p.most[k])
        if floors.shape[0] > 0 and costs[k + 1] + floors[k, row, start] > p.most[k] * (1 + 1e-12):
            return False
    return total < cutoff


@kernel
def extend_labels(labels, rows, d, p, lagrange, floors, begin, effort, cutoff):
    """Extend the labels of rows `begin`, `begin - 1`, ... until about `effort` steps are spent.

    Returns (next row, cutoff); the next row is -1 when done, -2 when the pool is full.
    """
    n_types, m = d.fixed.shape[0], labels.head.shape[1] - 1
    costs = np.empty(p.fixed.shape[0])
    base = np.empty_like(costs)
    spent, row = 0, begin
    while row >= 0 and spent < effort:
        t, c = rows.type_of[row], rows.before[row]
        for stop in range(1, m + 1):
            label = labels.head[row, stop]
            while label >= 0:
                for s in range(d.low[t, stop], d.high[t, stop] + 1):
                    spent += 1
                    if (c == 0) != (s == 0) or (s > 0 and not d.cut_allowed[s]):
                        continue
                    for k in range(base.shape[0]):
                        base[k] = labels.costs[label, k] + p.stage[k, t, stop] - p.stage[k, t, s] + p.fixed[k, t]
                    if c == 0:
                        fine = hop_costs(p, d, n_types, t, 0, base)
                        for k in range(p.most.shape[0]):
                            fine &= base[k + 1] <= p.most[k] * (1 + 1e-12)
                        if fine and base[0] < cutoff:
                            cutoff = base[0]
                            labels.state[1] = label
                        continue
                    for other in range(rows.first[c], rows.first[c + 1]):
                        for k in range(base.shape[0]):
                            costs[k] = base[k]
                        spent += 1
                        if (
                            lagrange[other, s] < np.inf
                            and hop_costs(p, d, rows.type_of[other], t, s, costs)
                            and within(p, costs, lagrange, floors, other, s, cutoff)
                            and not put_label(labels, costs, other, s, label)
                        ):
                            return -2, cutoff
                label = labels.place[label, 2]
        row -= 1
    return row, cutoff
