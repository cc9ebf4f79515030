"""What a private swarm on loopback needs of Petals 2.2.0.post1 and hivemind 1.1.12: imported before petals.

hivemind 1.1.12 re-exports fewer names than Petals expects; the check for a newer version asks the network. Nothing of
their files is changed.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import warnings
from typing import Any

warnings.filterwarnings("ignore")
os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")

import hivemind  # noqa: E402

HOMES = [
    name
    for _, name, _ in pkgutil.walk_packages(hivemind.__path__, "hivemind.")
    if ".hivemind_cli" not in name and not name.endswith("_pb2_grpc")
]


def find(name: str) -> Any:
    """A name of hivemind, wherever one of its submodules has it."""
    if name.startswith("__"):
        raise AttributeError(name)
    for home in HOMES:
        try:
            found = getattr(importlib.import_module(home), name, None)
        except ImportError:
            continue
        if found is not None:
            setattr(hivemind, name, found)
            return found
    raise AttributeError(f"module 'hivemind' has no attribute '{name}'")


hivemind.__getattr__ = find

import petals.utils.version  # noqa: E402

petals.utils.version.validate_version = lambda: None
