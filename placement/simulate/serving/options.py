"""What a serving engine is told, apart from its policy."""

from __future__ import annotations

from dataclasses import dataclass

from placement.costs.engines import PASS_TOKENS, HostCosts
from placement.errors import InputError


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of an engine, named as vLLM names them.

    Attributes
    ----------
    max_num_seqs : int
        Sequences that run at once in one instance.
    max_num_batched_tokens : int
        Tokens in one pass.
    max_model_len : int
        Longest sequence, and what a policy reserves that knows no better; 0: that of the longest request.
    block_size : int
        Tokens of a cache block.
    kv_blocks : int or None
        Cache blocks of an instance; by default what the plan's memory leaves.
    memory_share : float or None
        Part of each device's memory that the engine may use (`gpu_memory_utilization`); by default the plan's capacity.
    ahead : bool or None
        Passes are prepared one ahead (vLLM's asynchronous scheduling); by default where the policy does so and one
        micro-batch is under way at a time.
    micro_batches : int
        Micro-batches under way at once in one instance; 0: one per stage.
    instances : tuple of (int, int)
        Sequences and micro-batches of each instance, where they are not alike; no more than `max_num_seqs` run.
    swap_bytes_per_s : float
        Between device and host memory, for policies that swap.
    host : HostCosts or None
        By default those of `HostCosts` for engines, none where the plan's runtime is another: its costs have them.
    """

    max_num_seqs: int = 256
    max_num_batched_tokens: int = PASS_TOKENS
    max_model_len: int = 0
    block_size: int = 16
    kv_blocks: int | None = None
    memory_share: float | None = None
    ahead: bool | None = None
    micro_batches: int = 0
    instances: tuple[tuple[int, int], ...] = ()
    swap_bytes_per_s: float = 25e9
    host: HostCosts | None = None

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "block_size"):
            value, least = getattr(self, name), 0 if name == "max_model_len" else 1
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 100_000_000:
                raise InputError(f"expected a whole number of at least {least}, got {value!r}", name)
        if self.block_size > 4096:
            raise InputError(f"expected at most 4096, got {self.block_size}", "block_size")
        if self.kv_blocks is not None and self.kv_blocks < 1:
            raise InputError(f"expected a whole number of at least 1, got {self.kv_blocks!r}", "kv_blocks")
        if self.memory_share is not None and not 0.0 < self.memory_share <= 1.0:
            raise InputError(f"expected a share above 0 and at most 1, got {self.memory_share!r}", "memory_share")
        if not 0 <= self.micro_batches <= 1024:
            raise InputError(f"expected a whole number from 0 to 1024, got {self.micro_batches!r}", "micro_batches")
        for sequences, groups in self.instances:
            if not 1 <= groups <= sequences <= self.max_num_seqs:
                raise InputError(
                    f"expected from 1 micro-batch to {self.max_num_seqs} sequences, got {sequences} in {groups}",
                    "instances",
                )
        if not self.swap_bytes_per_s > 0:
            raise InputError(f"expected bytes/s above 0, got {self.swap_bytes_per_s!r}", "swap_bytes_per_s")
