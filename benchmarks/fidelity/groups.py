"""The executor with a model whole, split by layers, and split by tensors: tokens, and times against the catalog's.

Random Llamas of 1 to 13 billion parameters on 2 or 4 GPUs of one host, a process each, by `placement run`'s own
launcher: on one GPU, layers in equal parts, one tensor parallel group, and with 4 GPUs two stages of two. One sequence
at a time, a short and a long prompt. The planner is asked too, for the time per token and for the time to first token:
is what it would do the best of what was measured? ::

    python -m benchmarks.fidelity.groups --out groups.json              # all GPUs there are, under 6 minutes
    python -m benchmarks.fidelity.groups --toy --out groups.json        # two processes on the CPU, to try the script

How quickly a host launches kernels is its own: the time per token of the first model, whole, sets that one figure
(`overhead` of the nodes), and all others are predicted a second time with it ("calibrated").

In float32 the tokens must be equal. In bfloat16 sums in another order may flip two words that are equally likely, so
every word is looked at as the whole model sees it behind the same words: how far its logit is below the best one, in
standard deviations of the logits. Allowed are `TOLERANCE` of them, or a quarter more than what the model on one GPU has
against itself, with a cache and without one. Prints tables, writes one JSON document, and exits with 1 when a run
failed or words differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fidelity.errors import error_summary
from benchmarks.fidelity.gpu_catalog import SHAPES, TOY, catalog_name, equal_spans, llama_values
from placement import optimize
from placement.errors import PlacementError
from placement.optimize import judge
from placement.plan.plan import PlacedSpan, Plan
from placement.question.model import Model
from placement.readers.models.config import read_config
from placement.run import Launch, run_plan

CASES = ("1.1b:float32", "8.0b:bfloat16", "13b:bfloat16", "3.6b:bfloat16", "1.1b:bfloat16")
TOYS = ("toy-a:float32", "toy-b:bfloat16")
TOLERANCE = 0.15
REPEATS = 2  # of each prompt; the first one is not timed


def main() -> int:
    """Run, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", help="shape:format, in this order")
    parser.add_argument("--gpus", type=int, help="how many; by default all that there are, 4 at most")
    parser.add_argument("--prompts", type=int, nargs=2, help="tokens of the short and the long prompt")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--budget", type=float, default=310.0, help="seconds after which no run begins")
    parser.add_argument("--toy", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.until, options.overhead_s = time.monotonic() + options.budget, None
    options.prompts = options.prompts or ([16, 64] if options.toy else [128, 4096])
    options.count = options.gpus or (2 if options.toy else min(4, torch.cuda.device_count()))
    if options.count < 2:
        parser.error("expected two GPUs or more, or --toy")
    options.device = "cpu-ddr4-2ch" if options.toy else catalog_name(torch.cuda.get_device_name(0))
    report: dict[str, Any] = {"device": options.device, "gpus": options.count, "torch": str(torch.__version__)}
    report |= {"rows": [], "words": [], "choices": [], "left_out": [], "errors": []}
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases or (TOYS if options.toy else CASES):
            if time.monotonic() > options.until:
                report["left_out"].append(case)
                continue
            one_shape(case, options, Path(scratch), report)
            write(report, options.out)
    report["summary"] = summary(report["rows"])
    write(report, options.out)
    print(told(report))
    wrong = [row for row in report["words"] if not row["good"]]
    return 1 if wrong or report["errors"] or not report["rows"] else 0


def one_shape(case: str, options: Any, scratch: Path, report: dict[str, Any]) -> None:
    """Make a checkpoint of a shape, run every plan of it, and add what was found to the report."""
    name, _, dtype = case.partition(":")
    shape = TOY[name] if options.toy else SHAPES[name]
    values = llama_values(shape)
    model, folder = read_config(values, weights=dtype, name=name), scratch / case.replace(":", "-")
    whole = checkpoint(values, dtype, folder, "cpu" if options.toy else "cuda:0")
    rng = np.random.default_rng(0)
    prompts = [row for size in options.prompts for row in rng.integers(0, shape[-1], (REPEATS, size)).tolist()]
    words: dict[str, list[list[int]]] = {}
    measured: dict[str, dict[str, float]] = {}
    predicted: dict[str, dict[str, float]] = {}
    for split, spans in splits(model, options.count).items():
        if time.monotonic() > options.until:
            report["left_out"].append(f"{case} {split}")
            continue
        began = time.monotonic()
        try:
            plans = {size: judged(model, spans, options, size) for size in options.prompts}
            result = executed(plans[options.prompts[0]], folder, prompts, options)
        except PlacementError as error:
            report["errors"].append(f"{case} {split}: {error}")
            print(report["errors"][-1], file=sys.stderr, flush=True)
            continue
        words[split], measured[split] = [list(row) for row in result.tokens], figures(result.batches, options.prompts)
        predicted[split] = told_by(plans)
        seen = None
        if options.overhead_s is None:
            seen = f"token {options.prompts[0]}"
            options.overhead_s = launched(model, spans, options, measured[split][seen])
        calibrated = told_by({size: judged(model, spans, options, size, options.overhead_s) for size in plans})
        for figure, seconds in measured[split].items():
            row = {"case": case, "split": split, "figure": figure, "measured_s": seconds}
            row |= {"predicted_s": predicted[split][figure], "calibrated_s": calibrated[figure]}
            report["rows"].append(row | {"seen": figure == seen})
        print(f"{case} {split}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    exact, allowed = dtype == "float32", TOLERANCE
    for split, rows in words.items():
        found = compared(whole, prompts, rows, words.get("whole"), exact=exact, allowed=allowed)
        if split == "whole" and not exact:
            found["good"], allowed = True, max(allowed, 1.25 * found["below_best"])
        report["words"].append({"case": case, "split": split, **found})
    if len(measured) > 1:
        report["choices"] += [
            chosen(case, figure, predicted, measured, model, options) for figure in figure_names(options)
        ]
    del whole
    if not options.toy:
        torch.cuda.empty_cache()
    shutil.rmtree(folder, ignore_errors=True)


def splits(model: Model, count: int) -> dict[str, tuple[PlacedSpan, ...]]:
    """The layouts that are compared, by name."""
    names, n = [f"gpu-{k}" for k in range(count)], model.n_blocks

    def group(first: int, stop: int) -> str:
        return "+".join(names[first:stop])

    found = {
        "whole": (PlacedSpan(names[0], 0, n),),
        "layers": tuple(PlacedSpan(names[k], start, stop) for k, start, stop in equal_spans(n, count)),
        "tensors": (PlacedSpan(group(0, count), 0, n),),
    }
    if count == 4:
        found["pairs"] = (PlacedSpan(group(0, 2), 0, n // 2), PlacedSpan(group(2, 4), n // 2, n))
    return found


def question(model: Model, options: Any, prompt: int, count: int) -> tuple[Model, dict[str, Any], dict[str, Any]]:
    """What the planner is asked: the catalog's device so many times in one host, run by torch, one sequence."""
    nodes = [{"name": "gpu", "device": options.device, "count": count}]
    work = {"prompt_tokens": prompt, "output_tokens": options.tokens, "concurrency": 1}
    return model, {"runtime": "torch", "nodes": nodes}, work


def judged(
    model: Model, spans: Sequence[PlacedSpan], options: Any, prompt: int, overhead_s: float | None = None
) -> Plan:
    """A layout as a plan with its predicted figures; with the seconds that the launches of a block take here."""
    asked, cluster, work = question(model, options, prompt, options.count)
    if overhead_s is not None:
        cluster["nodes"][0]["overhead"] = f"{overhead_s * 1e6:.3f} us"
    plan, broken = judge(asked, cluster, spans, workload=work)
    if broken:
        raise PlacementError("; ".join(broken))
    return plan


def told_by(plans: Mapping[int, Plan]) -> dict[str, float]:
    """The predicted seconds of plans, by figure and tokens of the prompt."""
    keys = (("token", "time_per_token_s"), ("ttft", "ttft_s"))
    return {f"{figure} {size}": plan.figures[key] for size, plan in plans.items() for figure, key in keys}


def launched(model: Model, spans: Sequence[PlacedSpan], options: Any, measured_s: float) -> float:
    """Seconds of launches per block with which a token takes as long as was measured (bisection)."""
    low, high = 1e-6, 1e-2
    for _ in range(40):
        middle = (low * high) ** 0.5
        found = judged(model, spans, options, options.prompts[0], middle).figures["time_per_token_s"]
        low, high = (middle, high) if found < measured_s else (low, middle)
    return high


def executed(plan: Plan, folder: Path, prompts: Sequence[Sequence[int]], options: Any) -> Any:
    """Run a plan: a process for each device, sums and hidden states by nccl where there are several."""
    more: dict[str, Any] = {}
    if not options.toy:
        several = len(plan.placement) > 1 or plan.groups
        more = {"devices": {f"gpu-{k}": f"cuda:{k}" for k in range(options.count)}}
        more |= {"backend": "nccl", "start_limit_s": 140.0} if several else {"start_limit_s": 140.0}
    launch = Launch(timeout_s=150.0)
    return run_plan(plan, folder, prompts, options.tokens, launch=launch, in_flight=1, **more)


def figures(batches: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, float]:
    """Median seconds per token, and seconds to the first one, of the last prompt of each size."""
    found = {}
    for size in sizes:
        last = max((batch for batch in batches if batch["prompt"] == size), key=lambda batch: batch["began_s"])
        found[f"token {size}"] = float(statistics.median(np.diff(last["times_s"])))
        found[f"ttft {size}"] = float(last["times_s"][0] - last["began_s"])
    return found


def figure_names(options: Any) -> list[str]:
    """Figures that there is a choice about."""
    return [f"{figure} {size}" for size in options.prompts for figure in ("token", "ttft")]


def checkpoint(values: Mapping[str, Any], dtype: str, folder: Path, device: str) -> Any:
    """Save a Llama with random weights, large ones so that logits are far apart; return it too, on the device."""
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        **{**values, "initializer_range": 0.1, "bos_token_id": None, "eos_token_id": None, "dtype": dtype}
    )
    auto: Any = transformers.AutoModelForCausalLM
    with torch.device(device):
        model = auto.from_config(config, dtype=getattr(torch, dtype)).eval()
    model.save_pretrained(folder)
    return model


@torch.inference_mode()
def compared(
    whole: Any,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Sequence[int]],
    alone: Sequence[Sequence[int]] | None,
    *,
    exact: bool,
    allowed: float,
) -> dict[str, Any]:
    """How the words of a run compare with those of one process, and with what the whole model thinks of them.

    Parameters
    ----------
    whole : transformers model
    prompts : sequence of sequence of int
    rows : sequence of sequence of int
        What the run made of them.
    alone : sequence of sequence of int, optional
        What the run on one device made.
    exact : bool
        Whether words must be equal.
    allowed : float
        How far below the best word they may be, in standard deviations of the logits.
    """
    deviations = []
    for prompt, words in zip(prompts, rows, strict=True):
        ids = torch.tensor([[*prompt, *words]], device=whole.device)
        logits = whole(ids, logits_to_keep=len(words) + 1).logits[0, :-1].float()
        best, mine = logits.max(dim=-1).values, logits.gather(1, torch.tensor(words, device=ids.device)[:, None])[:, 0]
        deviations.append(float(((best - mine) / logits.std(dim=-1)).max()))
    equal = None if alone is None else [list(row) for row in rows] == [list(row) for row in alone]
    worst = max(deviations)
    return {"equal": equal, "below_best": worst, "good": worst <= allowed and (equal is not False or not exact)}


def chosen(
    case: str,
    figure: str,
    predicted: Mapping[str, Mapping[str, float]],
    measured: Mapping[str, Mapping[str, float]],
    model: Model,
    options: Any,
) -> dict[str, Any]:
    """What the predictions and the planner would do for a figure, and what was measured to be best.

    Parameters
    ----------
    case, figure : str
    predicted, measured : mapping of str to mapping
        Seconds by split and figure.
    model : Model
    options : Namespace
    """
    name, _, size = figure.partition(" ")
    asked, cluster, work = question(model, options, int(size), options.count)
    wanted = "latency" if name == "token" else "ttft"
    plan = optimize(asked, cluster, workload=work, objective=wanted, time_limit=2.0).plan
    split = "whole" if len(plan.placement) == 1 and not plan.groups else "tensors" if plan.groups else "layers"
    split = "pairs" if plan.groups and len(plan.placement) > 1 and "pairs" in measured else split
    best = {key: min(row, key=lambda k: row[k][figure]) for key, row in (("p", predicted), ("m", measured))}
    pair = [
        row["layers"][figure] < row["tensors"][figure]
        for row in (predicted, measured)
        if {"layers", "tensors"} <= set(row)
    ]
    return {
        "case": case,
        "figure": figure,
        "predicted_best": best["p"],
        "planner": split,
        "measured_best": best["m"],
        "regret": measured[split][figure] / measured[best["m"]][figure] - 1 if split in measured else None,
        "layers_or_tensors_right": pair[0] == pair[1] if len(pair) == 2 else None,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Errors by split and figure, whatever the prompt: of the catalog, and calibrated, without what was seen."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['split']}, {row['figure'].split()[0]}", []).append(row)
    return {
        name: [_errors(group, "predicted_s"), _errors([row for row in group if not row["seen"]], "calibrated_s")]
        for name, group in groups.items()
    }


def _errors(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    if not rows:
        return {"cases": 0, "median_error": np.nan, "worst_error": np.nan}
    return {"cases": len(rows), **error_summary(*([row[name] for row in rows] for name in (key, "measured_s")))}


def told(report: Mapping[str, Any]) -> str:
    """The report as tables of Markdown."""
    lines = [f"{report['gpus']} x {report['device']}, torch {report['torch']}", ""]
    lines += [
        "| model | split | figure | measured ms | predicted ms | error | calibrated ms | error |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in report["rows"]:
        times = f"{1e3 * row['measured_s']:.2f}"
        for key in ("predicted_s", "calibrated_s"):
            times += f" | {1e3 * row[key]:.2f} | {100 * (row[key] / row['measured_s'] - 1):+.0f}%"
        lines.append(
            f"| {row['case']} | {row['split']} | {row['figure']} | {times}{' (seen)' if row['seen'] else ''} |"
        )
    lines += ["", "| figures | cases | median error | worst | calibrated: cases | median error | worst |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for name, both in report["summary"].items():
        cells = [f"{row['cases']} | {row['median_error']:.1%} | {row['worst_error']:.1%}" for row in both]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| model | figure | predicted best | planner | measured best | regret | layers or tensors right |"]
    lines += ["| --- | --- | --- | --- | --- | ---: | --- |"]
    for row in report["choices"]:
        regret = "" if row["regret"] is None else f"{row['regret']:.1%}"
        said = f"{row['predicted_best']} | {row['planner']} | {row['measured_best']} | {regret}"
        lines.append(f"| {row['case']} | {row['figure']} | {said} | {row['layers_or_tensors_right']} |")
    lines += ["", "| model | split | words equal | below the best, std | good |", "| --- | --- | --- | ---: | --- |"]
    for row in report["words"]:
        lines.append(f"| {row['case']} | {row['split']} | {row['equal']} | {row['below_best']:.3f} | {row['good']} |")
    lines += [f"left out: {what}" for what in report["left_out"]] + [f"failed: {what}" for what in report["errors"]]
    return "\n".join(lines)


def write(report: Mapping[str, Any], path: Path | None) -> None:
    """Keep what there is so far."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
