"""A Llama of plain torch with the names of transformers: for machines where transformers is not installed.

The executor's stages and the profiler take it as it is; weights are random, so only its speed means something.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as f


class Norm(nn.Module):
    """Root mean square norm."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale to unit root mean square."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Rotary(nn.Module):
    """Cosines and sines of positions."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (1, tokens, size) each."""
        steps = torch.arange(0, self.size, 2, device=x.device, dtype=torch.float32)
        angles = position_ids[..., None].float() * (10_000.0 ** (-steps / self.size))
        both = torch.cat([angles, angles], dim=-1)
        return both.cos().to(x.dtype), both.sin().to(x.dtype)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat([-high, low], dim=-1) * sin[:, None]


class Attention(nn.Module):
    """Grouped-query attention."""

    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.number, self.size = number, config.head_dim
        hidden, heads, kv = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
        self.q_proj = nn.Linear(hidden, heads * self.size, bias=False)
        self.k_proj = nn.Linear(hidden, kv * self.size, bias=False)
        self.v_proj = nn.Linear(hidden, kv * self.size, bias=False)
        self.o_proj = nn.Linear(heads * self.size, hidden, bias=False)

    def forward(self, x: torch.Tensor, cache: Any, around: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Attend to everything before."""
        batch, tokens, _ = x.shape
        q, k, v = (
            p(x).view(batch, tokens, -1, self.size).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        keys, values = cache.update(_rotate(k, *around), v, self.number)
        out = f.scaled_dot_product_attention(_rotate(q, *around), keys, values, is_causal=tokens > 1, enable_gqa=True)
        projected: torch.Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, tokens, -1))
        return projected


class Mlp(nn.Module):
    """Gated feed-forward network."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate, up, down."""
        out: torch.Tensor = self.down_proj(f.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config, number), Mlp(config)
        self.input_layernorm, self.post_attention_layernorm = Norm(config.hidden_size), Norm(config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: Any = None,
        position_ids: Any = None,
        cache: Any = None,
        use_cache: bool = True,
        position_embeddings: Any = None,
    ) -> Any:
        """Attention and feed-forward, each with its residual."""
        del attention_mask, position_ids, use_cache
        x = hidden_states + self.self_attn(self.input_layernorm(hidden_states), cache, position_embeddings)
        return x + self.mlp(self.post_attention_layernorm(x))


class PlainLlama(nn.Module):
    """The whole model, on the meta device until its blocks are given weights."""

    base_model_prefix = "model"

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.config = SimpleNamespace(head_dim=values["hidden_size"] // values["num_attention_heads"], **values)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(values["vocab_size"], values["hidden_size"])
        self.model.layers = nn.ModuleList(Layer(self.config, k) for k in range(values["num_hidden_layers"]))
        self.model.norm = Norm(values["hidden_size"])
        self.model.rotary_emb = Rotary(self.config.head_dim)
        self.lm_head = nn.Linear(values["hidden_size"], values["vocab_size"], bias=False)


def make(values: dict[str, Any], dtype: str) -> nn.Module:
    """Return the model without memory, in a number format."""
    with torch.device("meta"):
        return PlainLlama(values).to(getattr(torch, dtype)).eval()
