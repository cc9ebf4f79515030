"""Text in and out: what cannot be read or written is one line that names the file, and nothing is left half-written."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, shown

MAX_BYTES = 10_000_000


def read_text(path: str | Path, largest: int = MAX_BYTES, *, foreign: bool = False) -> str:
    """Read a text file of at most `largest` bytes; raise `InputError` with the file's name.

    Parameters
    ----------
    path : str or Path
    largest : int
        Bytes; more are refused.
    foreign : bool
        Of another program: what is no UTF-8 in it becomes question marks. By default it is refused.
    """
    where = str(path)
    limit = f"expected at most {largest / 1e6:g} MB"
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > largest:
                raise InputError(f"{limit}, got {status.st_size / 1e6:.1f} MB", where)
            raw = file.read(largest + 1)  # pipes have no size to ask for
    except (OSError, ValueError) as error:
        raise _refused(error, where, "read") from None
    return _decoded(raw, largest, where, "replace" if foreign else "strict")


def read_input(largest: int = MAX_BYTES, *, foreign: bool = False) -> str:
    """Read standard input as `read_text` reads a file."""
    where = "standard input"
    if sys.stdin is None:
        raise InputError("is closed", where)
    stream = getattr(sys.stdin, "buffer", None)
    raw = stream.read(largest + 1) if stream is not None else sys.stdin.read(largest + 1).encode()
    return _decoded(raw, largest, where, "replace" if foreign else "strict")


def _decoded(raw: bytes, largest: int, where: str, errors: str) -> str:
    if len(raw) > largest:
        raise InputError(f"expected at most {largest / 1e6:g} MB, got more", where)
    try:
        return raw.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        found = f"the byte 0x{raw[error.start]:02x} at {error.start}"
        raise InputError(f"expected text in UTF-8, got {found}", where) from None


def write_atomic(path: str | Path, data: str | bytes) -> None:
    """Write a whole file or nothing.

    The content goes into a file beside `path`, which then takes its name. What is no ordinary file (a pipe, a device)
    is written to as it stands; of a link, the file that it leads to is replaced.

    Parameters
    ----------
    path : str or Path
        Its folder must be there.
    data : str or bytes
        Text is written in UTF-8.

    Raises
    ------
    InputError
        One line with the file's name; the file is as it was before.
    """
    where = str(path)
    try:
        raw = data.encode("utf-8") if isinstance(data, str) else data
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as file:
                file.write(raw)
            return
        _replace(target, raw, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
    except (OSError, ValueError) as error:
        raise _refused(error, where, "written") from None


def _replace(target: Path, raw: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".placement-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def append_line(path: str | Path, line: str) -> None:
    """Add a line to a file, whole or not at all; raise `InputError` with the file's name."""
    try:
        with open(path, "ab", buffering=0) as file:
            before = file.tell() if file.seekable() else None
            try:
                raw = (line + "\n").encode("utf-8")
                while raw:
                    raw = raw[file.write(raw) or 0 :]
            except BaseException:
                with contextlib.suppress(OSError):
                    if before is not None:
                        file.truncate(before)
                raise
    except (OSError, ValueError) as error:
        raise _refused(error, str(path), "written") from None


def ensure_writable(path: str | Path) -> None:
    """Refuse a place that cannot be written before the work, not after it; raise `InputError` with its name."""
    place = Path(path)
    try:
        if place.is_dir():
            raise InputError("expected a file to write, got a folder", str(path))
        if not place.parent.is_dir():
            raise InputError("there is no such folder", str(place.parent))
        place.lstat()  # a name that is too long fails here
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise _refused(error, str(path), "written") from None
    where = place if place.exists() and not place.is_file() else place.parent
    if not os.access(where, os.W_OK):
        raise InputError("cannot be written: no permission to write there", str(path))


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: dataclasses as objects, arrays as lists, null for what is not finite."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of numpy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _umask() -> int:
    """Return the mask of new files; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refused(error: OSError | ValueError, where: str, what: str) -> InputError:
    """Return the one line for a file that the system refuses."""
    if isinstance(error, IsADirectoryError):
        return InputError("expected a file, got a folder", where)
    if isinstance(error, FileNotFoundError):
        return InputError("there is no such file" if what == "read" else "there is no such folder", where)
    if isinstance(error, UnicodeEncodeError):
        found = shown(error.object[max(0, error.start - 10) : error.end])
        return InputError(f"cannot be {what}: {found} is no text", where)
    reason = error.strerror if isinstance(error, OSError) else None
    return InputError(f"cannot be {what}: {reason or error}", where)
