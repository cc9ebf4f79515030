"""Pictures of time: which micro-batch is in which stage when, in decoding and in a prefill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan.picture import Picture, StageTime
from ..quantities import seconds
from .shades import shade

MOST_BARS = 400
MOST_BATCHES = 64
MOST_CHUNKS = 12
ROUNDS = 2.6  # of the first micro-batch
PROMPTS = 3


@dataclass(frozen=True, slots=True)
class Visit:
    """A micro-batch (or a prompt) in a stage, from `start_s` on for `length_s`; `round` counts its tokens or chunks."""

    what: int
    round: int
    stage: int
    start_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A visit in the drawing's units."""

    x: float
    y: float
    width: float
    shade: str
    title: str


@dataclass(frozen=True, slots=True)
class Hop:
    """A way from one stage to the next, as a line in the drawing's units."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Gantt:
    """A picture of time: rows are stages, and the axis ends at `last`."""

    label: str
    rows: tuple[tuple[str, float, bool], ...]
    bars: tuple[Bar, ...]
    hops: tuple[Hop, ...]
    ticks: tuple[tuple[float, str], ...]
    width: float
    height: float
    left: float
    colours: int


def visits(stages: Sequence[StageTime], batches: int, *, until_s: float, most: int = MOST_BARS) -> list[Visit]:
    """Decoding of so many micro-batches, first come first served at every node.

    Parameters
    ----------
    stages : sequence of StageTime
        The last one may be the way back to the client, where nothing is computed.
    batches : int
        In flight; each begins its next token when the one before is back.
    until_s : float
        Seconds that are shown.
    most : int
        Visits at most.
    """
    real = [k for k, stage in enumerate(stages) if stage.decode_s > 0]
    if not real:
        return []
    back = sum(stage.hop_s for stage in stages[real[-1] + 1 :])
    free = dict.fromkeys((stage.node for stage in stages), 0.0)
    # (when it reaches its next stage, micro-batch, round, index into `real`)
    waiting = [(stages[real[0]].hop_s, batch, 0, 0) for batch in range(min(max(batches, 1), MOST_BATCHES))]
    found: list[Visit] = []
    while waiting and len(found) < most:
        waiting.sort()
        ready, batch, turn, at = waiting.pop(0)
        stage = stages[real[at]]
        start = max(ready, free[stage.node])
        if start > until_s:
            continue
        found.append(Visit(batch, turn, real[at], start, stage.decode_s))
        free[stage.node] = end = start + stage.decode_s
        following = (at + 1) % len(real)
        on = stages[real[following]].hop_s + (0.0 if following else back)
        waiting.append((end + on, batch, turn + (following == 0), following))
    return found


def prompt_visits(stages: Sequence[StageTime], prompts: int, overlap: float) -> list[Visit]:
    """Prompts one after the other, each cut into chunks where stages overlap."""
    real = [k for k, stage in enumerate(stages) if stage.prefill_s > 0]
    chunks = min(MOST_CHUNKS, max(1, round(1.0 / (1.0 - overlap)))) if overlap < 1 else MOST_CHUNKS
    free = dict.fromkeys((stage.node for stage in stages), 0.0)
    found = []
    for prompt in range(prompts if real else 0):
        for chunk in range(chunks):
            ready = 0.0
            for k in real:
                stage, length = stages[k], stages[k].prefill_s / chunks
                start = max(ready + stage.prompt_hop_s / chunks, free[stage.node])
                found.append(Visit(prompt, chunk, k, start, length))
                ready = free[stage.node] = start + length
    return found


def decode_gantt(picture: Picture, *, width: float, hot: str = "") -> Gantt | None:
    """Some rounds of decoding; None where the seconds of stages are not known."""
    stages = picture.stages
    step = sum(stage.decode_s + stage.hop_s for stage in stages)
    if step <= 0 or not any(stage.decode_s > 0 for stage in stages):
        return None
    slowest = max(stage.decode_s for stage in stages)
    until = ROUNDS * max(step, picture.batches * slowest)
    found = visits(stages, picture.batches, until_s=until)
    label = f"{picture.work}; {picture.batches} in flight" if picture.batches > 1 else picture.work
    if not found:
        return None
    return drawn(found, stages, label, width=width, hot=hot, what="micro-batch" if picture.batches > 1 else "token")


def prefill_gantt(picture: Picture, *, width: float, hot: str = "") -> Gantt | None:
    """The first prompts; None where their seconds are not known."""
    prompts = PROMPTS if picture.batches > 1 else 1
    found = prompt_visits(picture.stages, prompts, picture.prompt_overlap)
    words = "one prompt" if prompts == 1 else f"{prompts} prompts that come at once"
    chunked = ", cut into chunks" if picture.prompt_overlap > 0 else ""
    return drawn(found, picture.stages, words + chunked, width=width, hot=hot, what="prompt") if found else None


def drawn(
    found: Sequence[Visit], stages: Sequence[StageTime], label: str, *, width: float, hot: str, what: str
) -> Gantt:
    """Visits in the drawing's units: one row per stage, names above the bars where the page is narrow.

    Parameters
    ----------
    found : sequence of Visit
    stages : sequence of StageTime
    label : str
        What is shown, for people.
    width : float
        Of the drawing.
    hot : str
        The node that limits the rate, or empty.
    what : str
        What a bar is: a micro-batch, a prompt.
    """
    narrow = width < 500
    left, pitch, thick = (0.0, 38.0, 18.0) if narrow else (150.0, 26.0, 18.0)
    shown = sorted({visit.stage for visit in found})
    row = {stage: k for k, stage in enumerate(shown)}
    last = max(visit.start_s + visit.length_s for visit in found)
    scale, top = (width - left - 4) / last, 18.0 if narrow else 4.0
    height = top + pitch * len(shown) + 22
    bars = tuple(
        Bar(
            round(left + visit.start_s * scale, 2),
            top + pitch * row[visit.stage],
            round(max(visit.length_s * scale - 0.6, 0.8), 2),
            shade(visit.what),
            f"{what} {visit.what + 1}, {stages[visit.stage].node}: "
            f"{seconds(visit.start_s)} to {seconds(visit.start_s + visit.length_s)}",
        )
        for visit in found
    )
    ways: list[Hop] = []
    before: dict[int, tuple[Visit, Bar]] = {}
    for visit, bar in sorted(zip(found, bars, strict=True), key=lambda pair: (pair[0].start_s, pair[0].stage)):
        if visit.what in before and len(shown) > 1:
            _, other = before[visit.what]
            ways.append(Hop(other.x + other.width, other.y + thick / 2, bar.x, bar.y + thick / 2))
        before[visit.what] = visit, bar
    names = tuple((stages[k].node, top + pitch * row[k], stages[k].node == hot) for k in shown)
    colours = len({visit.what for visit in found})
    marks = 3 if narrow else 5
    ticks = tuple((round(left + last * k / marks * scale, 1), seconds(last * k / marks)) for k in range(marks + 1))
    return Gantt(label, names, bars, tuple(ways[:MOST_BARS]), ticks, width, height, left, colours)
