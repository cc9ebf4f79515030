"""Predictions from the catalog alone, no profile: our executor and plain transformers on 1 to N GPUs of one host.

Eight shapes of Llama with 1 to 13 billion random parameters in bfloat16, contexts of 128 to 8,192 tokens, batches of 1
to 64; the layers lie on the GPUs in equal parts. A decode step is measured with the cache filled, a prompt of one
sequence from its beginning. Each is measured in `ROUNDS` rounds over all loads of a model, seconds apart, and the
fastest median counts: other tenants of a host can only slow a pass. Prints a summary and writes one JSON document::

    python -m benchmarks.fidelity.gpu_catalog --out gpu_catalog.json            # as many GPUs as there are: 1, 2, 4
    python -m benchmarks.fidelity.gpu_catalog --toy --out toy.json              # on the CPU, to try the script

It stops by itself after `--budget` seconds and says what it left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fidelity.errors import error_summary
from objectives.pipeline.terms import step_s, ttft_s
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.question.model import Model
from placement.question.request import Request
from placement.question.workload import Workload
from placement.readers.cluster.read import read_request
from placement.readers.models.config import read_config

# name: hidden, intermediate, layers, heads, KV heads, vocabulary
SHAPES = {
    "1.1b": (2048, 5632, 22, 32, 4, 32_000),
    "1.8b": (1536, 8960, 28, 12, 2, 151_936),
    "2.8b": (2560, 6912, 36, 20, 20, 50_304),
    "3.6b": (3072, 8192, 28, 24, 8, 128_256),
    "6.7b": (4096, 11_008, 32, 32, 32, 32_000),
    "8.0b": (4096, 14_336, 32, 32, 8, 128_256),
    "9.3b": (4096, 16_384, 36, 32, 8, 128_256),
    "13b": (5120, 13_824, 40, 40, 40, 32_000),
}
TOY = {"toy-a": (128, 352, 4, 4, 2, 1000), "toy-b": (192, 512, 6, 6, 6, 2000)}
DEVICES = {"H100 80GB": "h100-sxm", "H100 PCIe": "h100-pcie", "H100 NVL": "h100-nvl", "H200": "h200", "A100": "a100"}
STEPS, WARM, ROUNDS = 16, 4, 2
WARM_UP_S = 20.0  # clocks, allocators and libraries of a fresh process


def main() -> int:
    """Measure, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="+", help="how many, each in turn; by default 1, 2, 4 where there")
    parser.add_argument("--shapes", nargs="+", help="which, in this order; by default all, the small ones first")
    parser.add_argument("--contexts", type=int, nargs="+", default=[128, 1024, 8192])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--budget", type=float, default=500.0, help="seconds, all together")
    parser.add_argument("--toy", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    until = time.monotonic() + options.budget
    device = "cpu-ddr4-2ch" if options.toy else catalog_name(torch.cuda.get_device_name(0))
    there = 2 if options.toy else torch.cuda.device_count()
    counts = options.gpus or [count for count in (1, 2, 4) if count <= there]
    if options.toy:
        warm_up(TOY["toy-a"], "cpu", 0.1)
    else:
        warm_up(SHAPES["1.1b"], "cuda:0", WARM_UP_S)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    shapes = TOY if options.toy else SHAPES
    for name in options.shapes or shapes:
        if time.monotonic() > until:
            left_out.append(name)
            continue
        for row in one_shape(name, shapes[name], device, counts, options, until):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    report = {
        "device": device,
        "torch": str(torch.__version__),
        "left_out": left_out,
        "summary": summary(rows),
        "rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["summary"], indent=1))
    return 0


def warm_up(shape: Sequence[int], place: str, seconds: float) -> None:
    """Let a model run for a while: the first passes of a process say nothing about the others."""
    model = whole(llama_values(shape), "float32" if place == "cpu" else "bfloat16", [place], [])
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        by_transformers(model, [place], 64, 1)


def catalog_name(name: str) -> str:
    """Name of the catalog for what the driver calls a GPU."""
    for part, found in DEVICES.items():
        if part in name:
            return found
    raise SystemExit(f"no catalog name is known for '{name}': add it to DEVICES")


def one_shape(
    name: str, shape: Sequence[int], device: str, counts: Sequence[int], options: Any, until: float
) -> Iterator[dict[str, Any]]:
    """Measure one shape on 1 to N GPUs, by transformers and by the executor's stages.

    Parameters
    ----------
    name : str
    shape : sequence of int
        See `SHAPES`.
    device : str
        Name of the catalog.
    counts : sequence of int
        Numbers of GPUs.
    options : Namespace
    until : float
        `time.monotonic()` at which to stop.

    Yields
    ------
    dict
        One figure: measured and predicted seconds.
    """
    values = llama_values(shape)
    dtype = "float32" if options.toy else "bfloat16"
    model = read_config(values, weights=dtype, name=name)
    for count in counts:
        places = ["cpu"] * count if options.toy else [f"cuda:{k}" for k in range(count)]
        spans = equal_spans(model.n_blocks, count)
        loaded = whole(values, dtype, places, spans)
        plain = "transformers" if count == 1 else "accelerate"
        runners: dict[str, Callable[[int, int], tuple[float, float | None]]] = {
            plain: partial(by_transformers, loaded, places),
            "torch": partial(by_stages, loaded, places, spans),
        }
        loads = [(context, batch) for context in options.contexts for batch in options.batches]
        found: dict[tuple[str, int, int, str], float] = {}
        for runtime, (context, batch) in ROUNDS * [(runtime, load) for runtime in runners for load in loads]:
            if time.monotonic() > until or too_large(model, context, batch, runtime, options.toy):
                continue
            step, prompt = runners[runtime](context, batch)
            for figure, seconds in (("step", step), ("prompt", prompt)):
                if seconds is not None:
                    key = (runtime, context, batch, figure)
                    found[key] = min(seconds, found.get(key, seconds))
        for (runtime, context, batch, figure), measured in found.items():
            yield {
                "model": name,
                "gpus": count,
                "runtime": runtime,
                "context": context,
                "batch": batch,
                "figure": figure,
                "measured_s": measured,
                "predicted_s": predict(model, device, runtime, spans, context, batch)[figure],
            }
        del loaded, runners
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def too_large(model: Model, context: int, batch: int, runtime: str, toy: bool) -> bool:
    """Whether caches would not fit beside the weights, or the context would take long to fill."""
    cache = sum(block.kv_bytes(context + STEPS + WARM) for block in model.blocks) * batch
    filled = context * batch
    return cache + model.weight_bytes > 60e9 or filled > (2048 if toy else 131_072 if runtime == "torch" else 600_000)


def llama_values(shape: Sequence[int]) -> dict[str, Any]:
    """The configuration of a Llama of one of the `SHAPES`."""
    keys = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
    )
    fixed = {"model_type": "llama", "tie_word_embeddings": False, "max_position_embeddings": 16_384}
    return fixed | dict(zip(keys, shape, strict=True))


def equal_spans(n_blocks: int, count: int) -> list[tuple[int, int, int]]:
    """Equal parts of the blocks, (device, start, stop)."""
    ends = [round(n_blocks * k / count) for k in range(count + 1)]
    return [(k, ends[k], ends[k + 1]) for k in range(count)]


def predict(
    model: Model, device: str, runtime: str, spans: Sequence[tuple[int, int, int]], context: int, batch: int
) -> dict[str, float]:
    """Seconds of a step and of a prompt, from the catalog's device and the runtime's costs."""
    node = {"name": "gpu", "device": device, "count": len(spans)}
    given = read_request({"nodes": [node]}, model=model)
    placed = [Span(*span) for span in spans]
    work = Workload(context, STEPS, batch)
    tables = build_tables(Request(model, given.cluster, work, costs=runtime), sizes=sorted({1, batch}))
    return {"step": step_s(tables, placed, len(tables.batches) - 1), "prompt": ttft_s(tables, placed)}


def whole(values: dict[str, Any], dtype: str, places: Sequence[str], spans: Sequence[tuple[int, int, int]]) -> Any:
    """A model of transformers with random weights, its blocks on the devices of the spans."""
    import transformers

    config = transformers.AutoConfig.for_model(**{**values, "dtype": dtype, "bos_token_id": None, "eos_token_id": None})
    with torch.device(places[0]):
        auto: Any = transformers.AutoModelForCausalLM
        model = auto.from_config(config, dtype=getattr(torch, dtype)).eval()
    if len(set(places)) > 1:
        from accelerate import dispatch_model

        names = ["model.embed_tokens", *(f"model.layers.{k}" for k in range(config.num_hidden_layers)), "lm_head"]
        placed = {names[block]: places[node] for node, start, stop in spans for block in range(start, stop)}
        dispatch_model(model, {**placed, "model.norm": places[spans[-1][0]], "model.rotary_emb": places[0]})
    return model


@torch.inference_mode()
def by_transformers(model: Any, places: Sequence[str], context: int, batch: int) -> tuple[float, float | None]:
    """Median seconds of a decode step with a cache of `context` tokens, and of a prompt for a batch of one."""
    import transformers

    cache = transformers.DynamicCache()
    config = model.config
    size, kv = config.hidden_size // config.num_attention_heads, config.num_key_value_heads
    for number, layer in enumerate(model.model.layers):
        weight = layer.self_attn.k_proj.weight
        keys, values = (torch.zeros((batch, kv, context, size), dtype=weight.dtype, device=weight.device) for _ in "kv")
        cache.update(keys, values, number)
    ids = torch.ones((batch, 1), dtype=torch.long, device=places[0])
    times = []
    for _ in range(WARM + STEPS):
        began = time.perf_counter()
        logits = model(ids, past_key_values=cache, use_cache=True).logits
        ids = logits[:, -1].argmax(-1, keepdim=True).to(places[0])
        ids.sum().item()  # the token is there
        times.append(time.perf_counter() - began)
    del cache
    return statistics.median(times[WARM:]), prompt_s(model, places, context) if batch == 1 else None


@torch.inference_mode()
def prompt_s(model: Any, places: Sequence[str], context: int) -> float:
    """Seconds of the second run of a prompt."""
    ids = torch.ones((1, context), dtype=torch.long, device=places[0])
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        model(ids, use_cache=True, logits_to_keep=1).logits.sum().item()
        seconds = time.perf_counter() - began
    return seconds


@torch.inference_mode()
def by_stages(
    model: Any, places: Sequence[str], spans: Sequence[tuple[int, int, int]], context: int, batch: int
) -> tuple[float, float | None]:
    """The same by the executor's stages in this process, hidden states copied between the devices."""
    from placement.run.architecture import find
    from placement.run.random_weights import Blank
    from placement.run.stage import Stage

    stages = [Stage(Blank(find(model), places[node]), context + WARM + STEPS + 1) for node, _, _ in spans]
    values = torch.ones((batch, context), dtype=torch.long)
    position, times = 0, []
    for turn in range(1 + WARM + STEPS):
        began, length = time.perf_counter(), values.shape[1]
        hidden = values
        for stage, (node, start, stop) in zip(stages, spans, strict=True):
            with nullcontext() if places[node] == "cpu" else torch.cuda.device(places[node]):  # as a worker is
                hidden = stage.run(0, start, stop, position, hidden.to(places[node]))
        values = hidden.to("cpu").reshape(batch, 1)
        times.append(time.perf_counter() - began)
        position += length
        del turn
    return statistics.median(times[1 + WARM :]), None


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Errors by runtime, number of GPUs and figure, and of all."""
    groups: dict[str, list[dict[str, Any]]] = {"all steps": [row for row in rows if row["figure"] == "step"]}
    for row in rows:
        groups.setdefault(f"{row['runtime']}, {row['gpus']} GPUs, {row['figure']}", []).append(row)
    return {
        name: {
            "cases": len(group),
            **error_summary(*(np.array([row[key] for row in group]) for key in ("predicted_s", "measured_s"))),
        }
        for name, group in groups.items()
        if group
    }


if __name__ == "__main__":
    raise SystemExit(main())
