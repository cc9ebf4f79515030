"""`export`, `import` and `solve --runtime` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placement.export import RUNTIMES

from .conftest import Cli


def solved(cli: Cli, tiny: Path, *options: str) -> Path:
    """A plan of the tiny cluster."""
    out = tiny.parent / "plan.json"
    done = cli("solve", tiny, "--time-limit", "1", "--quiet", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out


def written(tiny: Path, spans: list[tuple[str, int, int]], plan: Path) -> Path:
    """The same plan with other spans."""
    data = json.loads(plan.read_text(encoding="utf-8"))
    data["placement"] = [{"node": node, "start": start, "stop": stop} for node, start, stop in spans]
    other = tiny.parent / "other.json"
    other.write_text(json.dumps(data), encoding="utf-8")
    return other


def test_export_import_score(cli: Cli, tiny: Path) -> None:
    """The three commands of the README fit together."""
    plan = solved(cli, tiny, "--runtime", "vllm")
    exported = cli("export", plan, "--to", "vllm", "--out", "split.sh")
    assert exported.returncode == 0
    assert exported.stdout == ""
    assert "note: " in exported.stderr
    done = cli("import", tiny, "--from", "vllm", "--split", "split.sh", "--out", "mine.json", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["placement"] == json.loads(plan.read_text(encoding="utf-8"))["placement"]
    scored = cli("score", tiny, "--plan", "mine.json", "--time-limit", "1", "--json")
    assert json.loads(scored.stdout)["gap_to_best"] is not None


PC = """
model: gpt-oss-20b
nodes:
  - {name: card, device: rtx-3080-10gb, host: pc}
  - {name: cpu, host: pc, main_memory: true, memory: 30 GiB, memory_bandwidth: 60 GB/s, compute: 1 TFLOP/s}
network: {}
"""


def test_one_pc_runs_the_command_of_its_plan(cli: Cli, tmp_path: Path) -> None:
    """Nobody names a runtime before the export: its other name will do, the card is a device of the host, no server."""
    (tmp_path / "pc.yaml").write_text(PC, encoding="utf-8")
    done = cli("solve", "pc.yaml", "--time-limit", "1", "--quiet", "--out", "plan.json")
    assert done.returncode == 0, done.stderr
    done = cli("export", "plan.json", "--to", "ollama")
    assert done.returncode == 0, done.stderr
    assert "note: ollama runs llama.cpp" in done.stderr
    assert "note: the command runs on 'pc', where card is CUDA0" in done.stderr
    assert "--device CUDA0" in done.stdout
    assert "rpc" not in done.stdout


def test_refusals_say_why_and_nearest_helps(cli: Cli, tiny: Path) -> None:
    """An embedding on its own is refused by vLLM; the nearest plan has it with layer 0, and both costs are told."""
    plan = solved(cli, tiny)
    odd = written(tiny, [("a", 0, 1), ("b", 1, 5), ("c", 5, 6), ("a", 6, 8)], plan)
    refused = cli("export", odd, "--to", "vllm")
    assert refused.returncode == 1
    assert (
        f"error: {odd}: vllm gives every node one run of layers, 'a' has several; vllm keeps the embedding"
        in refused.stderr
    )
    helped = cli("export", odd, "--to", "vllm", "--nearest", tiny, "--time-limit", "1", "--json")
    assert helped.returncode == 0, helped.stderr
    assert "nearest plan: latency" in helped.stderr
    assert "your plan: " in helped.stderr
    data = json.loads(helped.stdout)
    assert len(data["refused"]) == 2
    assert data["text"].count("VLLM_PP_LAYER_PARTITION") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "distributed-llama"])
def test_what_is_planned_for_a_runtime_can_be_held(cli: Cli, tiny: Path, name: str) -> None:
    """`runtime:` in the file leads to a plan that its exporter takes."""
    tiny.write_text(tiny.read_text(encoding="utf-8") + f"runtime: {name}\n", encoding="utf-8")
    plan = solved(cli, tiny)
    done = cli("export", plan, "--to", name, "--cluster", tiny)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "vlm"], "unknown runtime 'vlm'; did you mean 'vllm'?"),
        (["--to", "vllm", "--at", "x=1"], "--at: the plan has no node 'x'"),
        (["--to", "vllm", "--at", "x"], "--at: expected NODE=ADDRESS, got 'x'"),
        (["--to", "vllm", "--at", "a=1", "--at", "b=1"], "--at: '1' is given to several nodes"),
        (["--to", "distributed-llama"], "cannot hold a layer placement"),
    ],
)
def test_mistakes_are_one_line(cli: Cli, tiny: Path, words: list[str], message: str) -> None:
    """No traceback."""
    done = cli("export", solved(cli, tiny), *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "vllm", "--split", "2,3"], "the split has 2 stages, there are 3 nodes"),
        (["--from", "vllm", "--split", "2,3", "--nodes", "a,b"], "the split has 5 layers, the model has 6"),
        (["--from", "vllm", "--split", "two", "--nodes", "a,b"], "expected VLLM_PP_LAYER_PARTITION"),
        (["--from", "llama.cpp", "--split", "-ts 1,1", "--nodes", "a,z"], "there is no node 'z'"),
        (["--from", "accelerate", "--split", '{"model.embed_tokens": 0}'], "does not cover layer 0"),
    ],
)
def test_splits_that_do_not_fit(cli: Cli, tiny: Path, words: list[str], message: str) -> None:
    """The line says what is wrong with the split."""
    done = cli("import", tiny, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_split_that_does_not_fit_in_memory_is_written(cli: Cli, tiny: Path) -> None:
    """It is what somebody has: exit code 2, the broken rule, and a plan that `score` reads."""
    done = cli("import", tiny, "--from", "llama.cpp", "--split", "-ts 1,2", "--nodes", "a,c", "--out", "mine.json")
    assert done.returncode == 2
    assert "breaks a rule: c lacks" in done.stdout
    assert cli("score", tiny, "--plan", "mine.json", "--time-limit", "1").returncode == 2


def test_an_unknown_runtime_in_the_file(cli: Cli, tiny: Path) -> None:
    """The file and the key are named."""
    done = cli("solve", tiny, "--set", "runtime=lama.cpp")
    assert done.returncode == 1
    assert "tiny.yaml: runtime: unknown runtime 'lama.cpp'; did you mean 'llama.cpp'?" in done.stderr


def test_copies_are_for_runtimes_that_have_them(cli: Cli, tiny: Path) -> None:
    """A replicated placement is refused before the search."""
    done = cli("solve", tiny, "--set", "placement=replicated", "--runtime", "vllm")
    assert done.returncode == 1
    assert "runtime: vllm holds every block once, the placement is replicated" in done.stderr
