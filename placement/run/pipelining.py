"""Forward and training steps: a plan's spans as stages of torch.distributed.pipelining.

The schedules of torch (GPipe, 1F1B) move activations and gradients; here every process gets the module of its span and
the `PipelineStage` around it. One span for each node: looped stages need a schedule that torch ties to their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .architecture import Architecture, block_names, find
from .chains import pipeline_of
from .job import check_plan


class SpanModule(nn.Module):
    """The blocks ``start <= b < stop`` of a causal language model: ids or states in, states or logits out; no cache.

    Parameters
    ----------
    model : nn.Module
        Causal language model of transformers; the parts outside the span are not kept.
    start, stop : int
    """

    def __init__(self, model: nn.Module, start: int, stop: int) -> None:
        super().__init__()
        arch = find(model)
        self.start, self.stop, self.n_blocks = start, stop, arch.n_blocks
        self.parts = nn.ModuleList(module for block in range(start, stop) for module in arch.modules(block))
        self.rotary = arch.rotary
        self._arch: list[Architecture] = [arch]  # in a list: a module here would register all blocks

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Pass a micro-batch (n, tokens) or (n, tokens, size) through the span."""
        arch = self._arch[0]
        where = torch.arange(values.shape[1], device=values.device).unsqueeze(0)
        if self.start == 0:
            values = arch.embed(values)
            if arch.position is not None:
                values = values + arch.position(where)
        words: dict[str, Any] = {"position_ids": where}
        if self.rotary is not None:
            words["position_embeddings"] = self.rotary(values, position_ids=where)
        for block in range(max(self.start, 1), min(self.stop, self.n_blocks - 1)):
            out = arch.layers[block - 1](values, attention_mask=None, **words)
            values = out[0] if isinstance(out, tuple) else out
        if self.stop == self.n_blocks:
            values = arch.head(arch.norm(values))
        return values


def stage_spans(plan: Plan, model: nn.Module) -> tuple[PlacedSpan, ...]:
    """Return one span for each stage, in order; raise `InputError` when a node holds several runs of blocks."""
    arch = find(model)
    check_plan(plan, arch.n_blocks, block_names(arch.n_blocks))
    spans = pipeline_of(plan)
    nodes = [span.node for span in spans]
    twice = next((node for node in nodes if nodes.count(node) > 1), None)
    if twice is not None:
        raise InputError(f"'{twice}' holds several runs of blocks; training stages are one run for each node", "plan")
    if arch.embed.weight is arch.head.weight and len(spans) > 1:
        raise InputError("embedding and head share their weights: untie them to train on several nodes", "model")
    return spans


def pipeline_stage(
    plan: Plan, model: nn.Module, rank: int, micro_batch: torch.Tensor, *, device: str = "cpu", group: Any = None
) -> Any:
    """Return the `PipelineStage` of one process; stage numbers are ranks.

    Parameters
    ----------
    plan : Plan
        Contiguous: every node holds one span. The process group has one process for each.
    model : nn.Module
        The whole model (the parts of other stages may be dropped afterwards).
    rank : int
    micro_batch : tensor of int64 (n, tokens)
        Token ids of the shape of every micro-batch.
    """
    from torch.distributed.pipelining import PipelineStage

    spans = stage_spans(plan, model)
    if not 0 <= rank < len(spans):
        raise InputError(f"the plan has {len(spans)} stages, rank {rank} has none", "plan")
    span = spans[rank]
    module = SpanModule(model, span.start, span.stop).to(device)
    config = find(model).config
    like = next(model.parameters())
    size, tokens = micro_batch.shape

    def states() -> torch.Tensor:
        # Gradients are sent back only for what is marked to need them.
        shape = (size, tokens, int(config.hidden_size))
        return torch.zeros(shape, dtype=like.dtype, device=device, requires_grad=True)

    entry = micro_batch.to(device) if rank == 0 else states()
    last = rank == len(spans) - 1
    exit_ = states().new_zeros((size, tokens, int(config.vocab_size))).requires_grad_() if last else states()
    return PipelineStage(
        module, rank, len(spans), torch.device(device), input_args=(entry,), output_args=(exit_,), group=group
    )


def schedule(
    stage: Any, n_micro_batches: int, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None
) -> Any:
    """Return a GPipe schedule: forward only without a loss, a training step with one (logits and targets)."""
    from torch.distributed.pipelining import ScheduleGPipe

    return ScheduleGPipe(stage, n_micro_batches, loss_fn=loss)


def next_token_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every next token."""
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
