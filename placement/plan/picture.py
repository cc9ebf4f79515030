"""What a drawing of a plan needs beside the plan: where its nodes are, links, memory by use, seconds by stage."""

from __future__ import annotations

from dataclasses import dataclass

MOST_POINTS = 200  # of a search's curve


@dataclass(frozen=True, slots=True)
class Place:
    """A node: where it is, what it is, and what its memory is used for, in bytes.

    Attributes
    ----------
    name : str
    region, host, device : str
        Empty where they are not known.
    weights_bytes, cache_bytes : float
        What the plan puts there: weights; caches of the sequences in flight, or of reserved sessions.
    pass_bytes : float
        What a pass needs for activations and logits.
    beside_bytes : float
        Memory that the driver, the system or the runtime keeps.
    memory_bytes : float
        All of it.
    main_memory : bool
        The node is the processor of its host, with the main memory.
    """

    name: str
    region: str = ""
    host: str = ""
    device: str = ""
    weights_bytes: float = 0.0
    cache_bytes: float = 0.0
    pass_bytes: float = 0.0
    beside_bytes: float = 0.0
    memory_bytes: float = 0.0
    main_memory: bool = False

    @property
    def free_bytes(self) -> float:
        """What is left."""
        used = self.weights_bytes + self.cache_bytes + self.pass_bytes + self.beside_bytes
        return max(0.0, self.memory_bytes - used)


@dataclass(frozen=True, slots=True)
class Line:
    """A link from one node to another, one way, or to "client": seconds and bytes/s; a bandwidth of 0 is not known.

    `used`: a chain of the plan goes over it.
    """

    source: str
    target: str
    latency_s: float
    bandwidth_bytes_per_s: float = 0.0
    used: bool = True


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage of the plan's first chain: seconds in it, and on the way into it.

    Attributes
    ----------
    node : str
        "client" for the way back at the end.
    decode_s, prefill_s : float
        One decode step of a micro-batch; one prompt. Prefill is 0 where the kind does not know it.
    hop_s, prompt_hop_s : float
        From the stage before, or from the client.
    """

    node: str
    decode_s: float
    prefill_s: float = 0.0
    hop_s: float = 0.0
    prompt_hop_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """After so many seconds of search: the best value so far and the proven bound, None where there was none."""

    seconds: float
    value: float | None
    bound: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything beside a plan that its page draws.

    Attributes
    ----------
    places : tuple of Place
        All nodes.
    lines : tuple of Line
        Links that chains use, and some between other places.
    stages : tuple of StageTime
    batches : int
        Micro-batches that are in flight at once.
    prompt_overlap : float
        Part of a prompt's seconds that stages spend at the same time, since chunks of it follow each other.
    work : str
        What the stages' seconds are of, in words: "a decode step of 2 sequences".
    search : tuple of SearchPoint
    block_bytes : tuple of float
        Weights of each block, where they are known: what a node loads that gets it.
    """

    places: tuple[Place, ...] = ()
    lines: tuple[Line, ...] = ()
    stages: tuple[StageTime, ...] = ()
    batches: int = 1
    prompt_overlap: float = 0.0
    work: str = ""
    search: tuple[SearchPoint, ...] = ()
    block_bytes: tuple[float, ...] = ()


def thinned(points: list[SearchPoint]) -> tuple[SearchPoint, ...]:
    """At most `MOST_POINTS` of them, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return tuple(points)
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return tuple(points[round(k * step)] for k in range(MOST_POINTS))
