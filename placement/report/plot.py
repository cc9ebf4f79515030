"""A front as a PNG picture, written with the standard library: no plotting package is needed for a few points."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from objectives.routes.swarm import Route

from ..files import write_atomic

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT, EDGE = 900, 600, 70
INK, EXACT, FOUND, GRID = (40, 40, 40), (31, 119, 180), (214, 39, 40), (225, 225, 225)
# Digits, the point and letters of the axes, five rows of three bits each.
GLYPH_ROWS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 3, 1, 7), "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 1, 1), "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7),
    ".": (0, 0, 0, 0, 2), "m": (0, 7, 7, 5, 5), "s": (0, 3, 6, 3, 6), "/": (1, 1, 2, 4, 4), "t": (2, 7, 2, 2, 3),
    "o": (0, 7, 5, 5, 7), "k": (4, 5, 6, 5, 5), "e": (7, 5, 7, 4, 7), "n": (0, 6, 5, 5, 5),
}  # fmt: skip


def draw(path: Path, exact: tuple[Route, ...], found: tuple[Route, ...] = ()) -> None:
    """Draw latency in ms (across) against tokens/s (up): the exact front as a staircase, NSGA-II's as squares."""
    pixels: Pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    ways = (*exact, *found)
    across = Scale([1e3 * way.latency_s for way in ways], EDGE, WIDTH - 30)
    up = Scale([way.rate for way in ways], HEIGHT - EDGE, 30)
    for part in range(5):
        x, y = EDGE + part * (WIDTH - 30 - EDGE) // 4, 30 + part * (HEIGHT - EDGE - 30) // 4
        _box(pixels, x, 30, 1, HEIGHT - EDGE - 30, GRID)
        _box(pixels, EDGE, y, WIDTH - 30 - EDGE, 1, GRID)
        _text(pixels, x - 14, HEIGHT - EDGE + 12, f"{across.low + part / 4 * (across.high - across.low):.4g}")
        _text(pixels, 6, y - 5, f"{up.high - part / 4 * (up.high - up.low):.3g}")
    _text(pixels, WIDTH - 110, HEIGHT - 24, "ms/token")
    _text(pixels, 6, 8, "tokens/s")
    points = [(across(1e3 * way.latency_s), up(way.rate)) for way in exact]
    for (x, y), (nx, ny) in pairwise(points):
        _box(pixels, x, y, nx - x + 2, 2, EXACT)
        _box(pixels, nx, min(y, ny), 2, abs(y - ny) + 2, EXACT)
    for x, y in points:
        _box(pixels, x - 4, y - 4, 9, 9, EXACT)
    for way in found:
        _box(pixels, across(1e3 * way.latency_s) - 2, up(way.rate) - 2, 5, 5, FOUND)
    write_atomic(path, png(pixels))


class Scale:
    """Values to pixels."""

    def __init__(self, values: list[float], first: int, last: int) -> None:
        room = 0.05 * (max(values) - min(values)) or 0.05 * max(values)
        self.low, self.high = max(0.0, min(values) - room), max(values) + room
        self.first, self.last = first, last

    def __call__(self, value: float) -> int:
        """Return the pixel of a value."""
        return round(self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first))


def _box(pixels: Pixels, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
    pixels[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = colour


def _text(pixels: Pixels, x: int, y: int, text: str) -> None:
    for k, letter in enumerate(text):
        for row, bits in enumerate(GLYPH_ROWS.get(letter, (0, 0, 0, 0, 0))):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    _box(pixels, x + 10 * k + 2 * column, y + 2 * row, 2, 2, INK)


def png(pixels: Pixels) -> bytes:
    """An 8-bit RGB picture (H, W, 3) as a PNG file (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
