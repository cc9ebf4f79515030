"""Devices that compute a block together: what each holds of its matrices, and the sums that they make of their parts.

Which matrices are divided by columns and which by rows is what `transformers` says of an architecture
(`base_model_tp_plan` of its configuration): after M. Shoeybi et al., "Megatron-LM", 2019, arXiv:1909.08053. Embedding
and head are divided by the words of the vocabulary, as there. Parts are plain tensors: the modules compute with them as
they are, and only the sums are ours. Layers that are made of `torch.distributed.tensor` give the same numbers, and take
the host several times as long for each matrix, which is what a decode step of eager torch waits for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .architecture import Architecture
from .transport import LinkDownError

COLUMNS, ROWS, WHOLE = "colwise", "rowwise", "replicated_with_grad_allreduce"
PAIRED, EXPERTS = "packed_colwise", "moe_tp_experts"
KNOWN = (COLUMNS, ROWS, WHOLE, PAIRED, EXPERTS)
_NUMBER = re.compile(r"\.\d+\.")


@dataclass
class TensorGroup:
    """One device of a group.

    Parameters
    ----------
    arch : Architecture
        The whole model.
    rank, size : int
        Which of the devices this is, and how many there are.

    Attributes
    ----------
    words : range
        Rows of embedding and head that are here.
    group : process group
        Of the devices; None until they have met (`join`).

    Raises
    ------
    InputError
        The model does not divide by so many devices.
    """

    arch: Architecture
    rank: int
    size: int
    words: range = field(init=False)
    group: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._plan = _plan_of(self.arch)
        config = self.arch.config
        self._heads = int(config.num_attention_heads)
        self._kv_heads = int(getattr(config, "num_key_value_heads", None) or self._heads)
        _ensure_divides(self._heads, self._kv_heads, self.size)
        rows = -(-int(config.vocab_size) // self.size)
        self.words = range(min(self.rank * rows, config.vocab_size), min((self.rank + 1) * rows, config.vocab_size))

    def join(self, group: Any) -> None:
        """Make the sums over a process group of the devices from now on."""
        first = self.group is None
        self.group = group
        if first:
            self._hook()

    def part(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return this device's part of a parameter of the causal model.

        Raises
        ------
        InputError
            The parameter does not divide by so many devices.
        """
        inner = name.removeprefix(self.arch.prefix + ".")
        module = inner.rpartition(".")[0]
        if module in ("embed_tokens", "lm_head"):
            return tensor[self.words.start : self.words.stop].clone()
        how = self._plan.get(_pattern(inner)) or self._plan.get(_pattern(module))
        if how in (None, WHOLE, EXPERTS):
            return tensor
        bias = tensor.ndim == 1
        if how == ROWS and bias:  # the sum must have it once
            return tensor if self.rank == 0 else torch.zeros_like(tensor)
        if how == PAIRED:
            gate, up = tensor.chunk(2, dim=-2)
            return torch.cat([self._cut(gate, -2, name), self._cut(up, -2, name)], dim=-2)
        pieces = min(self.size, self._kv_heads) if module.endswith((".k_proj", ".v_proj")) else self.size
        return self._cut(tensor, -1 if how == ROWS or bias else -2, name, pieces)

    def embed(self, module: nn.Module, ids: torch.Tensor) -> torch.Tensor:
        """Return the embedding of tokens (n, tokens): each device adds that of the words it has."""
        inside = (ids >= self.words.start) & (ids < self.words.stop)
        near = (ids - self.words.start).clamp(0, max(0, len(self.words) - 1))
        return self.sum(module(near).masked_fill(~inside.unsqueeze(-1), 0.0))

    def sample(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the most likely word (n, tokens) of logits (n, tokens, words of this device)."""
        best, at = logits.max(dim=-1)
        mine = torch.stack([best.double(), (at + self.words.start).double()])
        theirs = [torch.empty_like(mine) for _ in range(self.size)]
        try:
            self.group.allgather([theirs], [mine]).wait()
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None
        every = torch.stack(theirs)
        return every[:, 1].gather(0, every[:, 0].argmax(dim=0, keepdim=True))[0].long()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of what the devices have."""
        values = values.contiguous()
        try:
            self.group.allreduce([values]).wait()
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None
        return values

    def _hook(self) -> None:
        """Sum behind the modules whose outputs are parts; attention is told how many heads are here."""
        for number, layer in enumerate(self.arch.layers):
            for name, module in layer.named_modules():
                how = self._plan.get(_pattern(f"{self.arch.layers_name}.{number}.{name}"))
                if how in (ROWS, EXPERTS):
                    module.register_forward_hook(lambda _module, _args, values: self.sum(values))
                if hasattr(module, "num_key_value_groups"):
                    here = max(1, self._kv_heads // self.size)
                    module.num_key_value_groups = self._heads // self.size // here

    def _cut(self, tensor: torch.Tensor, dim: int, name: str, pieces: int = 0) -> torch.Tensor:
        """One of equal pieces; of fewer pieces than devices, several devices have the same."""
        pieces = pieces or self.size
        length, rest = divmod(tensor.shape[dim], pieces)
        if rest:
            raise InputError(
                f"'{name}' has {tensor.shape[dim]} columns or rows, which {pieces} devices cannot divide equally",
                "plan",
            )
        return tensor.narrow(dim, self.rank * pieces // self.size * length, length).clone()


def _plan_of(arch: Architecture) -> Mapping[str, str]:
    """Names of modules and parameters, ``*`` for the number of a layer, and how each is divided."""
    plan: Mapping[str, str] = getattr(arch.config, "base_model_tp_plan", None) or {}
    kind = getattr(arch.config, "model_type", "this architecture")
    if not plan or arch.position is not None:
        raise InputError(f"how a '{kind}' divides over devices is not known; plan with tensor_parallel: 1", "model")
    ends = ("embed_tokens", "lm_head")  # divided by words here, whatever is said of them
    odd = next((how for name, how in plan.items() if how not in KNOWN and not name.endswith(ends)), "")
    if odd:
        raise InputError(
            f"a '{kind}' divides in a way that is not run ('{odd}'); plan with tensor_parallel: 1", "model"
        )
    return plan


def _ensure_divides(heads: int, kv_heads: int, size: int) -> None:
    for what, number in (("attention heads", heads), ("KV heads", kv_heads)):
        if number % size and (what == "attention heads" or size % number):
            raise InputError(f"{number} {what} do not divide by the {size} devices of a group", "plan")


def _pattern(name: str) -> str:
    return _NUMBER.sub(".*.", name, count=1)
