"""The work that a placement must carry: prompt and output lengths, sequences in flight."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InputError


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
    """

    prompt_tokens: int = 512
    output_tokens: int = 128
    concurrency: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"expected a whole number of at least 1, got {value!r}", f"workload.{field.name}")

    @property
    def context_tokens(self) -> int:
        """Tokens of a finished sequence: what its KV cache must hold."""
        return self.prompt_tokens + self.output_tokens

    @property
    def mean_context_tokens(self) -> float:
        """Mean context length over the decode steps of a sequence."""
        return self.prompt_tokens + self.output_tokens / 2.0
