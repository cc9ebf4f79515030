"""`placement trade` end to end: fronts of context, sequences and formats against the objective."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Cli

PC = """
model: llama-3.1-8b
quantization: [q8_0, q4_k_m]
workload: {prompt_tokens: 512, output_tokens: 128}
nodes:
  - {name: gpu, memory: 12 GiB, memory_bandwidth: 400 GB/s, compute: 30 TFLOP/s}
"""


def test_a_longer_context_is_slower(cli: Cli, tmp_path: Path) -> None:
    """Contexts double as far as they fit; each has a plan, and none is beaten by a longer one."""
    file = tmp_path / "pc.yaml"
    file.write_text(PC.replace("[q8_0, q4_k_m]", "q4_k_m"))
    done = cli("trade", file, "--by", "context", "--time-limit", 4, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["choices"]
    assert [row["choice"] for row in rows[:2]] == ["1,024 tokens", "2,048 tokens"]
    values = [row["objective"]["value"] for row in rows]
    assert values == sorted(values)
    assert len(values) < 8  # not everything fits that the model was made for
    assert not any(row["beaten"] for row in rows)


def test_formats_against_speed(cli: Cli, tmp_path: Path) -> None:
    """The smaller format first; it is faster, so neither is beaten."""
    file = tmp_path / "pc.yaml"
    file.write_text(PC)
    done = cli("trade", file, "--by", "quantization", "--time-limit", 4)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("q4_k_m")
    assert lines[2].startswith("q8_0")
    assert "beaten" not in done.stdout


def test_nothing_to_trade_is_refused(cli: Cli, tmp_path: Path) -> None:
    """One line each for an unknown choice, and for formats where the file has one."""
    file = tmp_path / "pc.yaml"
    file.write_text(PC.replace("[q8_0, q4_k_m]", "q4_k_m"))
    done = cli("trade", file, "--by", "speed")
    assert done.returncode == 1
    assert "expected one of context, concurrency, quantization" in done.stderr
    done = cli("trade", file, "--by", "quantization")
    assert done.returncode == 1
    assert "expected several formats" in done.stderr
