"""One way to compile: cached on disk, under a key of all kernel sources.

numba's own cache looks only at the file of the outermost function, so a changed callee in another file would go
unnoticed; a folder named after a hash of every kernel source cannot go stale, and works where the package itself lies
on a read-only disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit


def cache_folder(*sources: Path) -> Path:
    """Return the cache folder for kernels whose sources lie in the folders `sources`."""
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in sources:
        for file in sorted(folder.glob("*.py")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    root = os.environ.get("PLACEMENT_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "placement" / f"kernels-{digest.hexdigest()[:16]}"


def compiler(*sources: Path) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with numba and caches it beside the others of `sources`."""
    folder = cache_folder(*sources)
    config: Any = numba.config

    def kernel(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            return njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
        finally:
            config.CACHE_DIR = before

    return kernel


kernel = compiler(Path(__file__).parent)
