"""Cheapest way to share L blocks among servers: the pricing step of the bound on the total rate."""

from __future__ import annotations

from placement.search.kernels import kernel


@kernel
def share_blocks(costs, n_blocks, best, choice, blocks):
    """Minimise the sum of ``costs[j, blocks[j]]`` with all blocks shared out; return the least sum.

    Parameters
    ----------
    costs : array (J, W + 1)
        Infinite where a server cannot take that many blocks; column 0 is 0.
    best : array (L + 1,)
        Scratch.
    choice : int array (J, L + 1)
        Scratch.
    blocks : int array (J,)
        The answer.
    """
    n, width = costs.shape
    for done in range(n_blocks + 1):
        best[done] = float("inf")
    best[0] = 0.0
    for j in range(n):
        for done in range(n_blocks, -1, -1):
            lowest, taken = best[done], 0
            for size in range(1, min(width - 1, done) + 1):
                value = best[done - size] + costs[j, size]
                if value < lowest:
                    lowest, taken = value, size
            best[done] = lowest
            choice[j, done] = taken
    left = n_blocks
    for j in range(n - 1, -1, -1):
        blocks[j] = choice[j, left]
        left -= choice[j, left]
    return best[n_blocks]
