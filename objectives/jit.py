"""One way to compile: cached on disk, under a key of all kernel sources.

numba's own cache looks only at the file of the outermost function, so a changed callee in another file would go
unnoticed; a folder named after a hash of every kernel source, and of the modules whose constants they compile in,
cannot go stale, and works where the package itself lies on a read-only disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numba
from numba import njit, types
from numba.core import event as numba_events

from .caches import cache_root, forgiving, takes_files
from .clock import clock
from .interrupts import hold_interrupts

OPTIONS: Any = {"fastmath": {"contract"}, "error_model": "numpy"}


class _Compilations(numba_events.Listener):
    """Stops the clock of searches while numba compiles."""

    def on_start(self, event: Any) -> None:
        clock.pause()

    def on_end(self, event: Any) -> None:
        clock.resume()


_listen: Any = numba_events.register
_listen("numba:compile", _Compilations())
hold_interrupts()


def cache_folder(*sources: Path) -> Path | None:
    """Return the cache folder for kernels of this package and of the folders `sources`, None without a place."""
    root = cache_root()
    if root is None:
        return None
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in (Path(__file__).parent, *sources):
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(folder)).encode())
            digest.update(file.read_bytes())
    return root / "placement" / f"kernels-{digest.hexdigest()[:16]}"


def compiler(*sources: Path) -> Callable[..., Any]:
    """Return a decorator that compiles a function with numba and caches it beside all the others.

    Where nothing can be written, every process compiles for itself.

    With ``inner=True`` the function can be called from other kernels only; that halves its compilation.
    """
    folder = cache_folder(*sources)
    config: Any = numba.config
    cached = folder is not None and takes_files(folder)

    def kernel(function: Callable[..., Any], *, inner: bool = False) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            options: Any = OPTIONS | {"no_cfunc_wrapper": True, "no_cpython_wrapper": inner}
            compiled = without_literals(njit(cache=cached, nogil=True, **options)(function))
        finally:
            config.CACHE_DIR = before
        if cached:
            forgiving(compiled._cache)
        return compiled

    return kernel


def without_literals(dispatcher: Any) -> Any:
    """Let calls from other kernels pass constants as plain numbers.

    numba would compile one more copy of the callee for every constant argument, and one for every variable that was a
    constant before type inference went on: a fifth of the compilation of this library.
    """
    template, bare = dispatcher.get_call_template, cast(Any, types).unliteral

    def plain(args: Any, kws: Any) -> Any:
        return template(tuple(map(bare, args)), {name: bare(kind) for name, kind in kws.items()})

    dispatcher.get_call_template = plain
    return dispatcher


kernel = compiler()


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only other kernels call."""
    return kernel(function, inner=True)


@inner
def fill(row, count, value):
    """Set the first `count` items of a row; numba takes seconds to compile a slice assignment, and none for this."""
    for k in range(count):
        row[k] = value


@kernel
def copy(row, out):
    """Copy a row into `out`; numba compiles a loop far faster than a slice assignment."""
    for k in range(row.shape[0]):
        out[k] = row[k]
