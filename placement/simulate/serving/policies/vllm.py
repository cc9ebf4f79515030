"""Paged caches: vLLM.

Caches are blocks of 16 tokens that are given out as sequences grow; a request is taken in when the blocks of its next
chunk are there. When blocks run out, who came last loses its cache, and computes it again later or has it swapped to
the host's memory and back (W. Kwon et al., "Efficient Memory Management for Large Language Model Serving with
PagedAttention", SOSP 2023, doi:10.1145/3600006.3613165). With chunked prefill a pass takes all decode steps first and
fills up with chunks of prompts (A. Agrawal et al., "Sarathi-Serve", OSDI 2024, arXiv:2403.02310); without, waiting
prompts go before all decode steps, as in vLLM's first releases, or, `mixed`, whole beside them, as in its engine V1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placement.errors import InputError

from ..pages import Pages
from ..world import World
from .base import NONE, Group, Pass, Scheduler


@dataclass(frozen=True, slots=True)
class Vllm:
    """Paged caches.

    Attributes
    ----------
    chunked : bool
        Prompts in chunks beside the decode steps; else whole.
    mixed : bool
        Whole prompts run beside the decode steps where they fit; else they go first. Chunks always are beside them.
    preemption : str
        "recompute" or "swap".
    watermark : float
        Part of the blocks that stays free when a request is taken in.
    prefix_caching : bool
        Keep beginnings of prompts.
    """

    chunked: bool = True
    preemption: str = "recompute"
    watermark: float = 0.0
    prefix_caching: bool = True
    mixed: bool = False

    def __post_init__(self) -> None:
        if self.preemption not in ("recompute", "swap"):
            raise InputError(f"expected recompute or swap, got '{self.preemption}'", "preemption")
        if not 0.0 <= self.watermark < 1.0:
            raise InputError(f"expected a share from 0 to below 1, got {self.watermark!r}", "watermark")

    @property
    def beside(self) -> bool:
        """Whether a pass has prompts and decode steps together."""
        return self.chunked or self.mixed

    def start(self, world: World) -> VllmScheduler:
        """The scheduler of one simulation."""
        return VllmScheduler(world, self)


class VllmScheduler(Scheduler):
    """What `Vllm` decides.

    Parameters
    ----------
    world : World
    policy : Vllm
    """

    ahead = True

    def __init__(self, world: World, policy: Vllm) -> None:
        super().__init__(world)
        self.policy = policy
        self.block = world.options.block_size
        self.pages = [Pages(world.free, c, self.block) for c in range(world.serving.instances)]
        self.keep_free = [int(policy.watermark * pages.total) for pages in self.pages]
        self.owed_s = np.zeros(len(world.groups))
        self.swapped: dict[int, int] = {}
        self.admitted: dict[int, int] = {}
        self.turn = 0
        self.promised = 0  # blocks that those who entered just now will take

    def fits(self, request: int, chain: int) -> bool:
        """Whether all blocks together could hold it."""
        longest, pages = self.world.ledger.longest(request), self.pages[chain]
        blocks = -(-longest // self.block) + self.keep_free[chain]
        return blocks <= pages.total and longest < self.world.options.max_model_len

    def admit(self, group: Group, now: float) -> None:
        """First come, first served, while there are tokens in the pass, sequences to spare and free blocks."""
        world, ledger, pages = self.world, self.world.ledger, self.pages[group.chain]
        budget, self.promised = self._budget(group), self._pending_blocks(group)
        most = world.may_take(group, world.options.max_num_seqs)
        while budget > 0 and most > 0 and (request := world.waiting(group)) is not None:
            if not self._enter(group, request, budget):
                return
            world.take(group)
            self.turn += 1
            self.admitted[request] = self.turn
            most -= 1
            if request in self.swapped:
                self._swap_in(group, request, pages)
            else:
                budget -= min(budget, int(ledger.target[request] - ledger.cached[request]))

    def available(self, chain: int) -> int:
        """Blocks that a request which enters may count on."""
        return self.pages[chain].free - self.keep_free[chain]

    def obtain(self, group: Group, blocks: int) -> bool:
        """Take blocks for requests of a group; False, and nothing is taken, when there are none."""
        return self.pages[group.chain].take(blocks)

    def _budget(self, group: Group) -> int:
        ledger, options = self.world.ledger, self.world.options
        pending = sum(int(ledger.target[r] - ledger.cached[r]) for r in group.prompts)
        decoding = len(group.members) if self.policy.beside else 0
        return options.max_num_batched_tokens - decoding - pending

    def _whole(self, group: Group) -> int:
        """Tokens of a prompt that some pass of the group has room for: a longer one goes whole all the same."""
        return self.world.options.max_num_batched_tokens if self.policy.mixed else self._budget(group)

    def _pending_blocks(self, group: Group) -> int:
        """Blocks that prompts which were taken in before still need: nobody enters on them, or both would wait."""
        ledger = self.world.ledger
        return sum(max(0, -(-int(ledger.target[r]) // self.block) - int(ledger.held[r])) for r in group.prompts)

    def _enter(self, group: Group, request: int, budget: int) -> bool:
        """Find the blocks for the first chunk of a request, and what is kept of its beginning."""
        ledger, pages = self.world.ledger, self.pages[group.chain]
        if request in self.swapped:
            return self.available(group.chain) - self.promised >= self.swapped[request]
        target = int(ledger.target[request])
        if not self.policy.chunked and budget < target and (group.prompts or target <= self._whole(group)):
            return False
        found, held = 0, 0
        if self.policy.prefix_caching:
            found = pages.match(request, *self._pieces(request), target - 1)
            held = pages.found(request)
        chunk = min(budget, target - found) if self.policy.chunked else target - found
        needed = -(-(found + chunk) // self.block) - held
        if needed > self.available(group.chain) - self.promised:
            pages.give_back(request, held, remember=True)
            self.world.short.add(group.chain)
            return False
        ledger.cached[request], ledger.held[request] = found, held
        self.promised += needed
        if found:
            self.world.count("prefix_tokens_found", found)
        return True

    def _pieces(self, request: int) -> tuple[list[int], list[int]]:
        """What its prompt may share with others."""
        shared = self.world.ledger.requests.shared
        return shared.of(request) if shared is not None else ([], [])

    def _swap_in(self, group: Group, request: int, pages: Pages) -> None:
        blocks = self.swapped.pop(request)
        pages.take(blocks)
        self.world.ledger.held[request] = blocks
        self._owe(group, blocks)
        group.prompts.remove(request)
        group.members = np.append(group.members, request)

    def _owe(self, group: Group, blocks: int) -> None:
        """The next pass waits for blocks that are moved between device and host."""
        room, options = self.world.serving.rooms[group.chain], self.world.options
        moved = blocks * self.block * room.token_bytes
        self.world.count("swapped_bytes", moved)
        self.owed_s[group.number] += moved / options.swap_bytes_per_s

    def batch(self, group: Group, now: float) -> Pass | None:
        """All decode steps and what else fits of prompts; without chunks prompts alone, as long as there are some."""
        extra, self.owed_s[group.number] = float(self.owed_s[group.number]), 0.0
        decoding = self._grow(group) if self.policy.beside or not group.prompts else NONE
        chunks = self._chunks(group, self.world.options.max_num_batched_tokens - len(decoding))
        if not len(decoding) and not chunks:
            if not self.policy.beside and len(group.members):
                decoding = self._grow(group)
            if not len(decoding):
                self.owed_s[group.number] = extra
                return self._unblocked(group, now)
        return Pass(decoding, chunks, extra_s=extra + float(self.owed_s[group.number]))

    def _unblocked(self, group: Group, now: float) -> Pass | None:
        """Where no group has a pass under way, nobody will ever free blocks: who came last does."""
        idle = all(self.world.asleep(other) for other in self.world.of_chain[group.chain])
        return self.batch(group, now) if idle and group.prompts and self.evict(group, 1) else None

    def _grow(self, group: Group) -> np.ndarray:
        """Take the blocks that decode steps need, from those who came last where there are none."""
        ledger = self.world.ledger
        while True:
            members = group.members
            short = members[ledger.cached[members] >= ledger.held[members] * self.block]
            if self.obtain(group, len(short)):
                ledger.held[short] += 1
                return members
            if not self.evict(group, len(short)):
                return NONE

    def _chunks(self, group: Group, budget: int) -> list[tuple[int, int]]:
        ledger = self.world.ledger
        chunks: list[tuple[int, int]] = []
        for request in tuple(group.prompts):
            if request not in group.prompts:  # preempted for one before it
                continue
            rest = int(ledger.target[request] - ledger.cached[request])
            if budget <= 0 or (not self.policy.chunked and chunks and rest > budget):
                break
            tokens = min(rest, budget) if self.policy.chunked else rest
            needed = -(-int(ledger.cached[request] + tokens) // self.block) - int(ledger.held[request])
            while not (taken := self.obtain(group, max(needed, 0))) and group.prompts[-1] != request:
                self._preempt(group, group.prompts[-1])
            if not taken:
                break
            ledger.held[request] += max(needed, 0)
            chunks.append((request, tokens))
            budget -= tokens
        return chunks

    def evict(self, group: Group, blocks: int) -> bool:
        """Who came last goes: of the group, and of groups that have no pass under way."""
        others = [g for g in self.world.of_chain[group.chain] if g is not group and self.world.asleep(g)]
        engaged = [group, *others]
        held = [(self.admitted[r], r, g) for g in engaged for r in (*g.prompts, *g.members.tolist()) if self._has(r)]
        if not held or (len(held) == 1 and held[0][2] is group):
            return False
        _, request, whose = max(held, key=lambda item: item[0])
        self._preempt(whose, request)
        return True

    def _has(self, request: int) -> bool:
        return int(self.world.ledger.held[request]) > 0

    def give_up(self, group: Group, request: int, *, remember: bool) -> None:
        """Free all blocks of a request; with `remember` what is in them stays until somebody needs them."""
        ledger = self.world.ledger
        self.pages[group.chain].give_back(request, int(ledger.held[request]), remember=remember)
        ledger.held[request] = 0

    def _preempt(self, group: Group, request: int) -> None:
        ledger, world = self.world.ledger, self.world
        blocks = int(ledger.held[request])
        decoding = request not in group.prompts
        recompute = self.policy.preemption == "recompute" or not decoding
        self.give_up(group, request, remember=recompute and self.policy.prefix_caching)
        ledger.preempted[request] += 1
        world.count("preemptions")
        if not recompute:
            self.swapped[request] = blocks
            self._owe(group, blocks)
        else:
            ledger.cached[request] = 0
            ledger.target[request] = ledger.prompt[request] + ledger.made[request]
        world.put_back(group, request, -1.0, freed=blocks > 0)

    def done(self, group: Group, request: int, now: float) -> bool:
        """Its beginning is there for others from now on."""
        if self.policy.prefix_caching:
            self.pages[group.chain].keep(request, *self._pieces(request))
        return True

    def leave(self, request: int) -> None:
        """Its blocks are free."""
        group = self.world.of_chain[int(self.world.ledger.chain[request])][0]
        self.give_up(group, request, remember=self.policy.prefix_caching)
        self.admitted.pop(request, None)

    def reserved(self, chain: int) -> float:
        """Blocks that somebody has."""
        pages = self.pages[chain]
        return float((pages.total - pages.free) * self.block)
