"""Process groups of a run: gloo between all processes, nccl between those that keep their tensors on GPUs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch


def make_group(store: Any, rank: int, size: int, address: str, timeout_s: float) -> Any:
    """Return a gloo group that listens on `address` only."""
    from torch.distributed import ProcessGroupGloo

    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]
    options._devices = [ProcessGroupGloo.create_device(hostname=address)]
    options._timeout = timedelta(seconds=timeout_s)
    return ProcessGroupGloo(store, rank, size, options)


def make_device_group(store: Any, rank: int, size: int) -> Any:
    """Return an nccl group."""
    from torch.distributed import ProcessGroupNCCL

    # Whether a worker is lost is for the heartbeats to say: nccl's own watchdog would end the process.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")
    return ProcessGroupNCCL(store, rank, size, ProcessGroupNCCL.Options())


@dataclass(frozen=True)
class DeviceGroups:
    """Messages between GPUs: one nccl group for each direction.

    A pair of ranks has one communicator in a group, and that one queues all its operations on one stream. Were both
    directions in one group, two ranks that each queue a receive before their send would wait for each other for ever.

    Attributes
    ----------
    upward, downward : ProcessGroupNCCL
        From lower ranks to higher ones, and back.
    """

    upward: Any
    downward: Any

    @classmethod
    def make(cls, store: Any, rank: int, size: int) -> DeviceGroups:
        """Make both groups; communicators come with the first message of a pair (`meet`)."""
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]

        up, down = (make_device_group(PrefixStore(f"nccl/{name}", store), rank, size) for name in ("up", "down"))
        return cls(up, down)

    def between(self, source: int, target: int) -> Any:
        """Return the group that carries what goes from one rank to another."""
        return self.upward if source < target else self.downward

    def meet(self, rank: int, pairs: Collection[tuple[int, int]], device: str) -> None:
        """Pass a number over every pair (source, target) of this rank: its communicator and buffers are then there.

        All ranks give the same pairs and go through them in the same order.
        """
        values = torch.zeros(1, device=device)
        for source, target in sorted(pairs):
            if rank == source:
                self.between(source, target).send([values], target, 0).wait()
            elif rank == target:
                self.between(source, target).recv([values], source, 0).wait()
        torch.cuda.synchronize(device)

    def abort(self) -> None:
        """Give up what is still under way: its other end may be gone, and a kernel would wait for ever."""
        for group in (self.upward, self.downward):
            with contextlib.suppress(RuntimeError):
                group.abort()
