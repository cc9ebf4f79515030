"""Prompts and decode steps on different instances, caches moved over the link between them.

The first instances compute prompts, the others decode (P. Patel et al., "Splitwise", ISCA 2024, arXiv:2311.18677;
Y. Zhong et al., "DistServe", OSDI 2024, arXiv:2401.09670). The first token is the prompt instance's; then the cache
moves, each stage's part to the stage of the same place, and the request waits until the decode instance has blocks for
it. On both sides an instance is vLLM's; a request that is preempted while it decodes is computed again where it is.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from placement.errors import InputError

from ..world import World
from .base import Group
from .vllm import Vllm, VllmScheduler


@dataclass(frozen=True, slots=True)
class Disaggregated(Vllm):
    """Prompts and decode steps apart.

    Attributes
    ----------
    prefill : int
        Instances that compute prompts; the others decode.
    """

    prefill: int = 1

    def __post_init__(self) -> None:
        Vllm.__post_init__(self)
        if isinstance(self.prefill, bool) or not 1 <= self.prefill <= 1_000_000:
            raise InputError(f"expected a whole number of at least 1, got {self.prefill!r}", "prefill")

    def start(self, world: World) -> DisaggregatedScheduler:
        """The scheduler of one simulation."""
        if self.prefill >= world.serving.instances:
            raise InputError(
                f"expected fewer instances for prompts than the {world.serving.instances} there are, "
                f"got {self.prefill}",
                "policy disaggregated: prefill",
            )
        return DisaggregatedScheduler(world, self)


class DisaggregatedScheduler(VllmScheduler):
    """What `Disaggregated` decides.

    Parameters
    ----------
    world : World
    policy : Disaggregated
    """

    def __init__(self, world: World, policy: Disaggregated) -> None:
        super().__init__(world, policy)
        self.prompting = range(policy.prefill)
        self.decoding = range(policy.prefill, world.serving.instances)
        world.serving_chains = self.prompting
        self.moving: dict[int, int] = {}

    def fits(self, request: int, chain: int) -> bool:
        """Whether both sides could hold it."""
        return all(VllmScheduler.fits(self, request, c) for c in (chain, *self.decoding))

    def done(self, group: Group, request: int, now: float) -> bool:
        """A prompt is computed: its cache goes to the decode instance with the fewest requests."""
        super().done(group, request, now)
        world, ledger = self.world, self.world.ledger
        if group.chain in self.decoding or ledger.made[request] >= ledger.output[request]:
            return True
        to = world.least_loaded(self.decoding)
        moved = float(ledger.cached[request]) * world.serving.rooms[group.chain].token_bytes
        world.count("moved_bytes", moved)
        self.moving[request] = group.chain
        world.running[group.chain] -= 1
        world.ready_s[request] = now + self._way_s(group.chain, to, moved)
        ledger.chain[request] = to
        world.queues[to].append(request)
        heapq.heappush(world.alarms, (float(world.ready_s[request]), to))
        return False

    def _way_s(self, chain: int, to: int, moved: float) -> float:
        """Seconds for a cache, stage by stage at once."""
        machine = self.world.serving.machine
        stages = int(machine.length[chain])
        a, b = machine.node[machine.stages[chain, 0]], machine.node[machine.stages[to, 0]]
        return float(machine.latency_s[a, b]) + moved / stages * float(machine.per_byte_s[a, b])

    def _enter(self, group: Group, request: int, budget: int) -> bool:
        """A request whose cache has come needs blocks for all of it."""
        if request not in self.moving:
            return super()._enter(group, request, budget)
        ledger, origin = self.world.ledger, self.moving[request]
        blocks = -(-int(ledger.cached[request]) // self.block)
        if blocks > self.available(group.chain) or not self.pages[group.chain].take(blocks):
            self.world.short.add(group.chain)
            return False
        del self.moving[request]
        self.pages[origin].give_back(request, int(ledger.held[request]), remember=self.policy.prefix_caching)
        self.world.freed.add(origin)
        ledger.held[request] = blocks
        return True

    def admit(self, group: Group, now: float) -> None:
        """As vLLM; requests whose cache has come go on with their decode steps."""
        super().admit(group, now)
        ledger = self.world.ledger
        come = [r for r in group.prompts if ledger.cached[r] >= ledger.target[r]]
        for request in come:
            group.prompts.remove(request)
        group.members = np.concatenate([group.members, np.array(come, dtype=np.int64)])
