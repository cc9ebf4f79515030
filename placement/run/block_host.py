"""The blocks of one device in this process: loaded as plans ask, run on messages, with what each pass took."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..plan.plan import PlacedSpan
from .architecture import block_names
from .chains import Chain
from .emulate import Pace
from .job import Job, check_plan, check_prompts
from .loader import Loader
from .process_map import ProcessMap
from .stage import Stage
from .tensor_group import TensorGroup
from .transport import Message

MOST_EVENTS = 200_000
"""Passes that are noted one by one; a longer run goes on without."""

Event = tuple[float, float, int, int, int, int, int, float]
"""One pass: (began_s, ended_s, batch, position, tokens, start, stop, computed_s)."""


class BlockHost:
    """Loads and runs the blocks of a device: those of its node, or its part of those of its tensor parallel group.

    Parameters
    ----------
    job : Job
        Its checkpoint, device, number format and emulated pace.
    here : ProcessMap
        Which of its devices this is.

    Raises
    ------
    InputError
        The checkpoint cannot be read, or the plan or the prompts do not fit it.
    """

    def __init__(self, job: Job, here: ProcessMap) -> None:
        device = job.devices.get(here.node, "cpu")
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        self.node, self.device = here.stage, device
        self.loader = Loader(Path(job.model), device, job.dtype)
        n_blocks = self.loader.arch.n_blocks
        check_plan(job.plan, n_blocks, block_names(n_blocks))
        check_prompts(job, *self.loader.sizes())
        self.group: TensorGroup | None = None
        if len(here.together) > 1:
            rank = here.together.index(here.places.index(here.node))
            self.group = self.loader.group = TensorGroup(self.loader.arch, rank, len(here.together))
        self.stage = Stage(self.loader, max(len(prompt) for prompt in job.prompts) + job.tokens, group=self.group)
        slow = job.emulation.slow
        self.pace = Pace(slow.get(here.node, slow.get(here.stage, 1.0)))
        self.warm_up_tokens = min(32, len(job.prompts[0]))
        self.busy_since = 0.0
        """When the pass under way began (`time.monotonic`), 0 when there is none; the beating thread reads it."""
        self.events: list[Event] = []
        self.read_bytes, self.cache_peak_bytes = 0, 0

    def hold(self, placement: Sequence[PlacedSpan]) -> int:
        """Load what a new plan asks of this node, drop the rest and all caches; return the bytes read."""
        self.stage.caches.clear()
        held = [range(span.start, span.stop) for span in placement if span.node == self.node]
        read = self.loader.hold(itertools.chain(*held))
        self.read_bytes += read
        return read

    def join(self, group: Any) -> None:
        """Compute together with the devices of a process group."""
        assert self.group is not None
        self.group.join(group)

    def rehearse(self, chains: Sequence[Chain]) -> None:
        """Pass zeros through what the chains of this run pass through."""
        for start, stop in sorted({(s.start, s.stop) for chain in chains for s in chain if s.node == self.node}):
            self.stage.warm_up(start, stop, self.warm_up_tokens)

    def run(self, message: Message, span: PlacedSpan) -> tuple[torch.Tensor, Event]:
        """Pass the values of a message through a span; return what comes out, and the event to `note` afterwards."""
        assert message.values is not None
        self.busy_since = time.monotonic()
        try:
            began = self.pace.start()
            values = self.stage.run(message.batch, span.start, span.stop, message.position, message.values)
            computed_s = self.pace.stop(values)
        finally:
            self.busy_since = 0.0
        what = (message.batch, message.position, message.values.shape[1], span.start, span.stop)
        return values, (began, time.perf_counter(), *what, computed_s)

    def note(self, event: Event) -> None:
        """Keep the figures of a pass: nobody waits for this, so it comes after the message."""
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        self.cache_peak_bytes = max(self.cache_peak_bytes, self.stage.cache_bytes())

    def forget(self, batch: int) -> None:
        """Drop the cache of a micro-batch that has ended."""
        self.stage.forget(batch)

    def stats(self) -> dict[str, Any]:
        """Return events and memory in bytes, as plain data."""
        data: dict[str, Any] = {
            "events": self.events,
            "weight_bytes": self.loader.bytes_held(),
            "cache_bytes": self.cache_peak_bytes,
            "read_bytes": self.read_bytes,
        }
        if self.device.startswith("cuda"):
            data["device_bytes"] = torch.cuda.max_memory_allocated(self.device)
        return data
