"""Stages of torch.distributed.pipelining from a plan: logits and gradients of the one-process model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from placement.errors import InputError
from placement.run.control import free_port
from placement.run.pipelining import next_token_loss, pipeline_stage, schedule, stage_spans
from tests.run.tiny_models import plan_by_hand, save_model

Make = Callable[[str], Path]
PLAN = plan_by_hand(("a", 0, 1), ("b", 1, 4), ("c", 4, 6))


def _worker(rank: int, port: int, folder: str, ids: Any, out: str) -> None:
    import torch.distributed as dist
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    stage = pipeline_stage(PLAN, model, rank, ids[:2])
    step = schedule(stage, 2, next_token_loss)
    losses: list[Any] = []
    if rank == 0:
        step.step(ids)
    elif rank == 2:
        logits = step.step(target=ids, losses=losses)
        torch.save(logits.detach(), f"{out}/logits")
    else:
        step.step()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    torch.save(grads, f"{out}/{rank}")
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_training_step_over_three_processes(kind: str, tmp_path: Path) -> None:
    """GPipe over two micro-batches gives the logits and the gradients of one process."""
    from transformers import AutoModelForCausalLM

    folder = save_model(kind, tmp_path / "model", tie_word_embeddings=False)
    ids = torch.randint(0, 96, (4, 6), generator=torch.Generator().manual_seed(0))
    port = free_port("127.0.0.1")
    spawning: Any = torch.multiprocessing
    context = spawning.start_processes(
        _worker, (port, str(folder), ids, str(tmp_path)), nprocs=3, join=False, start_method="fork"
    )
    try:
        until = time.monotonic() + 300  # `join` returns as soon as one of them has ended
        while not context.join(timeout=1):
            assert time.monotonic() < until
    finally:
        for process in context.processes:
            process.kill()
    model = AutoModelForCausalLM.from_pretrained(folder)
    logits = model(ids).logits
    losses = [next_token_loss(part, want) for part, want in zip(logits.chunk(2), ids.chunk(2), strict=True)]
    torch.autograd.backward([torch.stack(losses).mean()])
    assert torch.allclose(torch.load(tmp_path / "logits", weights_only=True), logits, atol=1e-4)
    found: dict[str, Any] = {}
    for rank in range(3):
        found |= torch.load(tmp_path / str(rank), weights_only=True)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(found[name], parameter.grad, atol=1e-3, rtol=1e-3), name


def test_plans_that_training_cannot_hold(tiny_model: Make) -> None:
    """Several runs on a node, and tied weights."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("mixtral"))
    with pytest.raises(InputError, match="several runs"):
        stage_spans(plan_by_hand(("a", 0, 2), ("b", 2, 3), ("a", 3, 6)), model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model("llama"))
    with pytest.raises(InputError, match="share"):
        stage_spans(PLAN, model)
