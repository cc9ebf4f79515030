"""Starts workers quickly: imports torch once, then forks a process for every worker that it is asked for.

It talks JSON lines: ``{"id", "args", "log", "family", "netns"}`` in, ``{"id", "pid"}`` and ``{"id", "code"}`` out. When
its input ends, it kills what it started. When its parent is gone, the kernel ends it, and with it what it started.

Why not the forkserver of `multiprocessing`? It starts as quickly (0.2 s for four workers, 6 s for the first ones). But
it imports the caller's script into every worker, so that scripts without a main guard, from stdin or from a notebook
fail; its list of modules is fixed when it starts, so that a second family of models costs every worker 3 s; and a
process has only one, which belongs to its user.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
import traceback
from typing import Any

from .with_parent import end_with

_CLONE_NEWNET = 0x40000000


def main(parent: int) -> None:
    """Serve until the input ends, or until `parent` is gone."""
    end_with(parent)
    importlib.import_module("transformers")
    importlib.import_module(f"{__package__}.worker")  # torch comes with it
    children: dict[int, int] = {}
    buffer = b""
    try:
        while True:
            if select.select([0], [], [], 0.05)[0]:
                chunk = os.read(0, 65536)
                if not chunk:
                    return
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    pid = _start(request)
                    children[pid] = request["id"]
                    _say({"id": request["id"], "pid": pid})
            _reap(children)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reap(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            _say({"id": number, "code": os.waitstatus_to_exitcode(status)})


def _start(request: dict[str, Any]) -> int:
    _preload(str(request.get("family") or ""))
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        end_with(parent)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _enter(request.get("netns"))
        from . import worker  # torch comes with it: imported by now

        code = worker.main(request["args"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


def _enter(namespace: str | None) -> None:
    if not namespace:
        return
    handle = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace", namespace)


def _preload(family: str) -> None:
    """Import the code of a model family before the fork, so that the workers share it."""
    if family.replace("_", "").isalnum():
        with contextlib.suppress(ImportError):
            importlib.import_module(f"transformers.models.{family}.modeling_{family}")


def _say(data: dict[str, Any]) -> None:
    os.write(1, (json.dumps(data) + "\n").encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
