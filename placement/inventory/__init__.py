"""Machines as other programs print them, as cluster files: the one list of readers.

A reader is a module with ``tells(text)``, whether a text is of its program, and ``read(text, host)``, what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, cast

from ..errors import InputError
from ..plugins import attribute
from .found import Found


class Reader(Protocol):
    """Reads what one program prints."""

    def tells(self, text: str) -> bool:
        """Whether the text is of this program."""
        ...

    def read(self, text: str, host: str) -> Found:
        """What the text says; `host` names the machine where the text does not."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a reader lives, and the command whose output it reads."""

    path: str
    command: str

    def load(self) -> Reader:
        """Import the reader."""
        return cast(Reader, attribute(self.path, __name__))


READERS: Mapping[str, Entry] = MappingProxyType(
    {
        "kubernetes": Entry(".orchestrators:KUBERNETES", "kubectl get nodes -o json"),
        "ray": Entry(".orchestrators:RAY", "ray list nodes --format json"),
        "exo": Entry(".exo:EXO", "curl localhost:52415/state"),
        "nodes": Entry(".nodes:NODES", "placement new --node"),
        "rocm-smi": Entry(".amd:ROCM", "rocm-smi --showproductname --showmeminfo vram --json"),
        "topology": Entry(".nvidia:TOPOLOGY", "nvidia-smi topo -m"),
        "nvidia-smi": Entry(".nvidia:CARDS", "nvidia-smi -L, -q, or --query-gpu=name,memory.total --format=csv"),
        "llama.cpp": Entry(".llama_cpp:DEVICES", "llama-server --list-devices"),
        "system_profiler": Entry(".apple:PROFILER", "system_profiler SPHardwareDataType"),
    }
)


def read_output(text: str, host: str, where: str) -> Found:
    """What a program printed; raise `InputError` where it is none of the list's."""
    for entry in READERS.values():
        reader = entry.load()
        if reader.tells(text):
            try:
                return reader.read(text, host)
            except InputError as error:
                raise error.under(where) from None
    known = "; ".join(entry.command for entry in READERS.values())
    raise InputError(f"expected the output of one of: {known}", where)
