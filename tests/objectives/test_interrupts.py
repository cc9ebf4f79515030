"""Ctrl-C while numba works: kept until it does no harm, then handled, and never lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core import event as numba_events
from numba.core.compiler_lock import global_compiler_lock

from objectives import jit
from objectives.interrupts import HARMLESS, PASS

start: Any = numba_events.start_event
end: Any = numba_events.end_event


@pytest.fixture(autouse=True)
def python_handles_interrupts() -> Iterator[None]:
    """As at a prompt, whatever ran the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler  # nothing is held any more


def press() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_until_the_compiler_lock_is_free() -> None:
    reached = []

    def body() -> None:
        with global_compiler_lock:
            press()
            reached.append("held")
            with global_compiler_lock:
                reached.append("nested")
            reached.append("still held")
        reached.append("after")

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == ["held", "nested", "still held"]


def test_type_inference_is_interrupted_at_once_and_what_it_calls_for_is_not() -> None:
    reached = []

    def callee() -> None:
        with global_compiler_lock:
            press()
            reached.append("held")

    def body() -> None:
        with global_compiler_lock, numba_events.trigger_event(PASS, data={"name": f"{HARMLESS} [f]"}):
            with pytest.raises(KeyboardInterrupt):
                callee()
            press()
            reached.append("after")

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == ["held"]


def test_an_interrupt_of_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with global_compiler_lock:
        press()
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN


def test_an_event_that_ended_without_a_start_lets_nothing_go() -> None:
    reached = []

    def body() -> None:
        with global_compiler_lock:
            end(PASS, data={"name": "native_lowering [f]"})
            press()
            reached.append("held")

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == ["held"]


def test_other_threads_hold_nothing() -> None:
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        with global_compiler_lock:
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    try:
        with pytest.raises(KeyboardInterrupt):
            press()
    finally:
        done.set()
        thread.join()


def test_modules_pass_from_hand_to_hand_undisturbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The worst moments there are: LLVM takes a module, and Ctrl-C comes before Python has noted whose it is."""
    binding: Any = pytest.importorskip("llvmlite.binding")
    handed: list[str] = []

    def pressing(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def hand_over(*given: Any) -> None:
            press()
            handed.append(name)
            plain(*given)

        monkeypatch.setattr(owner, name, hand_over)

    pressing(binding.module, "link_modules")
    pressing(binding.ExecutionEngine, "add_module")
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path))

    def triple(number: int) -> int:
        return 3 * number

    for expected in ({"link_modules", "add_module"}, {"add_module"}):  # compiled, and loaded from the cache
        kernel = jit.compiler(tmp_path)(triple)
        handed.clear()
        with pytest.raises(KeyboardInterrupt):
            kernel(2)
        assert set(handed) == expected
        assert kernel(2) == 6
