"""The part of a plan's document that its drawings need, checked by pydantic."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..files.entries import Bool, Entry, Index, Name, NonNegativeNumber, Number, Text
from .picture import Line, Picture, Place, SearchPoint, StageTime

MOST = 100_000


class PlaceEntry(Entry):
    """A node."""

    name: Name
    region: Text = ""
    host: Text = ""
    device: Text = ""
    weights_bytes: Number = 0.0
    cache_bytes: Number = 0.0
    pass_bytes: Number = 0.0
    beside_bytes: Number = 0.0
    memory_bytes: Number = 0.0
    main_memory: Bool = False


class LineEntry(Entry):
    """A link."""

    source: Name
    target: Name
    latency_s: NonNegativeNumber
    bandwidth_bytes_per_s: NonNegativeNumber = 0.0
    used: Bool = True


class StageEntry(Entry):
    """A stage's seconds."""

    node: Name
    decode_s: NonNegativeNumber
    prefill_s: NonNegativeNumber = 0.0
    hop_s: NonNegativeNumber = 0.0
    prompt_hop_s: NonNegativeNumber = 0.0


class SearchEntry(Entry):
    """A point of the search's curve."""

    seconds: NonNegativeNumber
    value: Number | None = None
    bound: Number | None = None


class PictureEntry(Entry):
    """What a page draws beside the plan."""

    places: tuple[PlaceEntry, ...] = Field(default=(), max_length=MOST)
    lines: tuple[LineEntry, ...] = Field(default=(), max_length=MOST)
    stages: tuple[StageEntry, ...] = Field(default=(), max_length=MOST)
    batches: Index = 1
    prompt_overlap: Number = 0.0
    work: Text = ""
    search: tuple[SearchEntry, ...] = Field(default=(), max_length=MOST)
    block_bytes: tuple[NonNegativeNumber, ...] = Field(default=(), max_length=1_000_000)


def picture_from(given: dict[str, Any] | None) -> Picture | None:
    """A picture of an entry's plain data."""
    if given is None:
        return None
    parts = dict(given)
    for key, kind in (("places", Place), ("lines", Line), ("stages", StageTime), ("search", SearchPoint)):
        parts[key] = tuple(kind(**entry) for entry in parts[key])
    return Picture(**parts)
