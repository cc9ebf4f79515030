"""Where caches on disk lie, and what becomes of a kernel's cache that is broken or cannot be written: nothing worse."""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from pathlib import Path
from typing import Any


def cache_root() -> Path | None:
    """Return the folder for caches; None where neither the environment names one nor the user has a home.

    No folder for all users stands in: compiled kernels are code, and what others can write is not to be run.
    """
    stated = os.environ.get("PLACEMENT_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    if stated:
        return Path(stated)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a number of a user without an entry and without HOME, as containers have
        return None


def ensure_user_name() -> None:
    """Give a user who has no name one: torch names folders of caches after it while it is imported, and fails without.

    Containers run as a number that no list of users has.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on the version and the system
        os.environ["LOGNAME"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


def takes_files(folder: Path) -> bool:
    """Return whether files can be written into a folder, which is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, ValueError):
        return False


def forgiving(cache: Any) -> None:
    """Let a kernel's cache that is broken be as good as none, and one that cannot be written stay as it is.

    Parameters
    ----------
    cache : numba.core.caching.FunctionCache
        Of one kernel. numba raises what pickle makes of a garbled file, and what the system says of a full disk.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_overload(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # pickle raises anything on garbled bytes: they are compiled anew, and written over
            with contextlib.suppress(OSError):
                cache.flush()
            return None

    def save_overload(signature: Any, compiled: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk, a folder that has become read-only
            save(signature, compiled)

    cache.load_overload, cache.save_overload = load_overload, save_overload
