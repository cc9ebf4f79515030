"""What a run gave: tokens, and measured figures beside the predicted ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import append_line, write_atomic
from ..plan.plan import Figures, Plan


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured figures of a run.

    Attributes
    ----------
    ttft_s : float
        Median time from sending a prompt to its first token, in seconds.
    time_per_token_s, time_per_token_p95_s : float
        Median and 95th percentile of the time between tokens of a sequence.
    tokens_per_s : float
        While all sequences in flight were decoding (from the last first token to the first last one); the mean over
        the whole run where they never were.
    whole_tokens_per_s : float
        All generated tokens over the whole run, prompts included.
    seconds : float
        From the first prompt to the last token.
    """

    ttft_s: float
    time_per_token_s: float
    time_per_token_p95_s: float
    tokens_per_s: float
    whole_tokens_per_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class StageUse:
    """One worker: busy seconds, memory in bytes.

    Attributes
    ----------
    name : str
    busy_s, busy_share : float
        Seconds in its blocks, and their share of the run.
    messages : int
        Passes of a micro-batch.
    weight_bytes, cache_bytes : int
        Parameters held, and the most that its KV caches reserved.
    memory_bytes : int
        Resident memory of the process (on a GPU: the most allocated there).
    predicted_memory_bytes : float
        What the plan says about weights and caches.
    read_bytes : int
        Bytes of tensors read from the checkpoint.
    """

    name: str
    busy_s: float
    busy_share: float
    messages: int
    weight_bytes: int
    cache_bytes: int
    memory_bytes: int
    predicted_memory_bytes: float
    read_bytes: int


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One direction of a link: traffic in bytes, and the seconds that it was busy."""

    source: str
    target: str
    messages: int
    n_bytes: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run.

    Attributes
    ----------
    tokens : tuple of tuple of int
        Generated token ids, for each prompt.
    measured : Measured
    predicted : Figures
        What the plan says.
    stages : tuple of StageUse
    links : tuple of LinkUse
    emulation : str
        How unequal hosts were emulated, "none" for none.
    plan : Plan
        The plan at the end: another one than at the start when workers were lost.
    notes : tuple of str
        What happened on the way (lost workers, new plans).
    batches : tuple of mapping
        Times of every token of every micro-batch.
    events : mapping of str to list
        Per worker: (began_s, ended_s, batch, position, tokens, start, stop, computed_s).
    """

    tokens: tuple[tuple[int, ...], ...]
    measured: Measured
    predicted: Figures
    stages: tuple[StageUse, ...]
    links: tuple[LinkUse, ...]
    emulation: str
    plan: Plan
    notes: tuple[str, ...]
    batches: tuple[Mapping[str, Any], ...]
    events: Mapping[str, list[list[float]]]

    def record(self) -> dict[str, Any]:
        """Return one line for a JSONL file: everything but the tokens and the events."""
        return {
            "model": self.plan.model,
            "placement": [{"node": span.node, "start": span.start, "stop": span.stop} for span in self.plan.placement],
            "measured": asdict(self.measured),
            "predicted": dict(self.predicted),
            "stages": [asdict(stage) for stage in self.stages],
            "links": [asdict(link) for link in self.links],
            "emulation": self.emulation,
            "sequences": len(self.tokens),
            "prompt_tokens": [int(batch["prompt"]) for batch in self.batches],
            "output_tokens": max(len(row) for row in self.tokens),
            "blocks": self.block_times(),
            "notes": list(self.notes),
            "version": self.plan.version,
        }

    def block_times(self) -> list[dict[str, Any]]:
        """Median seconds of one pass through each span, prompts and steps apart: what a calibration fits."""
        groups: dict[tuple[str, int, int, str, int], list[float]] = {}
        rows = [len(batch["rows"]) for batch in self.batches]
        for device, events in self.events.items():
            group = next((group for group in self.plan.groups if device in group.devices), None)
            if group is not None and device != group.devices[0]:
                continue  # the devices of a group take the same time
            node = device if group is None else group.name
            for began, ended, batch, position, _tokens, start, stop, _computed_s in events:
                phase = "decode" if position > 0 else "prefill"
                key = (node, int(start), int(stop), phase, rows[int(batch)])
                groups.setdefault(key, []).append(ended - began)
        return [
            {"node": n, "start": a, "stop": b, "phase": phase, "batch": k, "seconds": float(np.median(times))}
            for (n, a, b, phase, k), times in groups.items()
        ]

    def append_to(self, path: str | Path) -> None:
        """Add the run to a JSONL file."""
        append_line(path, json.dumps(self.record()))

    def write_trace(self, path: str | Path) -> None:
        """Write a Chrome trace (chrome://tracing, Perfetto): one row per worker, one for the client's tokens."""
        began = min(batch["began_s"] for batch in self.batches)
        rows: list[dict[str, Any]] = []
        for number, (node, events) in enumerate(self.events.items()):
            rows.append(_named(number, node))
            for start_s, end_s, batch, position, size, start, stop, computed_s in events:
                phase = "decode" if position > 0 else "prefill"
                what = {"blocks": f"{start:.0f}:{stop:.0f}", "position": position, "tokens": size}
                args = {**what, "computed_us": computed_s * 1e6}
                times = {"ts": (start_s - began) * 1e6, "dur": (end_s - start_s) * 1e6}
                name = f"{phase} batch {batch:.0f}"
                rows.append({"name": name, "cat": phase, "ph": "X", "pid": 1, "tid": number, **times, "args": args})
        rows.append(_named(len(self.events), "client"))
        for number, one in enumerate(self.batches):
            for k, time_s in enumerate(one["times_s"]):
                at = {"pid": 1, "tid": len(self.events), "ts": (time_s - began) * 1e6}
                rows.append({"name": f"token {k} of batch {number}", "cat": "token", "ph": "i", "s": "t", **at})
        write_atomic(Path(path), json.dumps({"traceEvents": rows, "displayTimeUnit": "ms"}))


def write_raw(out: Path | None, raw: Mapping[str, Any]) -> None:
    """Write what the client's process knows at the end, for `make_result`; without a file, print the tokens."""
    if out is not None:
        write_atomic(out, json.dumps(raw))
    elif "error" not in raw:
        sys.stdout.write(json.dumps({"tokens": raw["tokens"]}) + "\n")


def make_result(raw: Mapping[str, Any], plan: Plan, emulation: str) -> RunResult:
    """Build the result from what the client's process wrote; `plan` is the one that the run began with."""
    final = Plan.from_dict(raw["plan"])
    batches = raw["batches"]
    measured = measure(batches)
    predicted = {node.name: node.memory_used_bytes for node in final.nodes}
    for group in final.groups:
        predicted |= dict.fromkeys(group.devices, predicted.get(group.name, 0.0) / len(group.devices))
    stages, events = [], {}
    for stats in raw["stats"]:
        if "weight_bytes" not in stats:
            continue
        events[stats["place"]] = stats["events"]
        busy = float(sum(event[1] - event[0] for event in stats["events"]))
        stages.append(
            StageUse(
                name=stats["place"],
                busy_s=busy,
                busy_share=busy / max(measured.seconds, 1e-12),
                messages=len(stats["events"]),
                weight_bytes=stats["weight_bytes"],
                cache_bytes=stats["cache_bytes"],
                memory_bytes=stats.get("device_bytes", stats["rss_bytes"]),
                predicted_memory_bytes=predicted.get(stats["place"], 0.0),
                read_bytes=stats["read_bytes"],
            )
        )
    links = tuple(LinkUse(*link) for stats in raw["stats"] for link in stats["links"])
    return RunResult(
        tokens=tuple(tuple(row) for row in raw["tokens"]),
        measured=measured,
        predicted=plan.figures,
        stages=tuple(stages),
        links=links,
        emulation=emulation,
        plan=final,
        notes=tuple(raw["notes"]),
        batches=tuple(batches),
        events=events,
    )


def measure(batches: list[dict[str, Any]]) -> Measured:
    """Compute the figures from the times of all tokens."""
    steps = np.concatenate([np.diff(batch["times_s"]) for batch in batches])
    firsts = [batch["times_s"][0] - batch["began_s"] for batch in batches]
    began = min(batch["began_s"] for batch in batches)
    ended = max(batch["times_s"][-1] for batch in batches)
    total = sum(len(batch["times_s"]) * len(batch["rows"]) for batch in batches)
    # In between, every sequence that was ever in flight was decoding.
    low = max(batch["times_s"][0] for batch in batches)
    high = min(batch["times_s"][-1] for batch in batches)
    inside = sum(len(b["rows"]) * sum(low < t <= high for t in b["times_s"]) for b in batches)
    steady = inside / (high - low) if high > low and inside > 1 else total / (ended - began)
    return Measured(
        ttft_s=float(np.median(firsts)),
        time_per_token_s=float(np.median(steps)) if len(steps) else 0.0,
        time_per_token_p95_s=float(np.quantile(steps, 0.95)) if len(steps) else 0.0,
        tokens_per_s=float(steady),
        whole_tokens_per_s=total / (ended - began),
        seconds=ended - began,
    )


def _named(number: int, name: str) -> dict[str, Any]:
    return {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}
