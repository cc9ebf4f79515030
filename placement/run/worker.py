"""One process of a run: hosts a node of the plan, or the client, or both.

The launcher starts it for every node of one host; on several hosts torchrun does::

    torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
        -m placement.run.worker plan.json --model PATH --prompt "..." --tokens 64
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InfeasibleError, PlacementError
from ..files import write_atomic
from ..plan.plan import VERSION, Plan
from ..question.cluster import CLIENT
from ..question.workload import Workload
from .architecture import block_names
from .client import Client
from .control import Control, Pulse, RunError, Watch
from .device_groups import DeviceGroups, make_group
from .emulate import Pace, sharp_timers
from .gguf_to_folder import checkpoint_folder
from .job import Chain, Job, chains_of, check_plan, check_prompts, cluster_from_data, places_of
from .loader import Loader
from .stage import Stage
from .stats import stats_of
from .transport import BROKEN, FORGET, STOP, TOKENS, WAKE, WORK, LinkDownError, Message, Transport

if TYPE_CHECKING:
    from ..kinds.pipeline.replan import Replanned

MOST_EVENTS = 200_000
TAKEN_FOR_LOST = 3
CONNECT_LIMIT_S = 15.0


@dataclass
class Process:
    """The state of one process.

    Parameters
    ----------
    job : Job
    store, beat_store : Store
        Two connections: one for this thread, one for the thread that beats or watches.
    uid, size : int
        Number of this process and of all.
    out : Path or None
        Where the client's process writes the result.
    count : Path or None
        A file that the client lengthens by a byte with every token.
    """

    job: Job
    store: Any
    beat_store: Any
    uid: int
    size: int
    out: Path | None = None
    count: Path | None = None
    lost: dict[str, str] = field(default_factory=dict)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    transports: list[Transport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.control = Control(self.store, self.uid)
        self.places = places_of(self.job)
        # A process per place; with one process fewer, the first one hosts the client as well.
        nodes = len(self.places) - 1
        if self.size not in (nodes, nodes + 1):
            raise RunError(f"the plan needs {nodes} processes (or {nodes + 1}, one for the client), got {self.size}")
        self.client_uid = self.size - 1 if self.size == nodes + 1 else 0
        self.node = self.places[self.uid] if self.uid < nodes else ""
        self.plan, self.generation, self.wanted, self.stopped = self.job.plan, 0, 0, False
        self.chains = chains_of(self.plan)
        self.members = list(range(self.size))
        self.busy_since = 0.0
        self.read_bytes, self.cache_peak = 0, 0
        self.pace = Pace(self.job.emulation.slow.get(self.node, 1.0))
        self.device = self.job.devices.get(self.node, "cpu")
        self.notes: list[str] = []
        self.client = Client(self.job, nodes, self.count) if self.uid == self.client_uid else None
        self.stage: Stage | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until the run ends; return the exit code."""
        self._watch_or_beat()
        room = max(len(prompt) for prompt in self.job.prompts) + self.job.tokens
        if self.node:
            if self.device.startswith("cuda"):
                torch.cuda.set_device(self.device)
            self.loader = Loader(Path(self.job.model), self.device, self.job.dtype)
            check_plan(self.plan, self.loader.arch.n_blocks, block_names(self.loader.arch.n_blocks))
            check_prompts(self.job, *self.loader.sizes())
            self.stage = Stage(self.loader, room)
        if self.client is not None and self.job.recover:
            self._replanned([])  # compiles and loads now what must be quick later
        while True:
            try:
                if self._configure() and self._serve():
                    return self._finish()
            except LinkDownError as error:
                if not self._settle():
                    raise RunError(f"'{self.places[self.uid]}' lost a connection ({error})") from None
            if self.stopped:
                return 1
            if self.client is not None:
                self._recover()
            else:
                self._next_plan()

    def _watch_or_beat(self) -> None:
        job, control = self.job, Control(self.beat_store, self.uid)
        if self.client is not None:
            self.watch = Watch(control, job.heartbeat_s / 2, job.limit_s, job.step_limit_s, self._on_lost, self._abort)
            self.watch.start()
        if self.client is None:
            self.pulse = Pulse(control, job.heartbeat_s, lambda: self.busy_since, self._on_news)
            self.pulse.start()

    def _on_lost(self, uid: int, what: str) -> None:
        self.lost[self.places[uid]] = what
        self._wake()

    def _on_news(self, generation: int | None) -> None:
        if generation is None:
            self.stopped = True
        else:
            self.wanted = generation
        self._wake()

    def _wake(self) -> None:
        if self.transports:
            self.transports[-1].wake()

    def _abort(self, message: str) -> None:
        """End the run from the watching thread: the main one may hang."""
        self._write({"error": message, "tokens": self.client.texts() if self.client else []})
        self.beat_store.set("stop", "1")
        time.sleep(2 * self.job.heartbeat_s)
        os._exit(1)

    # -- one generation --------------------------------------------------------------------------------------------

    def _interrupted(self) -> bool:
        return bool(self.lost) or self.stopped or self.wanted > self.generation

    def _configure(self) -> bool:
        """Load what the plan asks for, meet the others, connect; False when somebody is lost meanwhile."""
        self.chains = chains_of(self.plan)
        hello: dict[str, Any] = {"version": VERSION}
        if self.stage is not None:
            own = {b for c in self.chains for s in c if s.node == self.node for b in range(s.start, s.stop)}
            self.stage.caches.clear()
            hello["bytes_read"] = self.loader.hold(own)
            self.read_bytes += hello["bytes_read"]
            for start, stop in sorted({(s.start, s.stop) for c in self.chains for s in c if s.node == self.node}):
                self.stage.warm_up(start, stop, min(32, len(self.job.prompts[0])))
        self.control.put(f"hello/{self.generation}/{self.uid}", hello)
        if self.client is not None:
            self.watch.members |= set(self.members) - {self.uid}
        keys = [f"hello/{self.generation}/{uid}" for uid in self.members]
        if not self.control.await_all(keys, self.job.start_limit_s, self._interrupted):
            if self._interrupted():
                return False
            late = [self.places[u] for u, key in zip(self.members, keys, strict=True) if not self.store.check([key])]
            raise RunError(f"not ready after {self.job.start_limit_s:.0f} s: {', '.join(late)}")
        for uid, key in zip(self.members, keys, strict=True):
            version = self.control.get(key)["version"]
            if version != VERSION:
                raise RunError(f"'{self.places[uid]}' runs version {version}, '{self.places[self.uid]}' {VERSION}")
        # Only processes that are alive right now connect: nothing interrupts a connection to a dead one.
        if self.client is not None:
            if not self._all_beat():
                return False
            self.control.put(f"go/{self.generation}", True)
        if not self.control.await_all([f"go/{self.generation}"], self.job.start_limit_s, self._interrupted):
            return False
        try:
            self.transports.append(self._connect())
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None
        return True

    def _all_beat(self) -> bool:
        others = [uid for uid in self.members if uid != self.uid]
        before = {uid: self.control.get(f"beat/{uid}") for uid in others}
        while not self._interrupted():
            if all(self.control.get(f"beat/{uid}") != before[uid] for uid in others):
                return True
            time.sleep(0.01)
        return False

    def _connect(self) -> Transport:
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]

        store = PrefixStore(f"group/{self.generation}", self.store)
        rank, size = self.members.index(self.uid), len(self.members)
        group = make_group(store, rank, size, self.job.address_of(self.places[self.uid]), CONNECT_LIMIT_S)
        hosts = [*range(len(self.places) - 1), self.client_uid]
        ranks = [self.members.index(uid) if uid in self.members else -1 for uid in hosts]
        between_gpus = self._between_gpus(store, rank, ranks)
        links = {}
        for pair, figures in self.job.emulation.links.items():
            a, _, b = pair.partition(">")
            if a in self.places and b in self.places:
                links[self.places.index(a), self.places.index(b)] = figures
        return Transport(group, ranks, rank, links, between_gpus, self.device)

    def _between_gpus(self, store: Any, rank: int, ranks: list[int]) -> DeviceGroups | None:
        """Groups for tensors that stay on GPUs; the client alone has none, tokens pass through host memory."""
        if self.job.backend != "nccl" or not self.node:
            return None
        groups = DeviceGroups.make(store, rank, len(self.members))
        hops = {(ranks[self.places.index(a.node)], ranks[self.places.index(b.node)])
                for chain in self.chains for a, b in pairwise(chain)}  # fmt: skip
        groups.meet(rank, {(a, b) for a, b in hops if a != b}, self.device)
        return groups

    def _serve(self) -> bool:
        """Handle messages; True at the end of the run, False when a new plan is needed."""
        transport = self.transports[-1]
        if self.client is not None:
            self.client.begin([[self.places.index(s.node) for s in chain] for chain in self.chains], transport.send)
        while True:
            if self.client is not None and self.client.done:
                for place, rank in enumerate(transport.ranks[:-1]):
                    if rank not in (transport.rank, -1):
                        transport.send(Message(STOP, len(self.places) - 1, place))
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

    def _handle(self, message: Message, transport: Transport) -> None:
        if message.kind == TOKENS and self.client is not None:
            self.client.on_tokens(message, transport.send)
        elif message.kind == FORGET and self.stage is not None:
            self.stage.forget(message.batch)
        elif message.kind == WORK and self.stage is not None and message.values is not None:
            self.busy_since = time.monotonic()
            try:
                out, event = self._compute(message, self.chains[message.chain], self.stage)
            finally:
                self.busy_since = 0.0
            transport.send(out)
            # What nobody waits for comes after the message.
            if len(self.events) < MOST_EVENTS:
                self.events.append(event)
            self.cache_peak = max(self.cache_peak, self.stage.cache_bytes())

    def _compute(self, message: Message, chain: Chain, stage: Stage) -> tuple[Message, tuple[Any, ...]]:
        assert message.values is not None
        span, began = chain[message.hop], self.pace.start()
        values = stage.run(message.batch, span.start, span.stop, message.position, message.values)
        worked = self.pace.stop(values)
        what = (message.batch, message.position, message.values.shape[1], span.start, span.stop)
        event = (began, time.perf_counter(), *what, worked)
        last = message.hop + 1 == len(chain)
        target = len(self.places) - 1 if last else self.places.index(chain[message.hop + 1].node)
        kind, values = (TOKENS, values.to(torch.int32)) if last else (WORK, values)
        here, hop = self.places.index(self.node), message.hop + 1
        return Message(kind, here, target, message.batch, message.chain, hop, message.position, values), event

    # -- faults ----------------------------------------------------------------------------------------------------

    def _settle(self) -> bool:
        """Wait until a broken connection has a cause: a lost worker, a new plan, the end of the run."""
        # With recovery the client may be planning; were it gone too, the beating thread would end this process.
        until = time.monotonic() + (self.job.start_limit_s if self.job.recover else 2 * self.job.limit_s)
        while time.monotonic() < until:
            if self._interrupted():
                return True
            time.sleep(0.02)
        return False

    def _recover(self) -> None:
        """Make the next plan without the lost workers, or end the run with the tokens so far."""
        assert self.client is not None
        lost = dict(self.lost)
        what = "; ".join(f"'{name}' is lost ({why})" for name, why in lost.items())
        if not self.job.recover or self.job.cluster is None:
            raise RunError(what, self.client.texts())
        began = time.perf_counter()
        try:
            new = self._replanned([name for name in self.places if name in {*lost, *self._gone()}])
        except InfeasibleError as error:
            raise RunError(f"{what}, and the rest cannot hold the model: {error}", self.client.texts()) from None
        self.notes.append(f"{what}; replanned in {time.perf_counter() - began:.2f} s, {new.moved_bytes / 1e6:.1f} MB")
        self.lost = {name: why for name, why in self.lost.items() if name not in lost}
        self.members = [uid for uid in self.members if self.places[uid] not in lost]
        self.transports[-1].close() if self.transports else None
        self.plan, self.generation = new.plan, self.generation + 1
        self.control.put(f"plan/{self.generation}", {"plan": self.plan.to_dict(), "members": self.members})

    def _replanned(self, lost: list[str]) -> Replanned:
        from ..kinds.pipeline.replan import replan
        from ..question.request import Constraints, Request
        from ..readers.models.read import read_model
        from ..search.solvers.annealing import Annealing

        assert self.job.cluster is not None
        model = read_model(checkpoint_folder(Path(self.job.model)))
        cluster = cluster_from_data(self.job.cluster)
        longest = max(len(prompt) for prompt in self.job.prompts)
        flying = min(len(self.job.prompts), self.job.in_flight * self.job.micro_batch or len(self.job.prompts))
        work = Workload(longest, self.job.tokens, flying)
        # A plan that goes back and forth may go on doing so.
        runs = [span.node for chain in self.chains for span in chain]
        request = Request(model, cluster, work, constraints=Constraints(contiguous=len(set(runs)) == len(runs)))
        return replan(self.plan, None, request, lost=lost, solver=Annealing(), time_limit=0.3)

    def _gone(self) -> set[str]:
        return {name for uid, name in enumerate(self.places[:-1]) if uid not in self.members}

    def _next_plan(self) -> None:
        data = self.control.get(f"plan/{self.wanted}")
        if data is None or self.uid not in data["members"]:
            os._exit(TAKEN_FOR_LOST)  # it woke up late: the others went on without it
        if self.transports:
            self.transports[-1].close()
        self.generation, self.members, self.plan = self.wanted, data["members"], Plan.from_dict(data["plan"])

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> int:
        stats = stats_of(self)
        if self.client is None:
            self.control.put(f"stats/{self.uid}", stats)
            return 0
        self.watch.members.clear()
        others = [uid for uid in self.members if uid != self.uid]
        self.control.await_all([f"stats/{uid}" for uid in others], 15.0, lambda: False)
        all_stats = [s for uid in others if (s := self.control.get(f"stats/{uid}"))] + [stats]
        batches = [
            {"rows": b.rows, "prompt": b.prompts.shape[1], "began_s": b.began_s, "times_s": b.times_s,
             "restarts": b.restarts} for b in self.client.batches.values()
        ]  # fmt: skip
        self._write(
            {"tokens": self.client.texts(), "batches": batches, "stats": all_stats, "plan": self.plan.to_dict(),
             "notes": self.notes}
        )  # fmt: skip
        return 0

    def _write(self, data: dict[str, Any]) -> None:
        if self.out is not None:
            write_atomic(self.out, json.dumps(data))
        elif "error" not in data:
            sys.stdout.write(json.dumps({"tokens": data["tokens"]}) + "\n")


def main_of(process: Process) -> int:
    """Run a process; errors go to the store, to everybody's notice."""
    torch.set_num_threads(process.job.threads)
    torch.set_grad_enabled(False)
    sharp_timers()
    sys.setswitchinterval(0.0005)  # the receiving thread should not wait 5 ms for the interpreter
    try:
        return process.run()
    except Exception as error:  # one line for the launcher; of a bug, the log keeps the rest
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not isinstance(error, PlacementError | RuntimeError | OSError | MemoryError):
            traceback.print_exc()
            line = f"{type(error).__name__}: {line}"
        who = process.places[process.uid]
        message = line if who == CLIENT or isinstance(error, RunError) else f"'{who}': {line}"
        tokens = getattr(error, "tokens", [])
        if process.client is not None:
            process._write({"error": message, "tokens": tokens or process.client.texts()})
            process.store.set("stop", "1")
            time.sleep(2 * process.job.heartbeat_s)
        else:
            process.control.fail(message)
        sys.stderr.write(message + "\n")
        return 1


if __name__ == "__main__":
    from .worker_cli import main

    os._exit(main(sys.argv[1:]))
