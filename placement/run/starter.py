"""Worker processes of one host: forked from a warm process, or started fresh where a GPU is used."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .control import RunError


class Starter:
    """Starts, watches and kills worker processes.

    Parameters
    ----------
    fresh : bool
        Start every worker as a program of its own (needed for CUDA) instead of forking it.
    """

    def __init__(self, *, fresh: bool = False) -> None:
        self.fresh = fresh
        self.codes: dict[int, int] = {}
        self.pids: dict[int, int] = {}
        self._programs: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int, args: list[str], log: Path, *, family: str = "", netns: str | None = None) -> None:
        """Start worker `number`; its output goes to the file `log`."""
        if self.fresh:
            enter = ["ip", "netns", "exec", netns] if netns else []
            command = [*enter, sys.executable, "-m", "placement.run.worker", *args, "--parent", str(os.getpid())]
            with log.open("ab") as file:
                program = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=_environment()
                )
            self._programs[number], self.pids[number] = program, program.pid
            return
        self.pids[number] = _WarmProcess.shared().start(self, number, args, log, family, netns)

    def poll(self) -> dict[int, int]:
        """Return the exit codes of the workers that have ended, by number."""
        for number, program in self._programs.items():
            code = program.poll()
            if code is not None:
                self.codes[number] = code
        return self.codes

    def kill(self) -> None:
        """Kill every worker that still runs."""
        for number, pid in self.pids.items():
            if number not in self.poll():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for program in self._programs.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)


class _WarmProcess:
    """The warm process; one for the whole life of this one."""

    _shared: _WarmProcess | None = None
    _one = threading.Lock()

    @classmethod
    def shared(cls) -> _WarmProcess:
        with cls._one:  # runs may be started from several threads
            if cls._shared is None or cls._shared.program.poll() is not None:
                cls._shared = cls()
                atexit.register(cls._shared.close)
            return cls._shared

    def __init__(self) -> None:
        self._ids, self._lock = itertools.count(), threading.Lock()
        self._owners: dict[int, tuple[Starter, int]] = {}
        self._started: queue.Queue[dict[str, Any]] = queue.Queue()
        begun: queue.Queue[subprocess.Popen[bytes] | OSError] = queue.Queue()
        # The listening thread starts it: the kernel ends the warm process together with the thread that did.
        threading.Thread(target=self._live, args=(begun,), name="warm process", daemon=True).start()
        program = begun.get()
        if isinstance(program, OSError):
            raise program
        self.program = program

    def start(self, owner: Starter, number: int, args: list[str], log: Path, family: str, netns: str | None) -> int:
        key = next(self._ids)
        self._owners[key] = (owner, number)
        request = {"id": key, "args": args, "log": str(log), "family": family, "netns": netns}
        assert self.program.stdin is not None
        try:
            with self._lock:  # answers come in the order of the requests
                self.program.stdin.write((json.dumps(request) + "\n").encode())
                self.program.stdin.flush()
                return int(self._started.get(timeout=60)["pid"])
        except (OSError, queue.Empty):
            raise RunError("the process that starts the workers has ended, or gives no answer") from None

    def close(self) -> None:
        """Close its input: it kills what it started, and ends."""
        assert self.program.stdin is not None
        with contextlib.suppress(OSError):
            self.program.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.program.wait(1)  # it looks at its input 20 times a second, but not while it imports
        if self.program.poll() is None:
            self.program.kill()

    def _live(self, begun: queue.Queue[subprocess.Popen[bytes] | OSError]) -> None:
        command = [sys.executable, "-m", "placement.run.warm_fork", str(os.getpid())]
        # torch must not make a CUDA context before the fork, not even to look whether there is a GPU.
        env = _environment() | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        try:
            program = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=env)
        except OSError as error:  # no memory, no descriptors
            begun.put(error)
            return
        begun.put(program)
        assert program.stdout is not None
        for line in program.stdout:
            data = json.loads(line)
            if "code" in data:
                owner, number = self._owners.pop(data["id"])
                owner.codes[number] = data["code"]
            else:
                self._started.put(data)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": threads}
