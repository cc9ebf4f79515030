"""Tiny models with random weights, their greedy continuation in one process, and plans by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from placement.plan.plan import Figures, Limiter, ObjectiveValue, PlacedSpan, Plan
from placement.question.cluster import Cluster, Node

LAYERS, VOCABULARY = 4, 96


def save_model(kind: str, folder: Path, **changes: Any) -> Path:
    """Save a tiny model of an architecture as a safetensors folder."""
    import torch
    import transformers as tf

    torch.manual_seed(3)
    common = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
    # Large random weights: logits far apart, so that rounding decides nothing.
    sizes: dict[str, Any] = {**common, "num_key_value_heads": 2, "intermediate_size": 48, "initializer_range": 0.3}
    config: Any
    none = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind == "llama":
        config = tf.LlamaConfig(**{**sizes, **none, "tie_word_embeddings": True, **changes})
    elif kind == "mistral":
        config = tf.MistralConfig(**{**sizes, **none, "sliding_window": 5, **changes})
    elif kind == "mixtral":
        config = tf.MixtralConfig(**{**sizes, **none, "num_local_experts": 4, **changes})
    elif kind == "qwen2_moe":
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
        config = tf.Qwen2MoeConfig(**{**sizes, **none, **experts, "shared_expert_intermediate_size": 24, **changes})
    else:
        config = tf.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=LAYERS,
            n_head=4,
            n_positions=64,
            initializer_range=0.3,
            **{**none, **changes},
        )
    model: Any = tf.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder, max_shard_size="60KB")
    return folder


def greedy(folder: Path, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """Continue prompts of equal length in one process, by transformers' own generate."""
    import torch
    import transformers as tf

    model: Any = tf.AutoModelForCausalLM.from_pretrained(folder)
    model.eval()
    ids = torch.tensor(prompts)
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return [[int(token) for token in row] for row in out[:, ids.shape[1] :]]


def some_prompts(n: int, length: int = 7, seed: int = 0) -> list[list[int]]:
    """Random token ids."""
    rng = np.random.default_rng(seed)
    return [[int(x) for x in row] for row in rng.integers(0, VOCABULARY, (n, length))]


def plan_by_hand(*spans: tuple[str, int, int], n_blocks: int = LAYERS + 2, **changes: Any) -> Plan:
    """Make a plan from spans, without figures."""
    names = ("embed", *(f"layer.{i}" for i in range(n_blocks - 2)), "head")
    return Plan(
        status="solved",
        model="tiny",
        n_blocks=n_blocks,
        block_names=names,
        placement=tuple(PlacedSpan(*span) for span in spans),
        objective=ObjectiveValue("latency", 0.0, "s/token", "minimize", None, None, False),
        figures=Figures(),
        nodes=(),
        bottleneck=Limiter("node", spans[0][0], 0.0),
        **changes,
    )


def small_cluster(n: int, *, latency_s: float = 0.001, memory: float = 1e9) -> Cluster:
    """Nodes a, b, c, ... that differ in speed, all linked alike."""
    nodes = tuple(
        Node(name=name, memory_bytes=memory, decode_s_per_block=(0.001 * (k + 1),), prefill_s_per_block=(0.002,))
        for k, name in enumerate("abcdefgh"[:n])
    )
    latency = np.full((n + 1, n + 1), latency_s)
    bandwidth = np.full((n + 1, n + 1), 1e8)
    np.fill_diagonal(latency, 0.0)
    np.fill_diagonal(bandwidth, np.inf)
    return Cluster(nodes, latency, bandwidth)
