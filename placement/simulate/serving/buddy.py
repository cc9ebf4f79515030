"""A buddy allocator over tokens: pieces are powers of two, and two free halves become one again.

K. C. Knowlton, "A fast storage allocator", CACM 8(10), 1965, doi:10.1145/365628.365655.
"""

from __future__ import annotations


class Buddy:
    """Pieces of powers of two in a space of any size, which is split into its powers of two from the largest.

    Parameters
    ----------
    tokens : int
        Size of the space.

    Attributes
    ----------
    asked, given : int
        Tokens that were asked for, and those of the pieces that were given for them.
    """

    def __init__(self, tokens: int) -> None:
        self.free: dict[int, set[int]] = {}
        self.taken: dict[int, tuple[int, int]] = {}
        self.asked = self.given = 0
        self.roots: list[tuple[int, int]] = []
        at = 0
        for order in reversed(range(max(tokens, 1).bit_length())):
            if tokens & (1 << order):
                self.roots.append((at, order))
                self.free.setdefault(order, set()).add(at)
                at += 1 << order

    def fits(self, tokens: int) -> bool:
        """Whether a piece for so many tokens fits when all is free."""
        return bool(self.roots) and self.roots[0][1] >= _order(tokens)

    def take(self, tokens: int) -> int | None:
        """Give a piece for so many tokens and return where it begins; None when there is none."""
        wanted = _order(tokens)
        order = min((o for o, places in self.free.items() if places and o >= wanted), default=None)
        if order is None:
            return None
        at = min(self.free[order])
        self.free[order].remove(at)
        while order > wanted:
            order -= 1
            self.free.setdefault(order, set()).add(at + (1 << order))
        self.taken[at] = (order, tokens)
        self.asked += tokens
        self.given += 1 << order
        return at

    def give_back(self, at: int) -> None:
        """Free a piece, and join it with its free halves."""
        order, tokens = self.taken.pop(at)
        self.asked -= tokens
        self.given -= 1 << order
        root, top = next((begin, top) for begin, top in self.roots if begin <= at < begin + (1 << top))
        while order < top:
            other = root + ((at - root) ^ (1 << order))
            if other not in self.free.get(order, ()):
                break
            self.free[order].remove(other)
            at = min(at, other)
            order += 1
        self.free.setdefault(order, set()).add(at)

    def below(self, tokens: int) -> int:
        """Free tokens in pieces too small for so many."""
        wanted = _order(tokens)
        return sum(len(places) << order for order, places in self.free.items() if order < wanted)


def _order(tokens: int) -> int:
    return max(tokens - 1, 0).bit_length()
