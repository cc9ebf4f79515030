"""Memory of a pass by runtime: what a device needs beside the weights and caches of its blocks.

A node must keep free, for the part of the model that it may get::

    context + activations * tokens * widest activation + logits_tokens * 4 * vocabulary
    + attention scores (without a fused kernel) + fragmentation * memory

`tokens` are those of one pass: a chunk of the prompt, or all of it where a runtime does not cut prompts.
"""

from __future__ import annotations

from ..catalog import hardware
from ..catalog.hardware import lineage
from ..question.cluster import Node
from ..question.model import Model
from ..question.workload import Workload
from .links import LOGIT_BYTES, vocabulary
from .runtimes import RuntimeCosts, class_of


def pass_tokens(workload: Workload, costs: RuntimeCosts) -> int:
    """Tokens of the longest pass."""
    limit = costs.memory.tokens or workload.prompt_tokens
    return min(workload.prompt_tokens, limit)


def workspace_bytes(model: Model, workload: Workload, costs: RuntimeCosts) -> float:
    """Bytes of buffers for one pass: activations of its tokens, and logits where the runtime holds them."""
    widest = max(block.activation_bytes_per_token for block in model.blocks)
    logits = min(costs.memory.logits_tokens, pass_tokens(workload, costs)) * LOGIT_BYTES * vocabulary(model)
    return costs.memory.activations * pass_tokens(workload, costs) * widest + logits


def keeps_reserve(node: Node) -> bool:
    """Whether no runtime gets the reserve: the system keeps it (unified memory), or somebody stated another one."""
    if "apple" in lineage(class_of(node)):
        return True
    usual = hardware.device(node.device).reserve_bytes * node.tensor_parallel if node.device else 0.0
    return not node.members and abs(node.reserve_bytes - usual) > 1.0


def capacity_bytes(node: Node, model: Model, workload: Workload, costs: RuntimeCosts) -> float:
    """Memory of a node that is left for weights and caches.

    Parameters
    ----------
    node : Node
        Its memory and reserve are those of all its devices together.
    model : Model
    workload : Workload
    costs : RuntimeCosts

    Returns
    -------
    float
        Bytes; negative where a pass alone does not fit.
    """
    memory = costs.memory
    accelerator = "cpu" not in lineage(class_of(node)) and "edge" not in lineage(class_of(node))
    context = memory.context_bytes * node.tensor_parallel if accelerator else 0.0
    kept = max(node.reserve_bytes * (1.0 if keeps_reserve(node) else memory.reserve_share), context)
    return node.memory_bytes * (1.0 - memory.fragmentation) - kept - workspace_bytes(model, workload, costs)
