"""What a device is and what it can do at best: memory, bandwidth, FLOP/s by number format, launch overhead."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch

from ..errors import InputError

_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device as it was found.

    Attributes
    ----------
    device : str
        torch device.
    name : str
        Of the processor or GPU.
    memory_bytes, free_bytes : float
        All of it, and what is free now.
    conditions : mapping of str to str
        Versions, threads, load, power limit: what the figures depend on.
    """

    device: str
    name: str
    memory_bytes: float
    free_bytes: float
    conditions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Peaks:
    """Best rates seen: FLOP/s by number format, bytes/s, and seconds per launch of a small operation."""

    flops_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float
    launch_s: float


def detect(device: str) -> Hardware:
    """Look at a device; raise `InputError` when it is not there."""
    conditions = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
    }
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise InputError("torch sees no CUDA device here", device)
        free, total = torch.cuda.mem_get_info(device)
        properties = torch.cuda.get_device_properties(device)
        conditions |= {"cuda": str(torch.version.cuda), **_nvidia(properties.name)}
        return Hardware(device, properties.name, float(total), float(free), conditions)
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("torch sees no Apple GPU here", device)
        room = float(torch.mps.recommended_max_memory())
        return Hardware(device, platform.processor() or "Apple", room, room, conditions)
    if device != "cpu":
        raise InputError(f"expected cpu, cuda:N or mps, got {device!r}", "device")
    memory = psutil.virtual_memory()
    conditions["load"] = f"{psutil.getloadavg()[0]:.2f} on {psutil.cpu_count()} logical cores"
    return Hardware(device, _cpu_name(), float(memory.total), float(memory.available), conditions)


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _nvidia(name: str) -> dict[str, str]:
    """Driver and power limit, where nvidia-ml-py is installed."""
    try:
        import pynvml

        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            found = pynvml.nvmlDeviceGetName(handle)
            if name in (found if isinstance(found, str) else found.decode()):
                limit = pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000.0
                return {"driver": str(pynvml.nvmlSystemGetDriverVersion()), "power limit": f"{limit:.0f} W"}
    except Exception:  # a figure for people: nothing depends on it
        return {}
    return {}


def synchronizer(device: str) -> Callable[[], None]:
    """Return what waits for a device to have finished."""
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    if device == "mps":
        return torch.mps.synchronize
    return lambda: None


def timed(
    work: Callable[[], Any],
    wait: Callable[[], None],
    budget_s: float,
    most: int = 50,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], None] | None = None,
) -> list[float]:
    """Seconds of each repeat of `work`: at least two after a warm-up, then until the budget is spent.

    `clock` may be `time.thread_time` where one CPU thread works: then neighbours on a busy machine do not count. `rest`
    is called before every repeat, with the seconds of the one before.
    """
    began = time.perf_counter()
    work()
    wait()
    last = time.perf_counter() - began
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 2 or (time.perf_counter() - began < budget_s and len(times) < most):
        if rest is not None:
            rest(last)
        start, since = clock(), time.perf_counter()
        work()
        wait()
        times.append(clock() - start)
        last = time.perf_counter() - since
    return times


def measure_peaks(hardware: Hardware, budget_s: float = 6.0) -> Peaks:
    """Measure a device with plain copies, matrix products and tiny operations."""
    device, wait = hardware.device, synchronizer(hardware.device)
    share = budget_s / (len(_DTYPES) + 2)
    n_bytes = int(min(256e6 if device == "cpu" else 2e9, hardware.free_bytes / 16))
    source = torch.ones(n_bytes // 4, dtype=torch.float32, device=device)
    # A sum reads everything once and writes nothing: that is what decoding does with weights.
    bandwidth = n_bytes / min(timed(source.sum, wait, share))
    del source
    flops: dict[str, float] = {}
    size = 512 if device == "cpu" else 8192
    for name in _DTYPES:
        dtype = getattr(torch, name)
        try:
            a = torch.ones(size, size, dtype=dtype, device=device)
            flops[name] = 2.0 * size**3 / min(timed(lambda a=a: a @ a, wait, share / 2, 20))  # type: ignore[misc]
        except RuntimeError:
            continue  # the device does not multiply this format
    small = torch.ones(16, device=device)

    def launches() -> None:
        for _ in range(100):
            small.add_(1.0)

    return Peaks(flops, bandwidth, float(np.median(timed(launches, wait, share))) / 100.0)
