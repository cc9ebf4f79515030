"""`placement simulate`: plans and cluster files, streams, JSON, pictures, one line for each mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from .conftest import ROOT, TINY, Cli

STREAM = ("--rate", "5/s", "--requests", "20", "--lengths", "64:32")


def test_a_cluster_is_planned_and_served(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """Figures in JSON, a row per request in CSV."""
    out = tmp_path / "requests.csv"
    done = cli("simulate", str(tiny), *STREAM, "--json", "--out", str(out), "--time-limit", "2")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["figures"]["finished"] == 20
    assert data["figures"]["ttft_s"]["p50"] > 0
    assert data["policy"] == "vllm"
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["output_tokens"] for row in rows] == ["32"] * 20


def test_a_plan_with_its_cluster(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """A plan that `solve` wrote; without its cluster file it says what is missing."""
    plan = tmp_path / "plan.json"
    assert cli("solve", str(tiny), "--out", str(plan), "--quiet", "--time-limit", "2").returncode == 0
    done = cli("simulate", str(plan), str(tiny), "--concurrency", "2", "--duration", "20s", "--policy", "orca")
    assert done.returncode == 0, done.stderr
    assert "time per token" in done.stdout
    alone = cli("simulate", str(plan), *STREAM)
    assert (alone.returncode, "needs the cluster file" in alone.stderr) == (1, True)


def test_several_rates_and_a_picture(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """One run by rate, and a picture of them."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "runs.svg"
    done = cli(
        "simulate",
        str(tiny),
        "--rate",
        "1/s,60/min",
        "--requests",
        "5",
        "--time-limit",
        "1",
        "--json",
        "--plot",
        str(picture),
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [run["rate_per_s"] for run in runs] == [1.0, 1.0]
    assert runs[0]["figures"] == runs[1]["figures"]
    assert picture.read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "expected --rate, --trace or --concurrency"),
        (("--rate", "0/s"), "--rate: expected requests by time above 0"),
        (("--rate", "fast"), "--rate: expected requests by time above 0"),
        (("--rate", "1/s", "--concurrency", "3"), "expected --rate or --concurrency, got both"),
        (("--rate", "1/s", "--policy", "vlm"), "did you mean 'vllm'"),
        (("--rate", "1/s", "--with", "chunkd=true"), "did you mean 'chunked'"),
        (("--rate", "1/s", "--engine", "max_seqs=3"), "did you mean 'max_num_seqs'"),
        (("--rate", "1/s", "--engine", "max_num_seqs=0"), "max_num_seqs: expected a whole number of at least 1"),
        (("--rate", "1/s", "--lengths", "chatt"), "did you mean 'chat'"),
        (("--rate", "1/s", "--lengths", "9:x"), "--lengths: expected PROMPT:OUTPUT"),
        (("--rate", "1/s", "--duration", "10 apples"), "--duration: expected"),
        (("--trace", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("--rate", "1/s", "--lengths", "9000000:1"), "expected requests that fit into the caches"),
    ],
)
def test_one_line_for_each_mistake(cli: Cli, tiny: Path, options: tuple[str, ...], expected: str) -> None:
    """Exit code 1, one line on stderr, nothing on stdout."""
    done = cli("simulate", str(tiny), *options, "--time-limit", "1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_model_without_caches_is_refused(cli: Cli, tiny: Path) -> None:
    """There is nothing that requests could share."""
    tiny.write_text(TINY.replace("kv_per_token: 4 KiB, ", ""), encoding="utf-8")
    done = cli("simulate", str(tiny), *STREAM, "--time-limit", "1")
    assert "model: expected a model whose blocks have caches, got 'tiny', which has none" in done.stderr


def test_other_kinds_are_refused_by_name(cli: Cli) -> None:
    """Chains through a swarm have no model whose passes are known."""
    swarm = Path(__file__).parents[2] / "examples" / "petals_swarm.yaml"
    done = cli("simulate", str(swarm), "--rate", "1/s")
    assert done.returncode == 1
    assert "there is no model whose passes could be simulated" in done.stderr


FOUR = """
model: llama-3.1-70b
workload: {prompt_tokens: 512, output_tokens: 64, concurrency: 16}
objective: throughput
nodes: [{name: gpu, device: a100-80gb-sxm, count: 4}]
"""


def test_a_tensor_parallel_group_is_one_machine(cli: Cli, tmp_path: Path) -> None:
    """The plan holds the model on a group that the planner made; it is served as a node of its own."""
    file = tmp_path / "four.yaml"
    file.write_text(FOUR, encoding="utf-8")
    done = cli("simulate", str(file), *STREAM, "--time-limit", "2")
    assert done.returncode == 0, done.stderr
    assert "gpu-0..gpu-3" in done.stdout


def test_parts_in_main_memory_are_served(cli: Cli, tmp_path: Path) -> None:
    """Parts of blocks on the CPU of the host: requests are served, and what they take is told."""
    one_pc = ROOT / "examples" / "one_pc.yaml"
    done = cli("simulate", str(one_pc), *STREAM, "--time-limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    apart = json.loads(done.stdout)["figures"]["time_per_token_s"]["mean"]
    assert apart > 0


def test_what_is_not_simulated_is_named(cli: Cli) -> None:
    """A question that leaves its context open."""
    where = str(ROOT / "examples" / "one_pc.yaml")
    done = cli("simulate", where, *STREAM, "--time-limit", "2", "--set", "workload.context=max")
    assert done.returncode == 1
    assert "state it, with --set" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
