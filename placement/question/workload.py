"""The work that a placement must carry: prompt and output lengths, sequences in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError, shown


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and how many of them run at once.

    Attributes
    ----------
    prompt_tokens : int
        Tokens of the prompt.
    output_tokens : int
        Tokens that are generated.
    concurrency : int
        Sequences that want to be in flight at once.
    rate_per_s : float or None
        Requests that come in a second, for the objective goodput; None: not stated.
    """

    prompt_tokens: int = 512
    output_tokens: int = 128
    concurrency: int = 1
    rate_per_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "output_tokens", "concurrency"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"expected a whole number of at least 1, got {value!r}", f"workload.{name}")
        rate = self.rate_per_s
        if rate is not None and (
            not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < math.inf
        ):
            raise InputError(f"expected requests/s above 0, got {shown(rate)}", "workload.rate_per_s")

    @property
    def context_tokens(self) -> int:
        """Tokens of a finished sequence: what its KV cache must hold."""
        return self.prompt_tokens + self.output_tokens

    @property
    def mean_context_tokens(self) -> float:
        """Mean context length over the decode steps of a sequence."""
        return self.prompt_tokens + self.output_tokens / 2.0
