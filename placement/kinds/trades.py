"""What more context, more sequences or a better number format costs: the best plan for each, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from ..errors import InputError
from ..plan.plan import Plan
from ..question.request import Request
from .asked import Asked

FIRST_CONTEXT, LAST_CONTEXT = 1024, 1 << 20  # tokens; the last of a model that does not say what it was made for
MOST_SEQUENCES = 1 << 12
BY = ("context", "concurrency", "quantization")
Solve = Callable[[Asked], Plan | None]
"""The best plan of a question; None where there is none."""


@dataclass(frozen=True, slots=True)
class Traded:
    """One choice with its best plan; `beaten`: a choice before or behind it is at least as good in both."""

    choice: str
    plan: Plan
    beaten: bool = False


def traded(asked: Asked, by: str, solve: Solve, late: Callable[[], bool] = lambda: False) -> list[Traded]:
    """The best plan of each choice, as far as something fits, from the least wanted to the most wanted choice.

    Parameters
    ----------
    asked : Asked
        A question about pipelines.
    by : str
        One of `BY`: the context doubles, or the sequences in flight do; or every format of the file, the last first.
    solve : callable
    late : callable, optional
        Whether the time is over: no further choice is looked at then.

    Raises
    ------
    InputError
        The question has nothing to trade by this.
    """
    request = asked.question
    if by not in BY:
        raise InputError(f"expected one of {', '.join(BY)}, got '{by[:80]}'", "--by")
    if not isinstance(request, Request) or request.kind != "pipeline":
        raise InputError(f"this is for pipelines; the file asks for {asked.kind.name}", "--by")
    choices = {"context": _contexts, "concurrency": _sequences, "quantization": _formats}[by]
    found = []
    for choice, question in choices(replace(request, choices=None), request):
        if late():
            break
        plan = solve(replace(asked, question=question))
        if plan is None or (by == "concurrency" and plan.figures["in_flight"] < question.workload.concurrency):
            if by == "quantization":
                continue
            break
        found.append(Traded(choice, plan))
    return [replace(one, beaten=_beaten(one.plan, found[number + 1 :])) for number, one in enumerate(found)]


def _contexts(request: Request, asked: Request) -> Iterator[tuple[str, Request]]:
    work, last = request.workload, request.model.longest_context or LAST_CONTEXT
    doubled = (FIRST_CONTEXT << step for step in range(last.bit_length()))
    for tokens in (*takewhile(lambda tokens: tokens < last, doubled), last):
        if tokens > work.output_tokens:
            prompt = tokens - work.output_tokens
            yield f"{tokens:,} tokens", replace(request, workload=replace(work, prompt_tokens=prompt))


def _sequences(request: Request, asked: Request) -> Iterator[tuple[str, Request]]:
    count = 1
    while count <= MOST_SEQUENCES:
        yield f"{count:,} sequences", replace(request, workload=replace(request.workload, concurrency=count))
        count *= 2


def _formats(request: Request, asked: Request) -> Iterator[tuple[str, Request]]:
    models = asked.choices.models if asked.choices is not None else ()
    if not models:
        raise InputError("expected several formats to choose from, the best first: [q8_0, q4_k_m]", "quantization")
    for model in reversed(models):
        yield model.weights, replace(request, model=model)


def _beaten(plan: Plan, wanted_more: list[Traded]) -> bool:
    """Whether a choice that is wanted more has a value that is no worse."""
    value, maximised = plan.objective.value, plan.objective.sense == "maximize"
    others = [one.plan.objective.value for one in wanted_more]
    return any(other >= value if maximised else other <= value for other in others)
