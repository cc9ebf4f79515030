"""Hosts of different versions: workers as torchrun starts them, one from a copy of the package of another version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.plan.plan import VERSION
from placement.run.control import free_port
from tests.run.tiny_models import plan_by_hand

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def other_version(folder: Path) -> Path:
    """Copy the packages and change their version."""
    for name in ("placement", "objectives"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "placement" / "plan" / "plan.py"
    text = file.read_text(encoding="utf-8")
    line = f'VERSION = "{VERSION}"'
    assert line in text
    file.write_text(text.replace(line, 'VERSION = "9.9.9"'), encoding="utf-8")
    return folder


def test_a_worker_of_another_version(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    """Both end by themselves, with one line that names both versions."""
    plan_by_hand(("a", 0, 3), ("b", 3, 6)).save(tmp_path / "plan.json")
    port, workers = free_port("127.0.0.1"), []
    for rank, sources in enumerate((ROOT, other_version(tmp_path / "other"))):
        env = os.environ | {
            "PYTHONPATH": str(sources),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_RANK": "0",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "placement.run.worker", str(tmp_path / "plan.json")]
        command += ["--model", str(tiny_model("llama")), "--ids", "1,2,3", "--tokens", "4"]
        workers.append(
            subprocess.Popen(command, env=env, cwd=sources, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    ends = [worker.communicate(timeout=60) for worker in workers]
    assert all(worker.returncode not in (0, None) for worker in workers)
    errors = [line for _, text in ends for line in text.splitlines() if "runs version" in line]
    assert any("9.9.9" in line and VERSION in line for line in errors), ends
    assert not any("Traceback" in text for _, text in ends), ends
