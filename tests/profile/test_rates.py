"""Calibration on rates: outputs of benchmarks are read, and the cluster comes to say what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placement.costs.build import build_tables
from placement.errors import InputError
from placement.profile.bench_outputs import holds_runs, read_outputs
from placement.profile.calibrate_rates import calibrate_rates, rates_yaml, read_rates
from placement.profile.measurements import Measurement, read_measurements
from placement.profile.rates_errors import leave_one_out, residuals
from placement.profile.rates_fit import LEAST_CASES, System, fit, unknowns, variant
from placement.readers.cluster.read import read_request

CLUSTER = """
model: llama-3.2-1b
quantization: q4_k_m
runtime: llama.cpp
nodes: [{name: box, device: cpu-ddr4-2ch}]
"""
BENCH = [
    {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "avg_ts": 110.0, "test_time": "2026-11-29T00:00:00Z"},
    {"n_prompt": 0, "n_gen": 128, "n_depth": 0, "avg_ts": 21.0},
    {"n_prompt": 0, "n_gen": 128, "n_depth": 2048, "avg_ts": 18.0},
    {"n_prompt": 512, "n_gen": 128, "n_depth": 0, "avg_ts": 55.0},
]


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster file of one CPU."""
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER)
    return path


def test_llama_bench(tmp_path: Path, cluster: Path) -> None:
    """Of llama-bench, rates of prompts alone and of generation alone are used, behind a context too."""
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(BENCH))
    rows = read_outputs(path)
    assert [row.get("tokens_per_s") for row in rows] == [None, 21.0, 18.0]
    assert rows[0]["prompt_tokens_per_s"] == 110.0
    assert rows[2]["prompt_tokens"] == 2048
    request = read_request(cluster)
    result = calibrate_rates(request, read_rates(path, request))
    assert np.median(result.after) < 0.05 < np.median(result.before)
    text = rates_yaml(cluster, result)
    (tmp_path / "better.yaml").write_text(text)
    again = read_request(tmp_path / "better.yaml")
    assert build_tables(again).decode_s.sum() == pytest.approx(
        build_tables(replace(request, cluster=result.cluster)).decode_s.sum(), rel=1e-3
    )


def test_vllm_serve(tmp_path: Path) -> None:
    """Of `vllm bench serve` the requests in flight follow from Little's law."""
    run = {
        "completed": 100,
        "duration": 50.0,
        "total_input_tokens": 51_200,
        "total_output_tokens": 12_800,
        "mean_ttft_ms": 100.0,
        "mean_tpot_ms": 20.0,
        "max_concurrency": None,
    }
    path = tmp_path / "serve.json"
    path.write_text(json.dumps({**run, "max_concurrency": 8}))
    (row,) = read_outputs(path)
    assert (row["prompt_tokens"], row["output_tokens"], row["concurrency"]) == (512, 128, 5)
    assert row["tokens_per_s"] == pytest.approx(5 / 0.02)


def test_exo(tmp_path: Path) -> None:
    """Of exo's bench both rates are used."""
    stats = {"prompt_tokens": 256, "generation_tokens": 64, "prompt_tps": 300.0, "generation_tps": 12.0}
    path = tmp_path / "exo.json"
    path.write_text(json.dumps([{"stats": stats}]))
    generation, prompt = read_outputs(path)
    assert generation["tokens_per_s"] == 12.0
    assert prompt["prompt_tokens_per_s"] == 300.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected `llama-bench"),
        ('[{"avg_ts": "fast", "n_prompt": 0, "n_gen": 5}]', "expected a number"),
        ('[{"avg_ts": 1e400, "n_prompt": 0, "n_gen": 5}]', "expected a number"),
        ('[{"avg_ts": 5, "n_prompt": 5, "n_gen": 5}]', "no run in it"),
        ('{"mean_tpot_ms": 0, "mean_ttft_ms": 1, "completed": 0}', "requests that were completed"),
    ],
)
def test_bad_outputs(tmp_path: Path, text: str, message: str) -> None:
    """What cannot be used is one line that says what was expected."""
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as found:
        read_outputs(path)
    assert "\n" not in str(found.value)


def test_runs_are_told_from_benchmarks(tmp_path: Path) -> None:
    """What `placement run` wrote has blocks, a benchmark has rates."""
    path = tmp_path / "runs.jsonl"
    path.write_text('{"blocks": [], "measured": {}}\n')
    assert holds_runs(path)
    path.write_text(json.dumps({"stats": {"generation_tps": 1.0}}))
    assert not holds_runs(path)
    assert not holds_runs(tmp_path / "own.csv")


HEAD = ",".join(Measurement.model_fields)


def row_of(number: int, source: str, rate: float, device: str = "rtx-3090") -> str:
    """One line of a CSV: generation of an 8 billion model."""
    cluster = f'"{{nodes: [{{name: gpu, device: {device}}}]}}"'
    return f"case-{number},{source},2026,llama.cpp,{cluster},llama-3-8b,q4_k_m,gpu=0:34,1,128,1,{rate},,,"


def test_a_group_needs_cases_of_two_sources(tmp_path: Path) -> None:
    """Four measurements of one source say nothing of their own, four of two do; leaving one out predicts all."""
    path = tmp_path / "rows.csv"
    lines = [row_of(k, "one", 100.0 + k) for k in range(LEAST_CASES)]
    path.write_text("\n".join([HEAD, *lines]))
    assert unknowns(read_measurements(path)) == []
    lines[-1] = row_of(9, "two", 104.0)
    path.write_text("\n".join([HEAD, *lines]))
    cases = read_measurements(path)
    wanted = {(unknown.kind, unknown.key) for unknown in unknowns(cases)}
    assert ("consumer-ampere", "bandwidth") in wanted
    assert ("consumer-ampere", "compute") not in wanted
    found = fit(cases)
    assert np.median([abs(row.error) for row in residuals(cases, found.costs)]) < 0.05
    assert all(
        0 < value <= 1
        for keys in found.figures["llama.cpp"].values()
        for key, value in keys.items()
        if "bandwidth" in key
    )
    assert len(leave_one_out(cases, found)) == len(cases)


def test_what_a_system_remembers_is_what_it_would_predict(tmp_path: Path) -> None:
    """Residuals of one system at points that follow each other are those of the cases, predicted anew at each."""
    path = tmp_path / "rows.csv"
    lines = [row_of(k, f"s{k % 2}", 100.0 + k, "rtx-3090" if k < LEAST_CASES else "a40") for k in range(9)]
    path.write_text("\n".join([HEAD, *lines]))
    cases = read_measurements(path)
    system = System(cases, unknowns(cases))
    for step in np.random.default_rng(0).normal(0.0, 0.05, (3, len(system.priors))):
        x = np.minimum(system.priors + step, system.limits[1])
        costs = system.costs(x)
        anew = [
            np.log(case.predict(variant(case, costs))["generation"] / case.measured["generation"]) for case in cases
        ]
        assert system.residuals(x)[: len(cases)].tolist() == pytest.approx(
            [weight * value for weight, value in zip(system.weights, anew, strict=True)], rel=1e-12
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gpu=0:34", "gpu=0:30", "from block 0 to 34"),
        ("gpu=0:34", "tpu=0:34", "split: there is no node 'tpu'"),
        ("gpu=0:34", "gpu=0:\u00b2", "split: expected node=start:stop"),
        ("gpu=0:34", "gpu", "split: expected node=start:stop"),
        (",one,", ",o\0ne,", "source: expected text without control characters"),
        ("llama.cpp", "llama.dpp", "no costs are known"),
        ("{nodes: [{name: gpu, device: rtx-3090}]}", "nodes", "expected YAML on one line"),
        ("104.0", "-5", "tokens_per_s"),
    ],
)
def test_bad_rows(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A mistake in a row is one line with the file, the line and what was expected."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEAD}\n{row_of(1, 'one', 104.0).replace(old, new)}\n")
    with pytest.raises(InputError, match=message) as found:
        read_measurements(path)
    assert "rows.csv: line 2" in str(found.value)


def test_a_column_that_is_named_twice(tmp_path: Path) -> None:
    """Of two columns of one name, neither is taken."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEAD},note\n{row_of(1, 'one', 104.0)},\n")
    with pytest.raises(InputError, match="the column 'note' is used twice"):
        read_measurements(path)
