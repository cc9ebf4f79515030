"""Cache blocks of one instance, with beginnings of prompts that stay for whoever has the same.

Blocks that nobody has are counted in `World.free`, from which compiled decode steps take some by themselves; blocks of
kept beginnings that nobody uses count as free too, and the least recently used go when the blocks are needed
(W. Kwon et al., "PagedAttention", SOSP 2023, doi:10.1145/3600006.3613165).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from .kernels.events import IntArray


@dataclass(slots=True)
class Piece:
    """Blocks of a shared piece, and how many requests use them."""

    blocks: int
    users: int


class Pages:
    """The blocks of one instance.

    Parameters
    ----------
    free : int array (C,)
        Shared with the kernels.
    chain : int
    block : int
        Tokens of a block.
    """

    def __init__(self, free: IntArray, chain: int, block: int) -> None:
        self.counts, self.chain, self.block = free, chain, block
        self.total = int(free[chain])
        self.kept: dict[int, Piece] = {}
        # Blocks that nobody uses and that still hold something: kept pieces, and under -1 - r what request r left.
        self.idle: OrderedDict[int, int] = OrderedDict()
        self.idle_blocks = 0
        self.users: dict[int, list[int]] = {}
        self.private: dict[int, int] = {}

    @property
    def free(self) -> int:
        """Blocks that can be had."""
        return int(self.counts[self.chain])

    def take(self, blocks: int) -> bool:
        """Take blocks; False, and nothing is taken, when there are not as many."""
        if blocks > self.free:
            return False
        self.counts[self.chain] -= blocks
        self.forget()
        return True

    def forget(self) -> None:
        """Drop what is kept in blocks that somebody else has by now: the least recently used first, its end first."""
        while self.idle_blocks > self.free:
            name, blocks = next(iter(self.idle.items()))
            excess = self.idle_blocks - self.free
            if name < 0 and blocks > excess:
                self.idle[name] = blocks - excess
                self.idle_blocks -= excess
                return
            del self.idle[name]
            self.idle_blocks -= blocks
            self.kept.pop(name, None)

    def match(self, request: int, ids: Sequence[int], tokens: Sequence[int], limit: int) -> int:
        """Use what is kept of a prompt's beginning.

        Parameters
        ----------
        request : int
        ids, tokens : sequence of int
            Pieces of its beginning.
        limit : int
            Most tokens that may come from the cache: at least one must be computed.

        Returns
        -------
        int
            Tokens found.
        """
        self.forget()
        found, seen, whole = 0, 0, True
        used = self.users.setdefault(request, [])
        for name, length in zip(ids, tokens, strict=True):
            piece = self.kept.get(name)
            if piece is None:
                whole = False
                break
            if piece.users == 0:
                self._revive(name, piece.blocks)
            piece.users += 1
            used.append(name)
            seen += length
            found = seen // self.block * self.block
            if seen >= limit:
                break
        own = self.idle.get(-1 - request, 0) if whole else 0
        if own:
            self._revive(-1 - request, own)
            self.private[request] = own
        return min(found + own * self.block, limit // self.block * self.block)

    def _revive(self, name: int, blocks: int) -> None:
        """Blocks that nobody used are somebody's again."""
        del self.idle[name]
        self.idle_blocks -= blocks
        self.counts[self.chain] -= blocks

    def keep(self, request: int, ids: Sequence[int], tokens: Sequence[int]) -> None:
        """A prompt is computed: its pieces are there for others from now on."""
        used, seen = self.users.setdefault(request, []), 0
        known = set(used)
        for name, length in zip(ids, tokens, strict=True):
            blocks = (seen + length) // self.block - seen // self.block
            seen += length
            if name in known:
                continue
            if name in self.kept:  # computed twice: one of both goes with its request
                break
            self.kept[name] = Piece(blocks, 1)
            used.append(name)

    def found(self, request: int) -> int:
        """Blocks that a request has found: kept pieces, and its own from before it was preempted."""
        return self.shared(request) + self.private.pop(request, 0)

    def shared(self, request: int) -> int:
        """Blocks of a request that are kept pieces."""
        return sum(self.kept[name].blocks for name in self.users.get(request, ()))

    def give_back(self, request: int, held: int, *, remember: bool = False) -> None:
        """A request leaves.

        Parameters
        ----------
        request : int
        held : int
            Its blocks, kept pieces counted.
        remember : bool
            Its own blocks stay until somebody needs them.
        """
        used = self.users.pop(request, [])
        private = held
        for name in reversed(used):
            piece = self.kept[name]
            private -= piece.blocks
            piece.users -= 1
            if piece.users == 0:
                self.idle[name] = piece.blocks
                self.idle_blocks += piece.blocks
                self.counts[self.chain] += piece.blocks
        private = max(private, 0)
        self.counts[self.chain] += private
        if remember and private:
            self.idle[-1 - request] = private
            self.idle_blocks += private
