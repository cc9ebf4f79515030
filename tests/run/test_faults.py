"""Mistakes end with one line on the launcher; lost workers are replaced, and no token is lost or repeated."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.errors import PlacementError
from placement.kinds.pipeline.replan import replan_at_once
from placement.run import Launch, RunError, run_plan
from tests.run.tiny_models import greedy, plan_by_hand, small_cluster, some_prompts

pytestmark = pytest.mark.slow

Make = Callable[[str], Path]
PLAN = plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6))


def fails(*args: Any, **options: Any) -> str:
    """Run a plan that must fail by itself, leaving no process, and return its message: one line."""
    pids: dict[str, int] = {}
    launch = Launch(started=pids.update, port=options.pop("port", 0), timeout_s=300.0)
    with pytest.raises(PlacementError) as caught:
        run_plan(*args, launch=launch, **options)
    until = time.monotonic() + 60.0  # the kernel ends killed processes when it comes to it
    while any(_runs(pid) for pid in pids.values()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [pid for pid in pids.values() if _runs(pid)]
    assert "\n" not in str(caught.value)
    assert "time-out" not in str(caught.value)
    return str(caught.value)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return False


def test_a_plan_for_another_number_of_blocks(tiny_model: Make) -> None:
    """The plan has five blocks, the model six."""
    message = fails(plan_by_hand(("a", 0, 2), ("b", 2, 5), n_blocks=5), tiny_model("llama"), some_prompts(1), 4)
    assert "5 blocks" in message
    assert "6" in message


def test_a_plan_with_a_hole(tiny_model: Make) -> None:
    """No node holds block 2."""
    assert "block 2" in fails(plan_by_hand(("a", 0, 2), ("b", 3, 6)), tiny_model("llama"), some_prompts(1), 4)


def test_a_missing_tensor_and_a_wrong_shape(tiny_model: Make, tmp_path: Path) -> None:
    """The message names the tensor and the folder."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_model("llama"), folder)
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    name = "model.layers.2.mlp.up_proj.weight"
    file = next(path for path in folder.glob("*.safetensors") if name in load_file(path))
    tensors = load_file(file)
    save_file({**tensors, name: tensors[name][:-1].clone()}, file)
    message = fails(PLAN, folder, some_prompts(1), 4)
    assert name in message
    assert "shape" in message
    save_file({key: value for key, value in tensors.items() if key != name}, file)
    message = fails(PLAN, folder, some_prompts(1), 4)
    assert name in message
    assert "missing" in message


def test_a_pickle_checkpoint_is_refused(tiny_model: Make, tmp_path: Path) -> None:
    """A folder with a .bin only is not read."""
    shutil.copy(tiny_model("llama") / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "pickle" in fails(PLAN, tmp_path, some_prompts(1), 4)


def test_an_occupied_port(tiny_model: Make) -> None:
    """The rendezvous port belongs to somebody else."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in fails(PLAN, tiny_model("llama"), some_prompts(1), 4, port=port)


def test_no_such_model_and_no_prompt(tiny_model: Make, tmp_path: Path) -> None:
    """Mistakes of the caller."""
    assert "no-model" in fails(PLAN, tmp_path / "no-model", some_prompts(1), 4)
    assert "prompt" in fails(PLAN, tiny_model("llama"), [], 4)
    assert "from 0 to 95" in fails(PLAN, tiny_model("llama"), [[1, 96]], 4)
    assert "64 positions" in fails(PLAN, tiny_model("gpt2"), [[1, 2]], 100)


def test_without_recovery_a_lost_worker_ends_the_run(tiny_model: Make) -> None:
    """The error names the worker and carries the tokens so far."""
    with pytest.raises(RunError, match="'b'") as caught:
        run_plan(
            PLAN,
            tiny_model("gpt2"),
            some_prompts(1),
            50,
            cluster=small_cluster(3, latency_s=0.02),
            emulate_links=True,
            limit_s=1.5,
            launch=_strike("b", signal.SIGKILL, 2),
        )
    assert len(caught.value.tokens) == 1
    assert 2 <= len(caught.value.tokens[0]) < 50


@pytest.mark.parametrize(("who", "how"), [("b", signal.SIGKILL), ("c", signal.SIGSTOP)])
@pytest.mark.parametrize("after", [1, 30])
def test_a_lost_worker_is_replaced(tiny_model: Make, who: str, how: signal.Signals, after: int) -> None:
    """A worker that is killed, and one that hangs: the others take its blocks over, and the text is the same."""
    folder, prompts = tiny_model("gpt2"), some_prompts(2)
    result = run_plan(
        PLAN,
        folder,
        prompts,
        50,
        cluster=small_cluster(3, latency_s=0.02),
        emulate_links=True,
        replan=replan_at_once,
        limit_s=1.5,
        launch=_strike(who, how, after),
    )
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 50)
    assert who in result.notes[0]
    assert who not in {span.node for span in result.plan.placement}


def test_a_plan_that_goes_back_and_forth_is_replaced(tiny_model: Make) -> None:
    """Two nodes with two spans each: one is lost, the other goes on alone."""
    folder, prompts = tiny_model("llama"), some_prompts(1)
    plan = plan_by_hand(("a", 0, 2), ("b", 2, 3), ("a", 3, 4), ("b", 4, 6))
    result = run_plan(
        plan,
        folder,
        prompts,
        30,
        cluster=small_cluster(2, latency_s=0.02),
        emulate_links=True,
        replan=replan_at_once,
        limit_s=1.5,
        launch=_strike("b", signal.SIGKILL, 3),
    )
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 30)
    assert {span.node for span in result.plan.placement} == {"a"}


def _strike(who: str, how: int, after: int) -> Launch:
    """Send one worker a signal once `after` tokens have come: no clock decides when."""
    pids: dict[str, int] = {}

    def progress(tokens: int) -> None:
        if tokens >= after and who in pids:
            _kill(pids.pop(who), how)

    return Launch(started=pids.update, progress=progress)


def _kill(pid: int, how: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
