"""The clock: arrivals, passes and decisions in the order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from placement.errors import InputError
from placement.question.requests import Requests

from .kernels.events import BLOCKS, NOBODY, FloatArray, Groups, Shared, run
from .ledger import Ledger
from .machine import Serving
from .options import EngineOptions
from .policies.base import Group, Pass, Policy
from .samples import Samples
from .world import World

BINS = 200
GANTT_PASSES = 200
SLEEPS = -1
MOST_TURNS = 100_000  # of asking instances at one time


@dataclass(frozen=True, slots=True)
class Load:
    """How requests come, and for how long.

    Attributes
    ----------
    concurrency : int
        A closed stream: so many requests are in flight, the next one comes when one is done. 0: they come at their
        times.
    duration_s : float
        End of the simulation; infinite: when all are served.
    warm_s : float
        What happens before does not count.
    """

    concurrency: int = 0
    duration_s: float = math.inf
    warm_s: float = 0.0


class Engine:
    """One simulation; `go` runs it and may be stopped between any two of its steps.

    Parameters
    ----------
    serving : Serving
    requests : Requests
    policy : Policy
    options : EngineOptions
    load : Load
    """

    def __init__(
        self, serving: Serving, requests: Requests, policy: Policy, options: EngineOptions, load: Load
    ) -> None:
        if not options.max_model_len:
            longest = int((requests.prompt_tokens + requests.output_tokens).max())
            options = replace(options, max_model_len=longest)
        self.options, self.load = options, load
        self.ledger = Ledger(requests)
        self.world = World(serving, options, self.ledger)
        self.scheduler = policy.start(self.world)
        ahead = self.scheduler.ahead and max(self.world.per_chain) == 1 if options.ahead is None else options.ahead
        self.serving = replace(serving, machine=serving.machine._replace(ahead=ahead))
        self.g, self.s = _state(serving, self.world, self.scheduler.block, load, requests)
        self.now, self.arrived, self.finished = 0.0, 0, 0
        self.running_s = self.waiting_s = 0.0
        self.world.places = self.g.place
        self.doing: list[Pass | None] = [None] * len(self.world.groups)
        self.samples = Samples(self.world)
        self.limits = np.array(serving.windows, dtype=np.int64)
        if load.concurrency:
            self.ledger.arrival_s[:] = np.inf
            self.ledger.arrival_s[: load.concurrency] = 0.0
            self.world.ready_s[:] = self.ledger.arrival_s + serving.host.request_s

    def go(self, progress: Callable[[float, int], None] | None = None) -> None:
        """Run to the end; `progress` gets the time and the requests that are done."""
        for _ in self.steps():
            if progress is not None:
                progress(self.now, self.finished)

    def steps(self) -> Iterator[None]:
        """Go from decision to decision."""
        machine, end = self.serving.machine, self.load.duration_s
        while True:
            following = self._following()
            who, why, time = run(machine, self.g, self.s, min(following, end))
            if who != NOBODY:
                self._pass_time(time)
                self.samples.note(time, self)
                self._back(self.world.groups[who], time, short=why == BLOCKS)
            elif following <= end and following < math.inf:
                self._pass_time(following)
                self.samples.note(following, self)
                self._arrive(following)
                self._ring(following)
            else:
                if not math.isinf(end):
                    self._pass_time(end)
                break
            yield
        self._settle_all()
        if math.isinf(end) and any(self.world.queues):
            request = next(queue[0] for queue in self.world.queues if queue)
            raise InputError(f"request {request} waits for ever: the policy never takes it in", "policy")

    def _following(self) -> float:
        """When the next request comes, or the next alarm rings."""
        coming = float(self.world.ready_s[self.arrived]) if self.arrived < self.ledger.number else math.inf
        return min(coming, self.world.alarms[0][0]) if self.world.alarms else coming

    def _ring(self, now: float) -> None:
        """Instances that wanted to be asked now are asked."""
        world = self.world
        while world.alarms and world.alarms[0][0] <= now:
            chain = heapq.heappop(world.alarms)[1]
            for group in world.of_chain[chain]:
                self.s.ask[group.number] = now
            self._wake(chain, now)

    def _pass_time(self, now: float) -> None:
        """Go to a time; requests in the system are counted on the way."""
        spent = now - max(self.now, self.load.warm_s)
        if spent > 0.0:
            self.running_s += spent * int(self.world.running.sum())
            self.waiting_s += spent * sum(map(len, self.world.queues))
        self.now = now

    def _arrive(self, now: float) -> None:
        """Those who come now join queues, all before anybody looks."""
        world, first = self.world, set()
        while self.arrived < self.ledger.number and world.ready_s[self.arrived] <= now:
            request = self.arrived
            self.arrived += 1
            chain = self.scheduler.route(request)
            if not self.scheduler.fits(request, chain):
                self.ledger.refused[request] = 1
                self._follow(now)
                continue
            self.ledger.chain[request] = chain
            if not world.queues[chain]:
                first.add(chain)
            world.queues[chain].append(request)
        for chain in sorted(first):  # behind somebody who waits nobody has to look again
            for group in world.of_chain[chain]:
                self.s.ask[group.number] = now
            self._wake(chain, now)

    def _follow(self, now: float) -> None:
        """In a closed stream the next request comes when one is done."""
        if not self.load.concurrency:
            return
        later = np.flatnonzero(np.isinf(self.ledger.arrival_s[self.arrived :]))
        if len(later):
            request = self.arrived + int(later[0])
            self.ledger.arrival_s[request] = now
            self.world.ready_s[request] = now + self.serving.host.request_s

    def _wake(self, chain: int, now: float) -> None:
        """Groups without work look into the queue."""
        for group in self.world.of_chain[chain]:
            if not self.world.queues[chain] and not group.size:
                continue
            if self.g.place[group.number] == SLEEPS:
                group.seen = now
                self._next(group, now)

    def _back(self, group: Group, now: float, *, short: bool) -> None:
        """A group has come back: tokens are handed out, the finished leave, and its next pass begins."""
        self._settle(group, now)
        group.seen = float(self.g.seen[group.number])
        if short:
            self.world.count("short_of_blocks")
        self._next(group, now)
        turns = 0
        while self.world.freed:
            turns += 1
            if turns > MOST_TURNS:
                raise InputError(f"gives and takes the same memory for ever at {now:g} s", "policy")
            chain = self.world.freed.pop()
            # The group itself has just looked: where memory is short for it, it is short for all.
            if self.world.queues[chain] and chain not in self.world.short:
                for other in self.world.of_chain[chain]:
                    if other is not group and self.scheduler.has_place(other):
                        self.s.ask[other.number] = self.world.ready_s[self.world.queues[chain][0]]
            self._wake(chain, now)

    def _settle_all(self) -> None:
        for group in self.world.groups:
            done, doing = int(self.g.done[group.number]), self.doing[group.number]
            if done and doing is not None:
                self.ledger.made[doing.decoding] += done
                self.ledger.cached[doing.decoding] += done
                self.g.done[group.number] = 0

    def _settle(self, group: Group, now: float) -> None:
        """Write down what the passes since the last decision have made."""
        ledger, k = self.ledger, group.number
        done, doing = int(self.g.done[k]), self.doing[k]
        if doing is None:
            return
        self.g.done[k], self.doing[k] = 0, None
        self.scheduler.passed(group, doing, done)
        decoding = doing.decoding
        if len(decoding):
            ledger.made[decoding] += done
            ledger.cached[decoding] += done
            if self.scheduler.block:
                ledger.held[decoding] = -(-ledger.cached[decoding] // self.scheduler.block)
        ended = []
        for request, tokens in doing.chunks:
            ledger.cached[request] += tokens
            if ledger.cached[request] >= ledger.target[request]:
                group.prompts.remove(request)
                ledger.made[request] += 1
                if math.isnan(ledger.first_s[request]):
                    ledger.first_s[request] = now
                if self.scheduler.done(group, request, now):
                    ended.append(request)
        if ended:
            group.members = np.concatenate([group.members, np.array(ended, dtype=np.int64)])
        over = ledger.made[group.members] >= ledger.output[group.members]
        if self.scheduler.together and not over.all():
            return
        if over.any():
            self._finish(group, over, now)

    def _finish(self, group: Group, over: np.ndarray, now: float) -> None:
        leaving = group.members[over]
        group.members = group.members[~over]
        self.ledger.made[leaving] = self.ledger.output[leaving]
        for request in leaving.tolist():
            self.ledger.finish_s[request] = now
            self.scheduler.leave(request)
            self._follow(now)
        self.finished += len(leaving)
        self.world.running[group.chain] -= len(leaving)
        self.world.freed.add(group.chain)

    def _next(self, group: Group, now: float) -> None:
        """Ask the policy for the next pass of a group and begin it."""
        k, world = group.number, self.world
        world.short.discard(group.chain)
        self.scheduler.admit(group, now)
        doing = self.scheduler.batch(group, now)
        queue = world.queues[group.chain]
        # A request that may already be seen and was not taken in waits until something is freed.
        unseen = bool(queue) and world.ready_s[queue[0]] > group.seen
        self.s.ask[k] = world.ready_s[queue[0]] if unseen else math.inf
        if not queue:
            for other in world.of_chain[group.chain]:
                self.s.ask[other.number] = math.inf
        if doing is None or (not len(doing.decoding) and not doing.chunks):
            self.g.place[k] = SLEEPS
            return
        self.doing[k] = doing
        self._fill(k, doing, now)
        row = self.s.noted[2]
        self.s.begins[row] = k, now, sum(tokens for _, tokens in doing.chunks)
        self.s.noted[2] = row + 1
        self.g.place[k] = 0

    def _fill(self, k: int, doing: Pass, now: float) -> None:
        """Write a pass into the arrays of the kernels."""
        ledger, g = self.ledger, self.g
        decoding = doing.decoding
        cached = ledger.cached[decoding] + 1
        g.grows[k], g.pairs[k], g.cache[k] = 0.0, 0.0, 0.0
        left = 1
        if len(decoding):
            if len(self.limits) == 1:
                g.cache[k, 0], g.grows[k, 0] = cached.sum(), len(decoding)
            else:
                seen = np.minimum(cached[:, None], self.limits[None, :])
                g.cache[k], g.grows[k] = seen.sum(axis=0), (cached[:, None] < self.limits[None, :]).sum(axis=0)
            g.pairs[k] = g.cache[k]
            left = self._steps(doing, cached)
        g.cache[k] -= doing.remote_tokens
        tokens = len(decoding) + doing.padding
        for request, chunk in doing.chunks:
            before = int(ledger.cached[request])
            if math.isnan(ledger.begun_s[request]):
                ledger.begun_s[request] = now
            tokens += chunk
            g.pairs[k] += _pairs(before, chunk, self.limits)
            g.cache[k] += np.minimum(before + chunk, self.limits + chunk)
        g.tokens[k] = tokens
        g.rows[k] = g.sequences[k] = len(decoding) + len(doing.chunks)
        g.left[k], g.done[k], g.shift[k] = left, 0, 0
        if self.scheduler.block:
            block = g.phase.shape[1]
            g.phase[k] = np.bincount((-cached) % block, minlength=block)
        g.extra_s[k], g.remote_s[k], g.lender[k], g.lent_s[k] = (
            doing.extra_s,
            doing.remote_s,
            doing.lender,
            doing.lent_s,
        )

    def _steps(self, doing: Pass, cached: np.ndarray) -> int:
        """Decode steps until something changes for one of the sequences."""
        if doing.chunks:
            return 1
        decoding = doing.decoding
        rest = self.ledger.output[decoding] - self.ledger.made[decoding]
        left = int(rest.max() if self.scheduler.together else rest.min())
        for limit in self.limits[1:]:
            below = cached[cached < limit]
            if len(below):
                left = min(left, int(limit - below.max()))
        return max(1, min(left, doing.steps) if doing.steps else left)


def _pairs(before: int, chunk: int, limits: np.ndarray) -> FloatArray:
    """Tokens x context of a chunk, by window: its tokens see what came before them and themselves."""
    full = np.clip(limits - before, 0, chunk).astype(float)  # tokens that see everything
    pairs: FloatArray = full * before + full * (full + 1.0) / 2.0 + (chunk - full) * limits
    return pairs


def _state(serving: Serving, world: World, block: int, load: Load, requests: Requests) -> tuple[Groups, Shared]:
    """Arrays of the kernels before anything has happened."""
    number, windows, chains = len(world.groups), len(serving.windows), serving.instances
    nodes = len(serving.nodes)

    def whole(value: int = 0) -> np.ndarray:
        return np.full(number, value, dtype=np.int64)

    def real() -> FloatArray:
        return np.zeros(number)

    groups = Groups(
        chain=np.array([group.chain for group in world.groups], dtype=np.int64),
        place=whole(SLEEPS),
        time=real(),
        launched=real(),
        seen=real(),
        tokens=whole(),
        rows=whole(),
        sequences=whole(),
        pairs=np.zeros((number, windows)),
        cache=np.zeros((number, windows)),
        grows=np.zeros((number, windows)),
        left=whole(),
        done=whole(),
        phase=np.zeros((number, max(block, 1)), dtype=np.int64),
        shift=whole(),
        extra_s=real(),
        remote_s=real(),
        lender=whole(NOBODY),
        lent_s=real(),
    )
    ends = load.duration_s if math.isfinite(load.duration_s) else 4.0 * max(float(requests.arrival_s[-1]), 1.0)
    shared = Shared(
        free=world.free,
        ask=np.full(number, np.inf),
        node_free=np.zeros(nodes),
        link_free=np.zeros((nodes + 1, nodes + 1)),
        host_free=np.zeros(chains),
        busy=np.zeros((nodes, BINS)),
        bin_s=np.array([ends / BINS]),
        begins=np.zeros((number, 3)),
        gantt=np.zeros((GANTT_PASSES * int(serving.machine.length.max()), 5)),
        noted=np.zeros(3, dtype=np.int64),
    )
    return groups, shared
