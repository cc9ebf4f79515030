"""The life of one process of a run: it hosts a node of the plan, or the client, or both.

It loads what the plan asks for, meets the others, handles messages until the run ends, and goes on with the next plan
when a worker is lost.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InfeasibleError, NotFoundError, PlacementError
from ..plan.plan import Plan
from .block_host import BlockHost
from .client import Client
from .control import Control, RunError
from .emulate import sharp_timers
from .heartbeat import Notices, Pulse, Watch
from .job import Job
from .process_map import ProcessMap
from .recovery import Recovery
from .rendezvous import Generation, Rendezvous
from .result import write_raw
from .transport import BROKEN, FORGET, STOP, TOKENS, WAKE, WORK, LinkDownError, Message, Transport

TAKEN_FOR_LOST = 3
"""Exit code of a worker that woke up late: the others went on without it."""

_STATS_LIMIT_S = 15.0


@dataclass
class WorkerProcess:
    """The state of one process.

    Parameters
    ----------
    job : Job
    store, beat_store : Store
        Two connections: one for this thread, one for the thread that beats or watches.
    uid, size : int
        Number of this process and of all.
    out : Path or None
        Where the client's process writes the result; None prints the tokens.
    count : Path or None
        A file that the client lengthens by a byte with every token.

    Raises
    ------
    RunError
        The number of processes does not fit the plan.
    """

    job: Job
    store: Any
    beat_store: Any
    uid: int
    size: int
    out: Path | None = None
    count: Path | None = None
    transports: list[Transport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.here = ProcessMap.of(self.job, self.uid, self.size)
        self.control = Control(self.store, self.uid)
        self.notices = Notices(self._wake)
        self.rendezvous = Rendezvous(self.job, self.here, self.store, self.control, self._interrupted)
        self.batches = len(self.job.batches)
        self.generation = Generation.of(0, self.job.plan, tuple(range(self.size)), self.batches)
        self.client = Client(self.job, self.here.client_place, self.count) if self.here.is_client else None
        self.host: BlockHost | None = None
        self.recovery: Recovery | None = None

    def run(self) -> int:
        """Serve until the run ends; return the exit code."""
        self._watch_or_beat()
        if self.here.node:
            self.host = BlockHost(self.job, self.here)
        if self.client is not None and self.job.replan:
            self.recovery = Recovery(self.job)
            self.recovery.rehearse(self.job.plan)
        while True:
            try:
                if self._join() and self._serve():
                    return self._finish()
            except LinkDownError as error:
                if not self._find_cause():
                    raise RunError(f"'{self.here.name}' lost a connection ({error})") from None
            if self.notices.ended:
                return 1
            self.generation = self._without_the_lost() if self.client is not None else self._announced()

    def abort(self, message: str) -> None:
        """End the run from the watching thread: the main one may hang."""
        self._fail(message, self.client.texts() if self.client else [], self.beat_store)
        os._exit(1)

    def fail(self, error: Exception) -> None:
        """Tell everybody about an error of the main thread."""
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not isinstance(error, PlacementError | RuntimeError | OSError | MemoryError):
            traceback.print_exc()  # a bug: the log keeps the rest
            line = f"{type(error).__name__}: {line}"
        alone = not self.here.node
        message = line if alone or isinstance(error, RunError) else f"'{self.here.name}': {line}"
        if self.client is not None:
            self._fail(message, getattr(error, "tokens", []) or self.client.texts(), self.store)
        else:
            self.control.fail(message)
        sys.stderr.write(message + "\n")

    def _fail(self, message: str, tokens: list[list[int]], store: Any) -> None:
        write_raw(self.out, {"error": message, "tokens": tokens})
        store.set("stop", "1")
        time.sleep(2 * self.job.heartbeat_s)  # the others look at every beat, and the store ends with this process

    # Between threads

    def _watch_or_beat(self) -> None:
        job, control = self.job, Control(self.beat_store, self.uid)
        if self.client is None:
            Pulse(control, job.heartbeat_s, self._busy_since, self.notices).start()
            return
        self.watch = Watch(control, job.heartbeat_s / 2, job.limit_s, job.step_limit_s, self._on_lost, self.abort)
        self.watch.start()

    def _busy_since(self) -> float:
        return self.host.busy_since if self.host is not None else 0.0

    def _on_lost(self, uid: int, why: str) -> None:
        self.notices.on_lost(self.here.places[uid], why)

    def _wake(self) -> None:
        if self.transports:
            self.transports[-1].wake()

    def _interrupted(self) -> bool:
        return self.notices.interrupt(self.generation.number)

    # One generation

    def _join(self) -> bool:
        """Load what the plan asks for, meet the others, connect; False when somebody is lost meanwhile."""
        new = self.generation
        read = self.host.hold(new.plan.placement) if self.host is not None else 0
        if self.client is not None:
            self.watch.members |= set(self.generation.members) - {self.uid}
        if self.host is not None:
            if len(self.here.together) > 1:
                group = self.rendezvous.tensor_group(new)
                if group is None:
                    return False
                self.host.join(group)
            self.host.rehearse(new.chains)
        if not self.rendezvous.meet(self.generation, read) or not self.rendezvous.go(self.generation):
            return False
        self.transports.append(self.rendezvous.connect(self.generation))
        return True

    def _serve(self) -> bool:
        """Handle messages; True at the end of the run, False when a new plan is needed."""
        transport, place_of = self.transports[-1], self.here.place_of
        if self.client is not None:
            chains = [[place_of(span.node) for span in chain] for chain in self.generation.chains]
            self.client.begin(chains, self.generation.of_batch, transport.send)
        while True:
            if self.client is not None and self.client.done:
                self._say_stop(transport)
                return True
            if self._interrupted():
                return False
            message = transport.receive(1.0)
            if message is None or message.kind == WAKE:
                continue
            if message.kind == STOP:
                return True
            if message.kind == BROKEN:
                raise LinkDownError(transport.broken)
            self._handle(message, transport)

    def _say_stop(self, transport: Transport) -> None:
        for place, rank in enumerate(transport.ranks[:-1]):
            if rank not in (transport.rank, -1):
                transport.send(Message(STOP, self.here.client_place, place))

    def _handle(self, message: Message, transport: Transport) -> None:
        if message.kind == TOKENS and self.client is not None:
            self.client.on_tokens(message, transport.send)
        elif message.kind == FORGET and self.host is not None:
            self._share(message, transport)
            self.host.forget(message.batch)
        elif message.kind == WORK and self.host is not None and message.values is not None:
            chain = self.generation.chains[message.chain]
            self._share(message, transport)
            values, event = self.host.run(message, chain[message.hop])
            if self.here.is_head:
                self._pass_on(message, values, transport)
            self.host.note(event)

    def _share(self, message: Message, transport: Transport) -> None:
        """Tell the devices that compute with this one: all of them take messages in the order of the head."""
        for place in self.here.together[1:] if self.here.is_head else ():
            transport.send(replace(message, source=self.here.together[0], target=place))

    def _pass_on(self, message: Message, values: torch.Tensor, transport: Transport) -> None:
        """Send what came out of a stage to the next one, or to the client."""
        chain, hop = self.generation.chains[message.chain], message.hop + 1
        last = hop == len(chain)
        target = self.here.client_place if last else self.here.place_of(chain[hop].node)
        kind, values = (TOKENS, values.to(torch.int32)) if last else (WORK, values)
        here = self.here.places.index(self.here.node)
        transport.send(Message(kind, here, target, message.batch, message.chain, hop, message.position, values))

    # Lost workers

    def _find_cause(self) -> bool:
        """Wait until a broken connection has a cause: a lost worker, a new plan, the end of the run."""
        # With recovery the client may be planning; were it gone too, the beating thread would end this process.
        until = time.monotonic() + (self.job.start_limit_s if self.job.replan else 2 * self.job.limit_s)
        while time.monotonic() < until:
            if self._interrupted():
                return True
            time.sleep(0.02)
        return False

    def _without_the_lost(self) -> Generation:
        """Make the next plan without the lost workers, or end the run with the tokens so far."""
        assert self.client is not None
        lost, old = dict(self.notices.lost), self.generation
        what = "; ".join(f"'{name}' is lost ({why})" for name, why in lost.items())
        if self.recovery is None:
            raise RunError(what, self.client.texts())
        began = time.perf_counter()
        left = tuple(uid for uid in old.members if self.here.places[uid] not in lost)
        gone = [name for uid, name in enumerate(self.here.places[:-1]) if uid not in left]
        try:
            new = self.recovery.next_plan(old.plan, gone)
        except (InfeasibleError, NotFoundError) as error:
            raise RunError(f"{what}, and the rest cannot hold the model: {error}", self.client.texts()) from None
        self.notes.append(f"{what}; replanned in {time.perf_counter() - began:.2f} s, {new.moved_bytes / 1e6:.1f} MB")
        for name in lost:
            del self.notices.lost[name]
        self._leave()
        self.control.put(f"plan/{old.number + 1}", {"plan": new.plan.to_dict(), "members": left})
        return Generation.of(old.number + 1, new.plan, left, self.batches)

    def _announced(self) -> Generation:
        """Return the plan that the client has made."""
        number = self.notices.newest
        data = self.control.get(f"plan/{number}")
        if data is None or self.uid not in data["members"]:
            os._exit(TAKEN_FOR_LOST)
        self._leave()
        return Generation.of(number, Plan.from_dict(data["plan"]), tuple(data["members"]), self.batches)

    def _leave(self) -> None:
        if self.transports:
            self.transports[-1].close()

    # The end

    def _finish(self) -> int:
        # A sum ends at some devices before others: who left first would break it off for the rest.
        mates = [f"through/{uid}" for uid in self.here.together]  # every device has a process of the same number
        self.control.put(f"through/{self.uid}", True)
        if self.client is None:
            self.control.await_all(mates, _STATS_LIMIT_S, lambda: False)
            self.control.put(f"stats/{self.uid}", self._stats())
            return 0
        self.watch.members.clear()
        others = [uid for uid in self.generation.members if uid != self.uid]
        self.control.await_all([f"stats/{uid}" for uid in others], _STATS_LIMIT_S, lambda: False)
        told = [self.control.get(f"stats/{uid}") for uid in others]
        raw = {
            "tokens": self.client.texts(),
            "batches": self.client.records(),
            "stats": [*filter(None, told), self._stats()],
            "plan": self.generation.plan.to_dict(),
            "notes": self.notes,
        }
        write_raw(self.out, raw)
        return 0

    def _stats(self) -> dict[str, Any]:
        """Return traffic, events and memory of this process as plain data."""
        import psutil

        places = self.here.places
        links = [
            [places[a], places[b], use.messages, use.n_bytes, use.busy_s]
            for transport in self.transports
            for (a, b), use in transport.use.items()
        ]
        data = {"place": self.here.name, "links": links, "rss_bytes": psutil.Process().memory_info().rss}
        return data | (self.host.stats() if self.host is not None else {"events": []})


def main_of(process: WorkerProcess) -> int:
    """Run a process; errors go to the store, to everybody's notice."""
    torch.set_num_threads(process.job.threads)
    torch.set_grad_enabled(False)
    sharp_timers()
    sys.setswitchinterval(0.0005)  # the receiving thread should not wait 5 ms for the interpreter
    try:
        return process.run()
    except Exception as error:  # one line for the launcher
        process.fail(error)
        return 1
