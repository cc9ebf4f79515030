"""Caches of kernels: broken, unwritable, full or without a place, they cost time and nothing else."""

from __future__ import annotations

import errno
import getpass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from objectives.caches import cache_root, ensure_user_name, forgiving, takes_files
from objectives.jit import compiler


def doubled(row: Any) -> float:
    """What is compiled here."""
    total = 0.0
    for k in range(row.shape[0]):
        total += 2.0 * row[k]
    return total


def answer() -> float:
    """Compile the function, or take it from the cache, and call it."""
    return float(compiler()(doubled)(np.arange(4.0)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of caches of its own."""
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"garbled", b"\x80\x05\x8c"])
def test_a_broken_cache_is_written_anew(suffix: str, content: bytes, place: Path) -> None:
    """Empty, garbled or cut short, index or code: the answer is the same, and the next process has a whole cache."""
    assert answer() == 12.0
    files = list(place.rglob(f"doubled*.{suffix}")) or list(place.rglob(f"*doubled*.{suffix}"))
    assert files
    for file in files:
        file.write_bytes(content)
    assert answer() == 12.0
    assert all(file.read_bytes() != content for file in place.rglob(f"*doubled*.{suffix}"))


def test_a_place_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: compiled without a cache, and nothing is written elsewhere."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path / "file"))
    assert not takes_files(tmp_path / "file" / "deeper")
    assert answer() == 12.0
    assert (tmp_path / "file").read_text() == "mine"


def test_nobody_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry and without HOME: no cache, and the same answer."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PLACEMENT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_root() is None
    assert answer() == 12.0


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number nobody listed; who has a name keeps it."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOGNAME", "somebody")
    ensure_user_name()
    assert getpass.getuser() == "somebody"
    monkeypatch.delenv("LOGNAME")

    def unlisted(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unlisted)
    ensure_user_name()
    assert getpass.getuser().startswith("user-")


def test_a_full_disk_keeps_nobody_from_the_answer() -> None:
    """What cannot be saved is not saved; what cannot be read is flushed."""
    calls: list[str] = []

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def garbled(*_: object) -> None:
        raise EOFError

    cache = SimpleNamespace(load_overload=garbled, save_overload=full, flush=lambda: calls.append("flush"))
    forgiving(cache)
    assert cache.load_overload(None, None) is None
    assert calls == ["flush"]
    cache.save_overload(None, None)
