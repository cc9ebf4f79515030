"""A private swarm of four servers, and what a client measures on it: runs in Petals' environment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import launcher
import torch

from objectives.routes.swarm import HOP_S, route_of
from placement.petals.client import view_of
from placement.petals.view import View

MODEL = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
PROMPT, TOKENS = [3, 17, 42, 99, 7, 256, 11], 16
# Four places: a near the client and slow, b and c near each other across an ocean, d in between.
RTT_S = {
    "a": {"client": 0.02, "b": 0.16, "c": 0.16, "d": 0.07},
    "b": {"client": 0.12, "a": 0.16, "c": 0.004, "d": 0.10},
    "c": {"client": 0.12, "a": 0.16, "b": 0.004, "d": 0.10},
    "d": {"client": 0.06, "a": 0.07, "b": 0.10, "c": 0.10},
}
BLOCK_S = {"a": 0.012, "b": 0.002, "c": 0.002, "d": 0.006}
SIZES = {"b": 6, "c": 4, "a": 4, "d": 5}  # in the order in which they join


def checkpoint(folder: Path) -> Path:
    """A tiny Llama with random weights; large ones, so that tokens vary."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**cast(dict[str, Any], MODEL))).save_pretrained(folder, safe_serialization=False)
    return folder


def local_tokens(folder: Path) -> list[int]:
    """What the model says on one machine."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    return generate(model, TOKENS)[0]


def generate(model: Any, count: int) -> tuple[list[int], list[float]]:
    """Greedy tokens, and the seconds of every one after the first."""
    ids, times = torch.tensor([PROMPT]), []
    with torch.inference_mode():
        if not hasattr(model, "inference_session"):
            found = model.generate(ids, max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0)
            return found[0].tolist(), []
        with model.inference_session(max_length=64) as session:
            for k in range(count):
                began = time.perf_counter()
                given = ids if k == 0 else None
                model.generate(
                    given, max_new_tokens=1, do_sample=False, eos_token_id=-1, pad_token_id=0, session=session
                )
                if k:
                    times.append(time.perf_counter() - began)
        return session.output_ids[0].tolist(), times


def client(swarm: launcher.Swarm) -> Any:
    """A model whose blocks are in the swarm."""
    from petals import AutoDistributedModelForCausalLM

    return AutoDistributedModelForCausalLM.from_pretrained(
        str(swarm.model),
        initial_peers=[swarm.first],
        dht_prefix=launcher.PREFIX,
        torch_dtype=torch.float32,
        max_retries=6,
        update_period=5,
        show_route=False,
    )


@dataclass(frozen=True)
class Measured:
    """A run: tokens, median seconds per token, the chain by names, and both predictions for it."""

    tokens: list[int]
    token_s: float
    chain: tuple[tuple[str, int, int], ...]
    star_s: float
    chain_s: float

    def row(self, label: str) -> str:
        """A line of the table."""
        way = " ".join(f"{name}[{start}:{stop}]" for name, start, stop in self.chain)
        figures = f"{self.token_s * 1e3:8.0f} {self.star_s * 1e3:8.0f} {self.chain_s * 1e3:8.0f}"
        return f"{label:<34}{figures}  {way}"


HEAD = f"{'':<34}{'measured':>8} {'star':>8} {'chain':>8}  chain  (ms per token)"


def manager_of(model: Any) -> Any:
    """Its sequence manager."""
    return model.model.layers.sequence_manager


def view_now(model: Any) -> View:
    """The swarm as this client sees it now."""
    manager = manager_of(model)
    return view_of(list(manager.state.sequence_info.spans_by_priority), manager.ping_aggregator.to_dict(), len(manager))


def measure(swarm: launcher.Swarm, model: Any, warm: int = 6) -> Measured:
    """Generate twice, the first time for warming up and for calibration; the route is asked for in between."""
    generate(model, warm)
    manager = manager_of(model)
    names = {peer: name for name, peer in swarm.peer_ids.items()}
    spans = manager.make_sequence(mode="min_latency", cache_tokens_needed=64)
    chain = tuple((names[span.peer_id.to_base58()], span.start, span.end) for span in spans)
    hop_s = manager.chooser.calibration.hop_s if hasattr(manager, "chooser") else HOP_S
    world = view_now(model).swarm(hop_s)
    way = tuple(world.names.index(swarm.peer_ids[name]) for name, start, stop in chain for _ in range(start, stop))
    star, line = route_of(world, way, "star").latency_s, route_of(world, way, "chain").latency_s
    tokens, times = generate(model, TOKENS)
    return Measured(tokens, sorted(times)[len(times) // 2], chain, star, line)


def words(spans: Mapping[str, tuple[int, int]], name: str) -> tuple[str, str]:
    """Arguments of run_server for a placement."""
    return "--block_indices", f"{spans[name][0]}:{spans[name][1]}"
