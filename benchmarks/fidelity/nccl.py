"""Plans over two GPUs, one process each, hidden states by nccl: tokens against one process, time against prediction.

For a Llama of 1.1 billion random parameters and a small one, plans with one cut and one that goes back and forth are
run under torchrun, with one sequence and with four in flight; then a worker is killed, without and with recovery::

    python -m benchmarks.fidelity.nccl --out nccl.json
    python -m benchmarks.fidelity.nccl --devices cpu cpu --cases tiny:float32     # over gloo, to try the script

Prints one JSON document; whatever fails is in it as "error", and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fidelity.gpu_cpu import BILLION, TINY
from objectives.combine import Objective
from objectives.pipeline.terms import bottleneck, step_s
from objectives.spans import Span
from placement.kinds.pipeline.plan import plan_of
from placement.kinds.pipeline.problem import problem_of
from placement.kinds.pipeline.replan import replan_at_once
from placement.plan.plan import Plan
from placement.plan.values import objective_value
from placement.profile.node import profile_node
from placement.question.cluster import Cluster
from placement.question.request import Request
from placement.question.workload import Workload
from placement.readers.models.read import read_model
from placement.run import run_plan
from placement.run.control import RunError
from placement.run.launcher import Launch
from placement.run.loader import Loader
from placement.run.result import make_result
from placement.run.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
MODELS: dict[str, dict[str, Any]] = {"tiny": TINY, "billion": BILLION}
NAMES = ("gpu0", "gpu1")


def main() -> int:
    """Measure links and devices, run the plans, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["tiny:float32", "billion:float32", "billion:bfloat16"])
    parser.add_argument("--devices", nargs=2, default=["cuda:0", "cuda:1"])
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--budget", type=float, default=6.0, help="seconds of profiling for each device")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {"torch": str(torch.__version__), "devices": [name_of(d) for d in options.devices]}
    report["links"] = links = attempt(lambda: {kind: measured_link(kind) for kind in kinds(options.devices)})
    report["models"] = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases:
            print(case, file=sys.stderr, flush=True)
            name, _, dtype = case.partition(":")
            row = attempt(partial(one_model, name, dtype, links, options, Path(scratch)))
            report["models"].append({"case": case, **row})
            write(report, options.out)
        report["faults"] = attempt(lambda: faults(options, Path(scratch)))
    write(report, options.out)
    text = json.dumps(report, indent=1)
    print(text)
    return 1 if '"error"' in text or '"equal": false' in text else 0


def kinds(devices: Sequence[str]) -> list[str]:
    """How messages may go: through host memory, and between GPUs."""
    return ["cpu", *(["cuda"] if devices[0].startswith("cuda") else [])]


def measured_link(kind: str) -> dict[str, float]:
    """Measure the link between two processes with the profiler."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        torchrun(["placement", "profile", "--all-pairs", "--device", kind, "--json"], Path(file.name), stdout=True)
        found = json.loads(Path(file.name).read_text(encoding="utf-8"))
    link = found["network"]["links"][0]
    latency, bandwidth = (float(str(link[key]).split()[0]) for key in ("latency", "bandwidth"))
    return {"latency_s": latency * 1e-6, "bandwidth_bytes_per_s": bandwidth * 1e6}


def one_model(name: str, dtype: str, links: Mapping[str, Any], options: Any, scratch: Path) -> dict[str, Any]:
    """Run all plans of a model in a number format."""
    folder = checkpoint(name, dtype, scratch, options.devices[0])
    prompts = np.random.default_rng(0).integers(0, MODELS[name]["vocab_size"], (4, options.prompt)).tolist()
    work = Workload(options.prompt, options.tokens, 1)
    whole = [reference(folder, options.devices[0], prompt, options.tokens) for prompt in prompts]
    request = question(folder, dtype, links, work, options)
    n, rows = request.model.n_blocks, []
    for spans in ([(0, 0, n // 3), (1, n // 3, n)], [(0, 0, n // 2), (1, n // 2, n)], back_and_forth(n)):
        for sequences in (1, 4):
            row = attempt(lambda s=spans, k=sequences: one_plan(request, s, folder, prompts[:k], whole, options))
            rows.append({"spans": spans, "sequences": sequences, **row})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    times = [row["time"] for row in whole]
    return {
        "parameters": read_model(folder).params,
        "one_process_s": float(np.median(times)),
        "one_process_equal_to_transformers": [row["tokens"] == row["generate"] for row in whole],
        "plans": rows,
        "nodes": [dict(vars_of(node)) for node in request.cluster.nodes],
    }


def one_plan(
    request: Request, spans: Any, folder: Path, prompts: Sequence[Any], whole: Sequence[Any], options: Any
) -> dict[str, Any]:
    """Run one plan under torchrun."""
    problem = problem_of(request)
    placed = [Span(*span) for span in spans]
    value = objective_value(problem.objective, problem.score(placed).cost, -np.inf)
    plan = plan_of(request, problem, placed, value)
    with tempfile.TemporaryDirectory() as temporary:
        plan.save(Path(temporary) / "plan.json")
        raw = run_workers(plan, Path(temporary), folder, prompts, options)
    result = make_result(raw, plan, "none")
    k, tables = len(prompts), problem.tables
    slowest = bottleneck(tables, tables.rounds("decode_rate"), placed, 0)
    rate = min(k / step_s(tables, placed, 0), 1.0 / slowest.seconds)
    measured = result.measured
    return {
        "equal": [list(row) for row in result.tokens] == [row["tokens"] for row in whole[:k]],
        "predicted": {"time_per_token_s": plan.figures.time_per_token_s, "ttft_s": plan.figures.ttft_s, "rate": rate},
        "measured": {
            "time_per_token_s": measured.time_per_token_s,
            "ttft_s": measured.ttft_s,
            "rate": measured.tokens_per_s,
        },
        "error_time_per_token": plan.figures.time_per_token_s / measured.time_per_token_s - 1 if k == 1 else None,
        "error_rate": rate / measured.tokens_per_s - 1,
        "stages": [
            [row["node"], row["phase"], row["start"], row["stop"], row["seconds"]] for row in result.block_times()
        ],
    }


def run_workers(plan: Plan, place: Path, folder: Path, prompts: Sequence[Any], options: Any) -> dict[str, Any]:
    """Start a worker for each node by torchrun; return what the client wrote."""
    assert plan.placement
    on_gpu = options.devices[0].startswith("cuda")
    words = ["placement.run.worker", str(place / "plan.json"), "--model", str(folder)]
    words += [word for prompt in prompts for word in ("--ids", ",".join(map(str, prompt)))]
    words += ["--tokens", str(options.tokens), "--out", str(place / "result.json")]
    words += ["--device", "cuda", "--backend", "nccl"] if on_gpu else []
    torchrun(words, place / "log")
    raw: dict[str, Any] = json.loads((place / "result.json").read_text(encoding="utf-8"))
    if "error" in raw:
        raise RuntimeError(raw["error"])
    return raw


def torchrun(words: Sequence[str], log: Path, *, stdout: bool = False, limit_s: float = 150.0) -> None:
    """Run a module with two processes of this host; nothing of it is left afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port), "-m", *words]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    errors = log.with_suffix(".err")
    with log.open("wb") as out, errors.open("wb") as err:
        program = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
        )
        try:
            code = program.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
                try:
                    program.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(program.pid, signal.SIGKILL)
                    program.wait(10)
    if code:
        tail = (errors.read_text(errors="replace") + ("" if stdout else log.read_text(errors="replace")))[-3000:]
        raise RuntimeError(f"{'time-out' if code < 0 else f'exit code {code}'}: {tail}")


def question(folder: Path, dtype: str, links: Mapping[str, Any], work: Workload, options: Any) -> Request:
    """Profile both devices; the client lives in the first worker's process."""
    found = [
        profile_node(
            folder, device=device, name=name, dtype=dtype, workload=work, batches=(1,), budget_s=options.budget
        )
        for name, device in zip(NAMES, options.devices, strict=True)
    ]
    host = links.get("cpu", {"latency_s": 1e-4, "bandwidth_bytes_per_s": 1e9})
    between = links.get("cuda", host)
    latency, bandwidth = np.zeros((3, 3)), np.full((3, 3), np.inf)
    for a, b, link in ((0, 1, between), (1, 2, host)):
        latency[a, b] = latency[b, a] = link["latency_s"]
        bandwidth[a, b] = bandwidth[b, a] = link["bandwidth_bytes_per_s"]
    latency[0, 2] = latency[2, 0] = 3e-5  # handed over inside a process
    nodes = tuple(profile.node for profile in found)
    return Request(read_model(folder), Cluster(nodes, latency, bandwidth), work, Objective())


def back_and_forth(n: int) -> list[tuple[int, int, int]]:
    """Four spans that alternate: messages go both ways between the GPUs."""
    cuts = [0, n // 4, n // 2, 3 * n // 4, n]
    return [(k % 2, a, b) for k, (a, b) in enumerate(pairwise(cuts))]


def checkpoint(name: str, dtype: str, scratch: Path, device: str) -> Path:
    """Save a Llama with random weights, large ones: logits far apart, so that rounding decides nothing."""
    import transformers

    folder = scratch / f"{name}-{dtype}"
    if not folder.exists():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(**MODELS[name], initializer_range=0.1, bos_token_id=None, eos_token_id=None)
        with torch.device(device):
            kind: Any = transformers.AutoModelForCausalLM
            model = kind.from_config(config, dtype=getattr(torch, dtype))
        model.save_pretrained(folder)
        del model
        release()
    return folder


def reference(folder: Path, device: str, prompt: Sequence[int], tokens: int) -> dict[str, Any]:
    """Continue a prompt in one process: by the executor's stage with all blocks, and by transformers' generate."""
    import transformers

    loader = Loader(folder, device)
    loader.hold(range(loader.arch.n_blocks))
    stage, values = Stage(loader, len(prompt) + tokens), torch.tensor([prompt])
    position, found, times = 0, [], []
    for _ in range(tokens):
        began, length = time.perf_counter(), values.shape[1]
        values = stage.run(0, 0, loader.arch.n_blocks, position, values)
        found.append(int(values[0, 0]))
        times.append(time.perf_counter() - began)
        position += length
    del stage, loader
    release()
    model: Any = transformers.LlamaForCausalLM.from_pretrained(folder, dtype="auto")
    model = model.to(device).eval()
    ids = torch.tensor([prompt], device=device)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    generated = out[0, len(prompt) :].tolist()
    del model
    release()
    return {"tokens": found, "generate": generated, "time": float(np.median(times[1:]))}


def faults(options: Any, scratch: Path) -> dict[str, Any]:
    """Kill a worker in the middle: without recovery one error and nothing left, with it the same tokens."""
    folder = checkpoint("tiny", "float32", scratch, options.devices[0])
    prompt = np.random.default_rng(0).integers(0, MODELS["tiny"]["vocab_size"], options.prompt).tolist()
    tokens, links = 200, {"cpu": {"latency_s": 1e-4, "bandwidth_bytes_per_s": 1e9}}
    expected = reference(folder, options.devices[0], prompt, tokens)["tokens"]
    request = question(folder, "float32", links, Workload(options.prompt, tokens, 1), options)
    n, problem = request.model.n_blocks, problem_of(request)
    spans = [Span(*span) for span in back_and_forth(n)]
    plan = plan_of(request, problem, spans, objective_value(problem.objective, problem.score(spans).cost, -np.inf))
    on_gpu = options.devices[0].startswith("cuda")
    common: dict[str, Any] = {"cluster": request.cluster, "limit_s": 3.0}
    common |= {"devices": dict(zip(NAMES, options.devices, strict=True)), "backend": "nccl"} if on_gpu else {}
    report: dict[str, Any] = {}
    for recover in (False, True):
        pids: dict[str, int] = {}
        killed: list[float] = []

        def progress(count: int, pids: dict[str, int] = pids, killed: list[float] = killed) -> None:
            if count >= 20 and not killed:
                killed.append(time.perf_counter())
                os.kill(pids["gpu1"], signal.SIGKILL)

        launch = Launch(started=pids.update, progress=progress, timeout_s=120.0)
        key = "recovered" if recover else "stopped"
        try:
            result = run_plan(
                plan, folder, [prompt], tokens, replan=replan_at_once if recover else None, launch=launch, **common
            )
            report[key] = {"equal": list(result.tokens[0]) == expected, "notes": list(result.notes)}
        except RunError as error:
            report[key] = {"message": str(error), "tokens_kept": [len(row) for row in error.tokens]}
        report[key]["seconds"] = time.perf_counter() - (killed or [time.perf_counter()])[0]
        time.sleep(0.5)
        report[key]["left"] = [place for place, pid in pids.items() if alive(pid)]
    return report


def alive(pid: int) -> bool:
    """Say whether a process still runs; one that is dead and only not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def name_of(device: str) -> str:
    """Name a device as torch does."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def vars_of(node: Any) -> dict[str, Any]:
    """What matters of a profile."""
    return {
        "name": node.name,
        "decode_layer_s": node.decode_table[1][1],
        "decode_head_s": node.decode_table[1][-1],
        "prefill_layer_s": node.prefill_s_per_block[1],
    }


def release() -> None:
    """Give memory back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def attempt(work: Any) -> dict[str, Any]:
    """Return what `work` returns, or the error: one failure must not hide the other figures."""
    try:
        return dict(work())
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {"error": f"{type(error).__name__}: {error}"}


def write(report: dict[str, Any], path: Path | None) -> None:
    """Keep what there is so far."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
