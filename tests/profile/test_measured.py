"""Fits recover what made the data, links need the token, profiles are node entries, runs correct files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from objectives.pipeline.terms import step_s
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.errors import InputError
from placement.profile.calibrate import calibrate, corrected_yaml, read_runs
from placement.profile.hardware import timed
from placement.profile.links import measure_peer, serve
from placement.profile.measure import Sample
from placement.profile.roofline_fit import fit
from placement.readers.cluster.read import read_request
from tests.run.tiny_models import plan_by_hand, some_prompts

pytestmark = pytest.mark.slow

Make = Callable[[str], Path]


def test_the_fit_recovers_a_roofline() -> None:
    """Points made from 2 TFLOP/s, 50 GB/s and 30 us give these figures back."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(40):
        flops, n_bytes = float(10 ** rng.uniform(8, 12)), float(10 ** rng.uniform(6, 9))
        seconds = (max(flops / 2e12, n_bytes / 50e9) + 30e-6) * rng.uniform(0.99, 1.01)
        samples.append(Sample(0, "decode", 1, 1, seconds, 0.0, 3, flops, n_bytes))
    line = fit(samples)
    assert line.flops_per_s == pytest.approx(2e12, rel=0.03)
    assert line.bytes_per_s == pytest.approx(50e9, rel=0.03)
    assert line.overhead_s == pytest.approx(30e-6, rel=0.2)
    assert line.median_error < 0.02


def test_a_rest_comes_before_every_measured_pass() -> None:
    """The work is done once to warm up; then each repeat is rest, work, and the rest is told how long the last took."""
    done: list[str] = []

    def rest(last_s: float) -> None:
        assert last_s >= 0
        done.append("rest")

    times = timed(lambda: done.append("work"), lambda: None, 10.0, most=3, rest=rest)
    assert done == ["work", *["rest", "work"] * 3]
    assert len(times) == 3


def test_what_a_pass_takes_once_is_told_from_its_blocks(tiny_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock by which a pass takes 5 s and each layer 2 s, embedding nothing, the head 1 s: these come back."""
    from placement.profile.hardware import detect
    from placement.profile.measure import measure_blocks
    from placement.profile.pauses import Rest
    from placement.readers.models.read import read_model
    from placement.run.stage import Stage

    now, rested = [0.0], [False]
    costs = {0: 0.0, 5: 1.0}

    def run(self: Stage, batch: int, start: int, stop: int, position: int, values: object) -> object:
        now[0] += 5.0 * rested[0] + sum(costs.get(block, 2.0) for block in range(start, stop))
        rested[0] = False
        return values

    def between(self: Rest, device: str) -> Callable[[float], None]:
        return lambda _: rested.__setitem__(0, True)

    monkeypatch.setattr(Stage, "run", run)
    monkeypatch.setattr(Rest, "between", between)
    folder = tiny_model("llama")
    model = read_model(folder)
    common: dict[str, Any] = {"dtype": "float32", "batches": (1,), "contexts": (8,), "prompts": (8,), "budget_s": 0.05}
    samples = measure_blocks(folder, model, detect("cpu"), clock=lambda: now[0], rest=Rest(), **common)
    found = {(s.kind, s.phase): (s.seconds, s.pass_s) for s in samples}
    assert found[0, "decode"][1] == pytest.approx(5.0)
    assert found[1, "decode"] == pytest.approx((2.0, 5.0))
    assert found[1, "prefill"][0] == pytest.approx(2.0)
    assert found[2, "decode"][0] == pytest.approx(1.0)
    in_a_row = measure_blocks(folder, model, detect("cpu"), clock=lambda: now[0], **common)
    assert {s.pass_s for s in in_a_row} == {0.0}


def test_a_pass_overhead_is_counted_once_for_each_pass() -> None:
    """Every hop into a node begins with it, the client's included; hops to the client and staying do not."""
    document = {
        "model": {
            "name": "m",
            "blocks": [{"name": name, "weights": "1 MiB", "activation_per_token": "1 B"} for name in "efgh"],
        },
        "nodes": [
            {"name": name, "memory": "1 GiB", "decode_seconds_per_block": 0.01, "pass_overhead": overhead}
            for name, overhead in (("a", "2 ms"), ("b", "30 ms"))
        ],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "1 ms"}},
    }
    request = read_request(document)
    tables = build_tables(request)
    expected = [[0.0, 0.031, 0.001], [0.003, 0.0, 0.001], [0.003, 0.031, 0.0]]
    np.testing.assert_allclose(tables.latency_s, expected, atol=1e-12)
    alone, both = (step_s(tables, spans, 0) for spans in ([Span(0, 0, 4)], [Span(0, 0, 2), Span(1, 2, 4)]))
    assert both - alone == pytest.approx(0.031, abs=1e-6)


def test_links_need_the_token() -> None:
    """The same token measures; another one is refused with one line; short ones are refused at once."""
    ports: list[int] = []
    known = threading.Event()

    def ready(port: int) -> None:
        ports.append(port)
        known.set()

    options = {"ready": ready, "once": True, "limit_s": 300.0, "name": "b"}
    thread = threading.Thread(target=serve, args=("correct horse",), kwargs=options, daemon=True)
    thread.start()
    assert known.wait(60)
    # Strangers before the measurement: one sends rubbish, one leaves at once.
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", ports[0])) as stranger:
            stranger.sendall(rubbish)
    with pytest.raises(InputError, match="token"):
        measure_peer(f"127.0.0.1:{ports[0]}", "another token")
    link = measure_peer(f"127.0.0.1:{ports[0]}", "correct horse", name="a")
    assert (link.a, link.b) == ("a", "b")
    assert 0 < link.latency_s <= link.latency_p95_s
    assert link.bandwidth_bytes_per_s > 0
    with pytest.raises(InputError, match="8 characters"):
        serve("short")
    with pytest.raises(InputError, match="cannot be reached"):
        measure_peer("127.0.0.1:9", "correct horse")
    thread.join(60)
    assert not thread.is_alive()


def test_a_profile_is_a_node_of_a_cluster_file(tiny_model: Make, tmp_path: Path) -> None:
    """The written file, with a second node, is read as it is and solved."""
    import yaml

    from placement import Workload
    from placement.profile.node import profile_node

    folder = tiny_model("llama")
    found = profile_node(folder, name="here", workload=Workload(8, 4), batches=(1, 2), budget_s=1.0, threads=1)
    found.save(tmp_path / "node.yaml")
    entry = yaml.safe_load((tmp_path / "node.yaml").read_text())["nodes"][0]
    document = {"model": str(folder), "nodes": [entry], "workload": {"prompt_tokens": 8, "output_tokens": 4}}
    node = read_request(document).cluster.nodes[0]
    assert node.decode_table[1][1] == pytest.approx(found.node.decode_table[1][1], rel=1e-3)
    assert len(node.prefill_s_per_block) == 6
    assert node.pass_overhead_s == pytest.approx(found.node.pass_overhead_s, rel=1e-3)
    assert "# passes: each after a pause" in (tmp_path / "node.yaml").read_text()


def test_a_measurement_that_would_not_fit_is_refused(tiny_model: Make) -> None:
    """The memory check comes before any allocation."""
    from dataclasses import replace

    from placement.profile.hardware import detect
    from placement.profile.measure import measure_blocks
    from placement.readers.models.read import read_model

    folder = tiny_model("llama")
    small = replace(detect("cpu"), free_bytes=1e4)
    with pytest.raises(InputError, match="are free"):
        measure_blocks(
            folder, read_model(folder), small, dtype="float32", batches=(1,), contexts=(8,), prompts=(8,), budget_s=1.0
        )


def test_calibration_finds_a_wrong_factor(tmp_path: Path) -> None:
    """Node a is twice as slow as its file says, and every hop takes a millisecond more."""
    blocks = [{"name": name, "weights": "1 MiB", "activation_per_token": "1 KiB"} for name in "efgh"]
    document = {
        "model": {"name": "m", "blocks": blocks},
        "nodes": [
            {"name": name, "memory": "1 GiB", "decode_seconds_per_block": 0.01, "prefill_seconds_per_block": 0.02}
            for name in "ab"
        ],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "1 ms"}},
    }
    runs = [_run(cut) for cut in (1, 2, 3)]
    (tmp_path / "runs.jsonl").write_text("\n".join(json.dumps(run) for run in runs))
    (tmp_path / "cluster.yaml").write_text(json.dumps(document))
    request = read_request(tmp_path / "cluster.yaml")
    result = calibrate(request, read_runs(tmp_path / "runs.jsonl"))
    assert result.corrections["a"].decode_factor == pytest.approx(2.0)
    assert result.corrections["b"].decode_factor == pytest.approx(1.0)
    assert result.hop_s == pytest.approx(0.001, rel=0.05)
    assert min(result.before) > 0.2
    assert max(result.after) < 0.01
    (tmp_path / "better.yaml").write_text(corrected_yaml(tmp_path / "cluster.yaml", result))
    better = read_request(tmp_path / "better.yaml").cluster
    assert better.nodes[0].decode_s_per_block[0] == pytest.approx(0.02)
    assert better.latency_s[0, 1] == pytest.approx(0.002, rel=0.05)


def test_corrections_go_to_the_entries_whose_nodes_ran(tmp_path: Path) -> None:
    """`tower` and `tower-fast` are two entries, `many` is many-0 and many-1; corrections keep the runs' order."""
    names = {"tower": "a", "tower-fast": "b"}
    blocks = [{"name": name, "weights": "1 MiB", "activation_per_token": "1 KiB"} for name in "efgh"]
    node = {"memory": "1 GiB", "decode_seconds_per_block": 0.01, "prefill_seconds_per_block": 0.02}
    document = {
        "model": {"name": "m", "blocks": blocks},
        "nodes": [{"name": name, **node} for name in names] + [{"name": "many", "count": 2, **node}],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "1 ms"}},
    }
    text = "\n".join(json.dumps(_run(cut)) for cut in (1, 2, 3))
    for name, short in names.items():
        text = text.replace(f'"node": "{short}"', f'"node": "{name}"')
    (tmp_path / "runs.jsonl").write_text(text)
    (tmp_path / "cluster.yaml").write_text(json.dumps(document))
    result = calibrate(read_request(tmp_path / "cluster.yaml"), read_runs(tmp_path / "runs.jsonl"))
    assert list(result.corrections) == ["tower", "tower-fast"]
    (tmp_path / "better.yaml").write_text(corrected_yaml(tmp_path / "cluster.yaml", result))
    found = [n.decode_s_per_block[0] for n in read_request(tmp_path / "better.yaml").cluster.nodes]
    assert found == pytest.approx([0.02, 0.01, 0.01, 0.01])


def _run(cut: int) -> dict[str, object]:
    def row(node: str, start: int, stop: int, phase: str, seconds: float) -> dict[str, object]:
        return {"node": node, "start": start, "stop": stop, "phase": phase, "batch": 1, "seconds": seconds}

    rows = [row("a", 0, cut, "decode", 0.02 * cut), row("b", cut, 4, "decode", 0.01 * (4 - cut))]
    rows += [row("a", 0, cut, "prefill", 0.02 * cut), row("b", cut, 4, "prefill", 0.02 * (4 - cut))]
    step = 0.02 * cut + 0.01 * (4 - cut) + 3 * 0.002
    spans = [{"node": "a", "start": 0, "stop": cut}, {"node": "b", "start": cut, "stop": 4}]
    return {
        "placement": spans,
        "measured": {"time_per_token_s": step},
        "blocks": rows,
        "prompt_tokens": [8],
        "output_tokens": 4,
    }


def test_bad_run_files_are_one_line(tmp_path: Path) -> None:
    """The line number and what is wrong."""
    (tmp_path / "runs.jsonl").write_text('{"measured": 3}\n')
    with pytest.raises(InputError, match="line 1"):
        read_runs(tmp_path / "runs.jsonl")
    with pytest.raises(InputError, match="there is no such file"):
        read_runs(tmp_path / "none" / "runs.jsonl")


def test_runs_of_the_executor_are_accepted(tiny_model: Make, tmp_path: Path) -> None:
    """What a run writes is what a calibration reads."""
    from placement.run import run_plan

    plan = plan_by_hand(("a", 0, 3), ("b", 3, 6))
    run_plan(plan, tiny_model("llama"), some_prompts(1), 4).append_to(tmp_path / "runs.jsonl")
    assert len(read_runs(tmp_path / "runs.jsonl")) == 1
