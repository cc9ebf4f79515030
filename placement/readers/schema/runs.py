"""What a line of a file of runs may hold: what `placement run --out` writes after each run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from placement.files.entries import MAX_COUNT, Count, Entry, Index, Name, PositiveInt, PositiveNumber, unused


class SpanEntry(Entry):
    """Blocks start <= b < stop of a node."""

    node: Name
    start: Index
    stop: PositiveInt

    @model_validator(mode="after")
    def _rising(self) -> SpanEntry:
        if self.start >= self.stop:
            raise ValueError(f"expected start below stop, got {self.start} and {self.stop}")
        return self


class PassEntry(SpanEntry):
    """Median seconds of a micro-batch on its way through a span."""

    phase: Literal["decode", "prefill"]
    batch: Count = Field(description="sequences in the micro-batch")
    seconds: PositiveNumber


class MeasuredEntry(Entry):
    """Figures of the run."""

    time_per_token_s: PositiveNumber
    ttft_s: Any = unused("seconds to the first token")
    time_per_token_p95_s: Any = unused("95% of the times per token are below")
    tokens_per_s: Any = unused("tokens per second while all sequences decode")
    whole_tokens_per_s: Any = unused("tokens per second of the whole run")
    seconds: Any = unused("seconds of the whole run")


class RunLine(Entry):
    """One run of a plan."""

    placement: list[SpanEntry] = Field(min_length=1, max_length=MAX_COUNT)
    measured: MeasuredEntry
    blocks: list[PassEntry] = Field(max_length=100_000, description="one entry per span, phase and micro-batch")
    prompt_tokens: list[PositiveInt] = Field(min_length=1, max_length=1_000_000)
    output_tokens: PositiveInt
    model: Any = unused("name of the model")
    predicted: Any = unused("figures that the plan predicted")
    stages: Any = unused("what each worker did")
    links: Any = unused("what each link did")
    emulation: Any = unused("how unequal hosts were emulated")
    sequences: Any = unused("how many sequences ran")
    notes: Any = unused("remarks")
    version: Any = unused("of the program that ran")
