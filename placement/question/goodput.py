"""Goodput: at a rate of requests, those by time that are served within limits; what is wanted most, or a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from .workload import Workload

GOODPUT = "goodput"
GROUND = "throughput"  # the objective by which a single layout is judged where goodput is wanted
ALONE = "goodput is simulated, and stands alone: expected it without other objectives"


@dataclass(frozen=True, slots=True)
class Goodput:
    """The rate that comes, and what a user takes for good.

    Attributes
    ----------
    rate_per_s : float
        Requests that come in a second.
    ttft_s, time_per_token_s : float
        Most seconds to the first token, and per token after it; infinite: no limit.
    least_per_s : float or None
        Requests/s within the limits that a plan must serve, beside another objective; None: goodput is the objective.
    """

    rate_per_s: float
    ttft_s: float = math.inf
    time_per_token_s: float = math.inf
    least_per_s: float | None = None

    @classmethod
    def of(cls, workload: Workload, limits: Mapping[str, float], least_per_s: float | None = None) -> Goodput:
        """What a workload and limits by term ask for; `least_per_s` as the attribute.

        Raises
        ------
        InputError
            There is no rate, or no limit on TTFT or time per token.
        """
        if workload.rate_per_s is None:
            raise InputError("goodput needs the rate at which requests come: give --rate 4/s", "workload.rate")
        if not limits.keys() & {"ttft", "latency"}:
            raise InputError("goodput needs ttft, time_per_token or both: give --limit ttft=2s", "limits")
        return cls(workload.rate_per_s, limits.get("ttft", math.inf), limits.get("latency", math.inf), least_per_s)

    @property
    def key(self) -> str:
        """Where a file asks for it."""
        return "objective" if self.least_per_s is None else f"limits.{GOODPUT}"
