"""Caches on other instances: Infinite-LLM.

Blocks of a long sequence move to instances that have room; attention to them is computed there, and only the query of a
token and its partial result cross the link (DistAttention). Who lends and who borrows is decided by a global manager
(gManager) that hears from each instance (rManager) what it has left (B. Lin et al., "Infinite-LLM", arXiv:2401.02669,
2024). Apart from that an instance is vLLM's.

A model of it: blocks move while passes go on, so that moving takes no time of its own but is counted; a pass waits for
the slower of the local attention and the way to the lender with the attention there; of several lenders of a pass the
largest is counted for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from placement.errors import InputError

from ..world import World
from .base import Group, Pass
from .vllm import Vllm, VllmScheduler

MOST_STEPS = 64  # decode steps after which what lies where is looked at again


@dataclass(frozen=True, slots=True)
class Infinite(Vllm):
    """Caches on other instances.

    Attributes
    ----------
    keep : float
        Part of its blocks that an instance does not lend.
    ahead_blocks : int
        Blocks that are moved at once at least.
    """

    keep: float = 0.1
    ahead_blocks: int = 16

    def __post_init__(self) -> None:
        Vllm.__post_init__(self)
        if not 0.0 <= self.keep < 1.0:
            raise InputError(f"expected a share from 0 to below 1, got {self.keep!r}", "keep")
        if isinstance(self.ahead_blocks, bool) or not 1 <= self.ahead_blocks <= 1_000_000:
            raise InputError(f"expected a whole number of at least 1, got {self.ahead_blocks!r}", "ahead_blocks")

    def start(self, world: World) -> InfiniteScheduler:
        """The scheduler of one simulation."""
        return InfiniteScheduler(world, self)


class InfiniteScheduler(VllmScheduler):
    """What `Infinite` decides.

    Parameters
    ----------
    world : World
    policy : Infinite
    """

    def __init__(self, world: World, policy: Infinite) -> None:
        super().__init__(world, policy)
        self.infinite = policy
        self.kept = [int(policy.keep * pages.total) for pages in self.pages]
        self.lent: dict[int, dict[int, int]] = {}
        machine = world.serving.machine
        per_token = (machine.blocks * machine.cache_s).sum(axis=1)
        self.read_s = [float(per_token[machine.stages[c, : machine.length[c]]].max()) for c in range(len(self.pages))]

    def fits(self, request: int, chain: int) -> bool:
        """Whether all instances together could hold it."""
        longest = self.world.ledger.longest(request)
        blocks = -(-longest // self.block)
        return blocks <= self.pages[chain].total + self._spare(chain, empty=True) and (
            longest < self.world.options.max_model_len
        )

    def _spare(self, chain: int, *, empty: bool = False) -> int:
        """Blocks that the others would lend; of empty ones, if asked so."""
        others = [c for c in range(len(self.pages)) if c != chain]
        return sum(max((self.pages[c].total if empty else self.pages[c].free) - self.kept[c], 0) for c in others)

    def available(self, chain: int) -> int:
        """Its own blocks and those that others would lend, without those that prompts under way will still take."""
        ledger = self.world.ledger
        pending = 0
        for group in self.world.groups:
            for request in group.prompts:
                pending += -(-int(ledger.target[request]) // self.block) - int(ledger.held[request])
        return super().available(chain) + self._spare(chain) - pending

    def _enter(self, group: Group, request: int, budget: int) -> bool:
        """All blocks of a prompt must be there, here or elsewhere, before its first chunk."""
        if -(-int(self.world.ledger.target[request]) // self.block) > self.available(group.chain):
            self.world.short.add(group.chain)
            return False
        return super()._enter(group, request, budget)

    def obtain(self, group: Group, blocks: int) -> bool:
        """Take blocks; where there are none, move some of the group's longest sequences elsewhere first."""
        pages = self.pages[group.chain]
        while blocks > pages.free:
            if not self._move(group, blocks - pages.free):
                return False
        return pages.take(blocks)

    def _move(self, group: Group, blocks: int) -> bool:
        """The global manager sends blocks of the group's longest sequence to the instance with the most room."""
        chain = group.chain
        lenders = [c for c in range(len(self.pages)) if c != chain]
        lender = max(lenders, key=lambda c: (self.pages[c].free - self.kept[c], -c))
        room = self.pages[lender].free - self.kept[lender]
        here = {r: self._here(r) for r in (*group.members.tolist(), *group.prompts)}
        if room <= 0 or not here:
            return False
        request = max(here, key=lambda r: (here[r], -r))
        moved = min(max(blocks, self.infinite.ahead_blocks), room, here[request])
        if moved <= 0:
            return False
        self.pages[lender].take(moved)
        self.world.free[chain] += moved
        loans = self.lent.setdefault(request, {})
        loans[lender] = loans.get(lender, 0) + moved
        room_of = self.world.serving.rooms[chain]
        self.world.count("moved_bytes", moved * self.block * room_of.token_bytes)
        self.world.count("manager_messages", 3.0)  # the debtor asks, both are told
        return True

    def _here(self, request: int) -> int:
        """Whole blocks of a request that lie in its own instance, kept beginnings apart."""
        ledger = self.world.ledger
        chain = int(ledger.chain[request])
        whole = int(ledger.cached[request]) // self.block - sum(self.lent.get(request, {}).values())
        return min(whole, int(ledger.held[request])) - self.pages[chain].shared(request)

    def give_up(self, group: Group, request: int, *, remember: bool) -> None:
        """Its blocks are free, here and elsewhere."""
        ledger = self.world.ledger
        loans = self.lent.pop(request, {})
        for lender, blocks in loans.items():
            self.world.free[lender] += blocks
            self.world.count("manager_messages")
        if ledger.held[request] > 0:  # what is free here may be lent to all, whatever they lacked before
            self.world.freed.update(range(len(self.pages)))
            self.world.short.clear()
        ledger.held[request] -= sum(loans.values())
        super().give_up(group, request, remember=remember and not loans)

    def _unblocked(self, group: Group, now: float) -> Pass | None:
        """Where no instance has a pass under way, nobody will ever free blocks: who came last, anywhere, does."""
        world = self.world
        if not group.size or not all(world.asleep(other) for other in world.groups):
            return None
        held = [(self.admitted[r], r, g) for g in world.groups for r in (*g.prompts, *g.members.tolist())]
        held = [item for item in held if self._has(item[1])]
        if len(held) < 2:
            return None
        _, request, whose = max(held, key=lambda item: item[0])
        self._preempt(whose, request)
        return self.batch(group, now)

    def batch(self, group: Group, now: float) -> Pass | None:
        """As vLLM's, with what the caches elsewhere cost."""
        doing = super().batch(group, now)
        if doing is None or not self.lent:
            return doing
        queries, tokens, by_lender = 0, 0.0, dict.fromkeys(range(len(self.pages)), 0)
        asked = [(r, 1) for r in doing.decoding.tolist()] + list(doing.chunks)
        for request, passing in asked:
            for lender, blocks in self.lent.get(request, {}).items():
                queries += passing
                tokens += blocks * self.block
                by_lender[lender] += blocks
        if not queries:
            return doing
        lender = max(by_lender, key=lambda c: (by_lender[c], -c))
        here = float(self.world.ledger.cached[doing.decoding].sum()) - tokens
        there_s, here_s = self.read_s[lender] * tokens, self.read_s[group.chain] * max(here, 0.0)
        way_s = self._way_s(group.chain, lender, queries)
        return Pass(
            doing.decoding,
            doing.chunks,
            steps=MOST_STEPS,
            extra_s=doing.extra_s,
            remote_s=max(way_s + there_s - here_s, 0.0),
            lender=lender,
            lent_s=there_s,
            remote_tokens=tokens,
        )

    def _way_s(self, chain: int, lender: int, queries: int) -> float:
        """Seconds on the link between two stages for the queries and partial results of all their layers."""
        serving = self.world.serving
        machine = serving.machine
        a, b = machine.node[machine.stages[chain, 0]], machine.node[machine.stages[lender, 0]]
        layers = serving.layers / float(machine.length[chain])
        latency = float(machine.latency_s[a, b] + machine.latency_s[b, a])
        moved = queries * serving.heads_bytes / 2.0
        return layers * (latency + moved * float(machine.per_byte_s[a, b] + machine.per_byte_s[b, a]))

    def passed(self, group: Group, doing: Pass, steps: int) -> None:
        """Count what crossed the links."""
        if doing.lender < 0:
            return
        serving = self.world.serving
        queries = sum(1 for r in doing.decoding.tolist() if r in self.lent) * steps
        queries += sum(tokens for r, tokens in doing.chunks if r in self.lent)
        self.world.count("remote_bytes", queries * serving.heads_bytes * serving.layers)
