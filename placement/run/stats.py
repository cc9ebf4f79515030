"""What a process tells about itself at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .worker import Process


def stats_of(process: Process) -> dict[str, Any]:
    """Return traffic, events and memory of a process as plain data."""
    import psutil

    links = [
        [process.places[a], process.places[b], use.messages, use.n_bytes, use.busy_s]
        for transport in process.transports
        for (a, b), use in transport.use.items()
    ]
    data: dict[str, Any] = {"place": process.places[process.uid], "links": links, "events": process.events}
    data["rss_bytes"] = psutil.Process().memory_info().rss
    if process.stage is not None:
        data["weight_bytes"], data["cache_bytes"] = process.loader.bytes_held(), process.cache_peak
        data["read_bytes"] = process.read_bytes
        if process.loader.device.startswith("cuda"):
            data["device_bytes"] = torch.cuda.max_memory_allocated(process.loader.device)
    return data
