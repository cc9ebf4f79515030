"""The shortest input that still fails: parts are left out, halves first (Zeller and others 2002, 10.1109/32.988498)."""

from __future__ import annotations

from collections.abc import Callable

MOST_TRIES = 150


def shortest(raw: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Leave out parts of an input for as long as it fails, and at most `MOST_TRIES` times."""
    size, tries = len(raw) // 2, 0
    while size:
        at = 0
        while at < len(raw) and tries < MOST_TRIES:
            part = raw[:at] + raw[at + size :]
            tries += 1
            if fails(part):
                raw = part
            else:
                at += size
        size //= 2
    return raw
