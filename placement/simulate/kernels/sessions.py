"""Event simulation of sessions that join the fastest free chain."""

from __future__ import annotations

from placement.search.kernels import kernel


@kernel
def join_fastest_free(arrivals, sizes, seconds, capacities, heap, chain_of, free, waiting, response):
    """Fill the response time of every session; return the number that had to wait.

    Parameters
    ----------
    arrivals, sizes : array (S,)
        Ascending times in s, and sizes with mean 1.
    seconds, capacities : array (K,)
        Chains, the fastest first.
    heap, chain_of : array (slots,)
        Scratch: a binary heap of the times when slots become free, and the chain of each.
    free : int array (K,)
        Scratch.
    waiting : int array (S,)
        Scratch: the queue.
    response : array (S,)
        The answer in s.
    """
    n, busy, first, last = arrivals.shape[0], 0, 0, 0
    for k in range(seconds.shape[0]):
        free[k] = capacities[k]
    following = 0
    while following < n or busy > 0:
        if following < n and (busy == 0 or arrivals[following] <= heap[0]):
            now, session, chain = arrivals[following], following, -1
            following += 1
            for k in range(seconds.shape[0]):
                if free[k] > 0:
                    chain = k
                    break
            if chain < 0:
                waiting[last] = session
                last += 1
                continue
        else:
            now, chain, session = heap[0], chain_of[0], -1
            free[chain] += 1
            busy -= 1
            end, end_chain = heap[busy], chain_of[busy]
            at = 0
            while 2 * at + 1 < busy:
                child = 2 * at + 1
                if child + 1 < busy and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= end:
                    break
                heap[at], chain_of[at] = heap[child], chain_of[child]
                at = child
            heap[at], chain_of[at] = end, end_chain
            if first == last:
                continue
            session = waiting[first]
            first += 1
        free[chain] -= 1
        done = now + sizes[session] * seconds[chain]
        response[session] = done - arrivals[session]
        at = busy
        busy += 1
        while at > 0 and heap[(at - 1) // 2] > done:
            heap[at], chain_of[at] = heap[(at - 1) // 2], chain_of[(at - 1) // 2]
            at = (at - 1) // 2
        heap[at], chain_of[at] = done, chain
    return last
