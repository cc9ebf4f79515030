"""What the bar of a search says."""

from __future__ import annotations

import io
import sys

import pytest

from objectives.clock import clock
from placement.report.progress import COMPILING, doing, text_bar


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_compilations_are_told() -> None:
    """While kernels are compiled nothing else happens, and the bar says so; afterwards it says what it did before."""
    clock.pause()
    try:
        clock.pause()
        assert doing("best 3 ms") == COMPILING
        clock.resume()
        assert doing("best 3 ms") == COMPILING
    finally:
        clock.resume()
    assert doing("best 3 ms") == "best 3 ms"


def test_the_bar_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal; names in square brackets are no markup."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    clock.pause()
    try:
        with text_bar(10.0) as move:
            assert move is not None
    finally:
        clock.resume()
    with text_bar(10.0) as move:
        assert move is not None
        move(1.0, "best [/x] 3 ms")
    assert "compiling search kernels" in screen.getvalue()
    assert "best [/x] 3 ms" in screen.getvalue()


def test_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream that is no terminal, and where it is hidden, nothing is drawn."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with text_bar(10.0) as move:
        assert move is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with text_bar(10.0, hidden=True) as move:
        assert move is None
