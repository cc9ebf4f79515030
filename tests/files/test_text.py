"""Writing: a file is whole or as it was, whatever happens on the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from placement.errors import InputError
from placement.files import append_line, ensure_writable, write_atomic

FULL = Path("/dev/full")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Text and bytes; nothing else is left in the folder; the rights of the file stay."""
    path = tmp_path / "plan.json"
    write_atomic(path, "é")
    assert path.read_bytes() == "é".encode()
    path.chmod(0o600)
    write_atomic(path, b"\x89PNG")
    assert path.read_bytes() == b"\x89PNG"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["plan.json"]


def test_new_files_keep_the_mask(tmp_path: Path) -> None:
    """A new file has the rights that any other program would give it."""
    mask = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    """A link still leads to the file, which has the text; a device is written to and not replaced."""
    (tmp_path / "to").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "to")
    write_atomic(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to").read_text() == "after"
    write_atomic("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("place", ["none/plan.json", "n" * 300, "n" * 250 + "/x", ".", "a\0b"])
def test_places_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    """One line with the path, from the check before the work and from the writing after it."""
    for write in (lambda path: write_atomic(path, "x"), lambda path: append_line(path, "x"), ensure_writable):
        with pytest.raises(InputError) as caught:
            write(f"{tmp_path}/{place}")
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_that_the_system_takes_is_taken(tmp_path: Path) -> None:
    """The file beside it is not named after it, so a name may be as long as the system lets it be."""
    path = tmp_path / ("n" * 255)
    ensure_writable(path)
    write_atomic(path, "x")
    assert path.read_text() == "x"


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up, or an interrupt, while writing: the old text stays, and no other file."""
    path = tmp_path / "plan.json"
    path.write_text("before")
    for error, caught in (
        (OSError(28, "No space left on device"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def full(_: int, error: BaseException = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(caught):
                write_atomic(path, "after")
        assert path.read_text() == "before"
        assert [item.name for item in tmp_path.iterdir()] == ["plan.json"]


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    """Half a character cannot be written in UTF-8; the message shows which."""
    with pytest.raises(InputError, match=r"cannot be written: 'ab\\ud800' is no text"):
        write_atomic(tmp_path / "x", "ab\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FULL.exists(), reason="no full device here")
def test_a_full_device_is_one_line() -> None:
    """The path and what the system said."""
    with pytest.raises(InputError, match="/dev/full: cannot be written: No space left on device"):
        write_atomic(FULL, "x")
    with pytest.raises(InputError, match="/dev/full: cannot be written: No space left on device"):
        append_line(FULL, "x")


def test_lines_are_added(tmp_path: Path) -> None:
    """Line after line, and nothing of a line that does not fit."""
    path = tmp_path / "runs.jsonl"
    append_line(path, "one")
    append_line(path, "two")
    assert path.read_text() == "one\ntwo\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_refused(tmp_path: Path) -> None:
    """Before the work, by name."""
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission"):
        ensure_writable(tmp_path / "plan.json")
