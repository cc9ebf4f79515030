"""Stages of vLLM, SGLang and Megatron: layers per stage by a list or by the runtime's own rule; groups of devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import InputError, shown
from ..plan.plan import PlacedSpan
from ..quantities import whole_number
from .base import Source, counts_in, named_nodes, placed
from .flags import Flags

Rule = Callable[[int, int], list[int]]


@dataclass(frozen=True, slots=True)
class Words:
    """How a runtime calls things.

    Attributes
    ----------
    key : str
        The environment variable with the layers of every stage.
    stages, group, copies : tuple of str
        Flags for the number of stages, devices of a stage, and copies of the whole.
    rule : callable
        Layers of every stage where no list is given, from the number of layers and of stages.
    """

    key: str
    stages: tuple[str, ...]
    group: tuple[str, ...]
    copies: tuple[str, ...]
    rule: Rule


def read_stages(source: Source, words: Words, example: str) -> tuple[PlacedSpan, ...]:
    """The layout of a variable, a command line or both; raise `InputError` where they contradict each other."""
    flags = Flags.of(source.text)
    stages, group = count_of(flags, words.stages), count_of(flags, words.group)
    copies = count_of(flags, words.copies) or 1
    stated = re.search(rf"{re.escape(words.key)}\s*[=\s]", source.text) or not flags.pairs
    if stated:
        counts = counts_in(source.text, words.key, f"{words.key}={example}")
    elif stages is None and group is None:
        raise InputError(f"expected {words.key}={example}, or {words.stages[-1]}, got {shown(source.text)}")
    else:
        counts = words.rule(source.n_layers, stages or 1)
    if stages is not None and len(counts) != stages:
        raise InputError(f"{words.key} has {len(counts)} stages, {flags.first(words.stages)} says {stages}")
    nodes = grouped_nodes(source, len(counts) * copies, group, flags.first(words.group))
    each = (nodes[k : k + len(counts)] for k in range(0, len(nodes), len(counts)))  # a copy's nodes follow each other
    return tuple(span for mine in each for span in placed(list(zip(mine, counts, strict=True)), source.n_layers))


def grouped_nodes(source: Source, stages: int, group: int | None, flag: str) -> tuple[str, ...]:
    """The node of each stage: as many nodes as stages, or groups of devices that follow each other.

    Parameters
    ----------
    stages : int
    group : int or None
        Devices of a stage, where the text says so.
    flag : str
        What says so.
    """
    nodes = named_nodes(source)
    if group and group > 1 and len(nodes) == stages * group:
        several = next((node for node in nodes if source.together.get(node, 1) > 1), None)
        if several is not None:
            raise InputError(f"{flag} is {group}, and '{several}' is {source.together[several]} devices already")
        return tuple("+".join(nodes[k : k + group]) for k in range(0, len(nodes), group))
    nodes = named_nodes(source, stages)
    for node in nodes if group else ():
        if source.together.get(node, group or 1) != group:
            raise InputError(f"{flag} is {group}, and '{node}' is {source.together[node]} devices")
    return nodes


def count_of(flags: Flags, names: Sequence[str]) -> int | None:
    """The whole number of a flag, None where it is not there."""
    text = flags.value(*names)
    if text is None:
        return None
    number = whole_number(text, 5)
    if not number:
        raise InputError(f"{flags.first(tuple(names))}: expected a whole number of at least 1, got {shown(text)}")
    return number


def but_last(n_layers: int, stages: int) -> list[int]:
    """VLLM's rule (`vllm.distributed.utils.get_pp_indices`): the rest goes to the stages before the last one."""
    each, rest = divmod(n_layers, stages)
    counts = [each] * stages
    for k in range(2, rest + 2):
        counts[-k] += 1
    return counts


def at_the_end(n_layers: int, stages: int) -> list[int]:
    """SGLang's rule (`sglang.srt.distributed.utils.get_pp_indices`): the rest goes to the last stages."""
    each, rest = divmod(n_layers, stages)
    return [each + (k >= stages - rest) for k in range(stages)]
