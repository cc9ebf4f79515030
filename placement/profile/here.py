"""The machine at hand as nodes of a cluster file, for `placement solve --here`: GPUs, processor, what is free now.

GPUs come from the vendors' own tools (`nvidia-smi`, `rocm-smi`, `sysctl` on a Mac), their rates from the catalog. Main
memory and the processor are measured for a moment: copies and products by all cores.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from ..catalog import hardware
from ..errors import InputError
from ..plan.plan import Plan
from ..quantities import whole_number

HOST = "here"
TOOL_S = 10.0  # that a vendor's tool may take
NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
AMD = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json")
MAC = ("sysctl", "-n", "machdep.cpu.brand_string")
Tool = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU: its name as the vendor prints it, bytes that are free, and what llama.cpp calls it."""

    name: str
    free_bytes: float
    called: str


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor with main memory: bytes that are free, bytes/s and FLOP/s as measured."""

    free_bytes: float
    bytes_per_s: float
    flops_per_s: float


def tool(words: Sequence[str]) -> str:
    """What a program prints; empty where it is not there or fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def cards(run: Tool = tool) -> list[Card]:
    """The GPUs of this machine."""
    found = [_nvidia(line, number) for number, line in enumerate(run(NVIDIA).splitlines()) if line.count(",") == 2]
    return [*filter(None, found), *_amd(run(AMD))]


def _nvidia(line: str, number: int) -> Card | None:
    name, _, free = (part.strip() for part in line.split(","))
    mib = whole_number(free)
    return Card(name, mib * 2.0**20, f"CUDA{number}") if mib is not None else None


def _amd(text: str) -> list[Card]:
    try:
        data = json.loads(text) if text.strip() else {}
    except ValueError:
        return []
    found: list[Card] = []
    for key, entry in sorted(data.items()) if isinstance(data, dict) else ():
        if not (isinstance(entry, dict) and key.startswith("card")):
            continue
        total, used = (whole_number(str(entry.get(f"VRAM Total {word}Memory (B)", ""))) for word in ("", "Used "))
        name = str(entry.get("Card series") or entry.get("Card Series") or "")
        if total is not None and used is not None and name:
            found.append(Card(name, float(total - used), f"ROCm{len(found)}"))
    return found


def processor(seconds: float = 0.4) -> Processor:
    """Main memory and the processor, measured for about so long."""
    cores = psutil.cpu_count(logical=False) or 1
    free = float(psutil.virtual_memory().available)
    each = int(min(64e6, free / 16 / cores)) // 8
    sources = [np.ones(each) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        read_s = _fastest(lambda: list(pool.map(np.sum, sources)), seconds / 2)
    size = 768
    a = np.ones((size, size), dtype=np.float32)
    product_s = _fastest(lambda: a @ a, seconds / 2)
    return Processor(free, 8.0 * each * cores / read_s, 2.0 * size**3 / product_s)


def _fastest(work: Callable[[], object], seconds: float) -> float:
    """The least seconds of any repeat within a budget."""
    work()
    best, began = np.inf, time.perf_counter()
    while best == np.inf or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return max(float(best), 1e-9)


def this_machine(run: Tool = tool, measured: Callable[[], Processor] = processor) -> dict[str, Any]:
    """The keys `nodes` and `network` of a cluster file for this machine.

    Parameters
    ----------
    run : callable
        Starts a vendor's tool and returns what it prints.
    measured : callable
        Measures the processor.

    Raises
    ------
    InputError
        A GPU is none of the catalog.
    """
    if platform.system() == "Darwin" and (name := run(MAC).strip()).startswith("Apple"):
        free = psutil.virtual_memory().total
        return {"nodes": [{"name": "gpu", "device": _known(name), "memory": _mib(float(free)), "host": HOST}]}
    nodes = [
        {"name": f"gpu-{k}", "device": _known(card.name), "memory": _mib(card.free_bytes), "host": HOST}
        for k, card in enumerate(cards(run))
    ]
    chip = measured()
    cpu = {
        "name": "cpu",
        "host": HOST,
        "main_memory": True,
        "memory": _mib(chip.free_bytes),
        "memory_bandwidth": f"{chip.bytes_per_s / 1e9:.4g} GB/s",
        "compute": f"{chip.flops_per_s / 1e12:.4g} TFLOP/s",
        "overhead": "15 us",
    }
    return {"nodes": [*nodes, cpu], "network": {}}


def addresses(run: Tool = tool) -> dict[str, str]:
    """What llama.cpp calls the nodes of this machine."""
    return {**{f"gpu-{k}": card.called for k, card in enumerate(cards(run))}, "cpu": "CPU"}


def called_here(plan: Plan, run: Tool = tool) -> dict[str, str]:
    """What llama.cpp calls the nodes of a plan that are devices of this machine; what is elsewhere is left out.

    A plan says of its nodes on which host they are, where the file did: `HOST` is written for this machine alone.
    """
    hosts = {place.name: place.host for place in (plan.picture.places if plan.picture is not None else ())}
    used = {span.node for span in plan.placement} | {span.home for span in plan.placement if span.home}
    used |= {device for group in plan.groups for device in group.devices}
    if not any(hosts.get(node) == HOST for node in used):
        return {}
    return {node: where for node, where in addresses(run).items() if node in used and hosts.get(node, HOST) == HOST}


def _known(name: str) -> str:
    try:
        return hardware.device(name).name
    except InputError as error:
        raise InputError(f"{error.detail}: write a cluster file with its figures", "--here") from None


def _mib(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.0f} MiB"
