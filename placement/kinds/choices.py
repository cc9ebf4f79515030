"""What a question leaves open beside the layout: the number format, the longest context, the most sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import InfeasibleError, InputError
from ..plan.plan import Plan
from ..question.request import Choices, Request
from .asked import Asked

Found = Callable[[Asked], Plan | None]
"""A plan of a question after a short search; None where none was found."""

LONGEST_CONTEXT = 1 << 20  # tokens, of a model that does not say for how many it was made
CONTEXT_STEP = 256
MOST_SEQUENCES = 1 << 12


def chosen(asked: Asked, found: Found) -> Asked:
    """The question with every choice made, each by itself and in this order: format, context, sequences.

    Parameters
    ----------
    asked : Asked
    found : callable
        Searches a question for a moment.

    Raises
    ------
    InfeasibleError
        Nothing fits, whatever is chosen.
    """
    request = asked.question
    if not isinstance(request, Request) or request.choices is None:
        return asked
    if request.kind != "pipeline":
        raise InputError(f"choices are made for pipelines only; this asks for {request.kind}", "workload")
    choices, asked = request.choices, replace(asked, question=replace(request, choices=None))
    asked = _with_format(asked, choices, found)
    if choices.context:
        asked = _with_longest(asked, found)
    if choices.concurrency:
        asked = _with_most(asked, found)
    return asked


def _with_format(asked: Asked, choices: Choices, found: Found) -> Asked:
    """The first format, in the order of the file, under which a plan keeps memory and limits."""
    names = [model.weights for model in choices.models]
    for model in choices.models:
        tried = _noted(
            asked, f"quantization: {model.weights} is the first of {', '.join(names)} that fits", model=model
        )
        if found(tried) is not None:
            return tried
    if choices.models:
        raise InfeasibleError([f"no plan was found for any quantization of {', '.join(names)}"])
    return asked


def _with_longest(asked: Asked, found: Found) -> Asked:
    """The longest context that fits and that the model was made for, in steps of 256 tokens: prompt and output."""
    model, output = asked.question.model, asked.question.workload.output_tokens
    least = output // CONTEXT_STEP + 1
    most = max(least, (model.longest_context or LONGEST_CONTEXT) // CONTEXT_STEP)

    def of(steps: int) -> Asked:
        context = steps * CONTEXT_STEP
        work = replace(asked.question.workload, prompt_tokens=max(1, context - output))
        why = "the most that fit" if model.longest_context else "the most that fit; the model may be made for fewer"
        if model.longest_context and steps == most:
            why = f"what {model.name} was made for; they fit"
        return _noted(asked, f"context: {context:,} tokens, prompt and output, are {why}", workload=work)

    def fits(steps: int) -> bool:
        return found(of(steps)) is not None

    # What most models were made for fits into most machines: asked first, it is often the only question.
    whole = bool(model.longest_context) and fits(most)
    steps = most if whole else _largest(fits, least, most)
    if steps is None:
        raise InfeasibleError([f"no plan was found for a context of {least * CONTEXT_STEP} tokens"])
    return of(steps)


def _with_most(asked: Asked, found: Found) -> Asked:
    """The most sequences whose caches fit beside the weights, under the limits."""

    def of(sequences: int) -> Asked:
        work = replace(asked.question.workload, concurrency=sequences)
        told = f"concurrency: {sequences} sequences are the most that were found to fit"
        # Several pipelines may serve more with fewer of them: not what was asked, unless the file says so.
        return _noted(asked, told, workload=work, copies=1 if asked.question.copies is None else asked.question.copies)

    def fits(sequences: int) -> bool:
        plan = found(of(sequences))
        return plan is not None and plan.figures["in_flight"] >= sequences

    most = _largest(fits, 1, MOST_SEQUENCES)
    if most is None:
        raise InfeasibleError(["no plan was found for a single sequence"])
    return of(most)


def _largest(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    """The largest number that fits, by doubling and bisection; None where not even the least does."""
    if not fits(least):
        return None
    low, high = least, least * 2
    while high <= most and fits(high):
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > max(1, low // 64):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _noted(asked: Asked, note: str, **changes: object) -> Asked:
    """The question changed, with a note of what was chosen."""
    request: Request = replace(asked.question, **changes)
    cluster = replace(request.cluster, notes=(*request.cluster.notes, note))
    return replace(asked, question=replace(request, cluster=cluster))
