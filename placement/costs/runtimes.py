"""What a plan costs under the runtime that will run it: rates, overheads, hops and memory, from one catalog file.

`placement/catalog/runtimes.yaml` holds the figures and their sources. A figure is looked up by device class, then by
the parents of the class; of each class the fitted figures come first, then those of the runtime that it inherits from.
A group of measurements that was too small to speak for itself has no entry, so it inherits. Without a runtime, a node's
own figures (the catalog's by device class, or the file's) are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ..catalog import hardware
from ..catalog.hardware import lineage
from ..catalog.runtimes import entries, fitted, runtime_aliases
from ..errors import InputError, nearest
from ..question.cluster import Node

GENERIC = "generic"
Figures = Mapping[str, Mapping[str, float]]
KEYS: Mapping[str, str] = MappingProxyType(
    {
        "bandwidth": "sustained over peak when weights of 16 bits are read",
        "quantized_bandwidth": "what quantized weights reach of `bandwidth`",
        "compute": "sustained over peak in matrix products of 16 bits and many rows",
        "quantized_compute": "the same for quantized weights, of the peak of `quantized_in`",
        "format_compute": "what products of a number format reach of the compute of others, the file's own too",
        "attention_compute": "sustained over peak in attention scores of a prompt, in kernels of their own",
        "step_attention_compute": "the same of a decode step",
        "half_rows": "rows of a matrix product at which half of `compute` is reached",
        "small_rows": "cost of a product of one row, in rows",
        "expert_half_rows": "as half_rows, of the products of one expert: tiles that its rows do not fill",
        "expert_small_rows": "as small_rows, of the products of one expert",
        "cache_bandwidth": "what reading caches reaches of `bandwidth`: less than 1 without fused attention",
        "score_bytes": "bytes through memory per attention score of a prompt, without fused attention",
        "core_gb_s": "GB of quantized weights that one core of a CPU reads and unpacks in a second",
        "work": "operations per multiply-add of quantized weights in a decode step: unpacking counts",
        "overhead_us": "launches of one block and pass",
        "barrier_us": "more of it per core of a CPU: threads wait for each other after every operation",
        "expert_overhead_us": "more of it for a block with routed experts",
        "pass_us": "once per pass of a stage",
        "sequence_us": "once per pass and sequence: sampling, its row of the batch",
        "all_reduce_us": "one all-reduce, beside what its link says",
        "serial_share": "part of a block that tensor parallelism does not split",
    }
)
"""The figures of a device class, with what each means; times in microseconds."""


@dataclass(frozen=True, slots=True)
class Hops:
    """What a message between stages takes beside the latency and bandwidth of its link.

    Attributes
    ----------
    within_s, between_s : float
        Seconds, within a host and over a network.
    width : float
        Bytes of a value that crosses over those of the model's activations: 2 where it crosses in 32 bits.
    embeds_at_client : bool
        The embedding is looked up beside the client: activations, not tokens, go to the first stage.
    graph_bytes : float
        Bytes per block that go to a remote stage with every pass.
    returns_logits : bool
        The last stage sends logits, 4 bytes per entry of the vocabulary, to the client; else a token.
    chunk_tokens : int
        Longest part of a prompt that passes at once; 0: the whole prompt.
    overlap : float
        Share, 0 to 1, of the ideal gain that chunks in a pipeline of stages bring.
    star : bool
        An all-reduce goes through one root; else round a ring.
    """

    within_s: float = 0.0
    between_s: float = 0.0
    width: float = 1.0
    embeds_at_client: bool = False
    graph_bytes: float = 0.0
    returns_logits: bool = False
    chunk_tokens: int = 0
    overlap: float = 0.0
    star: bool = False


@dataclass(frozen=True, slots=True)
class PassMemory:
    """What a runtime holds on a device beside weights and caches.

    Attributes
    ----------
    context_bytes : float
        Of the driver and the libraries on an accelerator.
    tokens : int
        Most tokens of a pass; 0: a whole prompt.
    activations : float
        Buffers alive at once, in activations of a pass.
    logits_tokens : float
        Tokens whose logits (4 bytes per entry of the vocabulary) are held where the head is: counted on every node.
    fragmentation : float
        Share of the memory that stays unused.
    reserve_share : float
        What of the catalog's reserve of a device is still kept: the context stands for it where it is 0. The part of
        unified memory that the system keeps, and what the file states, is kept.
    """

    context_bytes: float = 0.0
    tokens: int = 0
    activations: float = 4.0
    logits_tokens: float = 0.0
    fragmentation: float = 0.0
    reserve_share: float = 1.0


@dataclass(frozen=True, slots=True)
class RuntimeCosts:
    """Costs of one runtime.

    Attributes
    ----------
    name : str
    aliases : tuple of str
    chain : tuple of mapping
        Hand-written figures by device class and key (`KEYS`), this runtime's own first, then those that it inherits.
    fitted : tuple of mapping
        The same, fitted on measurements; of one class they win over the hand-written ones.
    own : tuple of mapping
        Hand-written figures of a runtime that another one's measurements tell of: what differs from it, so they win.
    formats : mapping of str to mapping
        Figures by number format of the weights that win over those of a class; those of one class under its name.
    quantized_in : mapping of str to str
        Number format in which quantized weights are multiplied, by device class; without one the model's own.
    half_accumulation : bool
        Products of 16 bits accumulate in 16 bits, which doubles the rate of consumer cards.
    launches_overlap : bool
        Launches run ahead of the device (eager torch): a block takes the longer of both, not the sum.
    power : float
        How far arithmetic and memory traffic of a block hide each other on accelerators (`Rates.power`): 1 not at all.
    hops : Hops
    memory : PassMemory
    source : str
        Where the figures are from.
    family : str
        The runtime whose fitted figures it has and whose measurements tell of its errors; by default its own name.
    """

    name: str
    aliases: tuple[str, ...] = ()
    chain: tuple[Figures, ...] = ()
    fitted: tuple[Figures, ...] = ()
    own: tuple[Figures, ...] = ()
    formats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quantized_in: Mapping[str, str] = field(default_factory=dict)
    half_accumulation: bool = False
    launches_overlap: bool = False
    power: float = 1.0
    hops: Hops = Hops()
    memory: PassMemory = PassMemory()
    source: str = ""
    family: str = ""

    def figure(self, kind: str, key: str) -> float | None:
        """Return the figure of a device class or of the nearest parent that has one; None when nobody has."""
        return _nearest((*self.own, *self.fitted, *self.chain), kind, key)

    def prior(self, kind: str, key: str) -> float | None:
        """Return the hand-written figure: what a fit begins from and is drawn to."""
        return _nearest(self.chain, kind, key)


def _nearest(tables: tuple[Figures, ...], kind: str, key: str) -> float | None:
    for name in lineage(kind, key):
        for classes in tables:
            if key in classes.get(name, ()):
                return float(classes[name][key])
    return None


def class_of(node: Node) -> str:
    """Return the device class of a node; of a node without a device the one that its figures look like."""
    if node.device:
        return hardware.device(node.device).kind
    if node.device_class:
        return node.device_class
    if node.main_memory:
        return "cpu"
    formats = set(node.compute_flops_per_s)
    if formats <= {"float32"}:
        small = node.memory_bandwidth_bytes_per_s < 40e9 * node.tensor_parallel
        return "board" if small and node.memory_bytes <= 17e9 * node.tensor_parallel else "cpu"
    return "gpu"


@lru_cache(maxsize=1)
def runtime_catalog() -> Mapping[str, RuntimeCosts]:
    """Return the costs of all runtimes by name, aliases left out."""
    found: dict[str, RuntimeCosts] = {}
    for name, entry in entries().items():
        found[name] = _runtime(name, entry, found, fitted()["figures"])
    return MappingProxyType(found)


def runtime_costs(name: str) -> RuntimeCosts:
    """Return the costs of a runtime by name or alias; raise `InputError` with the nearest name for an unknown one.

    An empty name, or a runtime whose costs nobody measured, has the generic costs.
    """
    known = runtime_aliases()
    if not name:
        return runtime_catalog()[GENERIC]
    if name not in known:
        raise InputError(f"no costs are known of the runtime '{name}'{nearest(name, known)}", "runtime")
    return runtime_catalog()[known[name]]


def costs_or_generic(name: str) -> RuntimeCosts:
    """Return the costs of a runtime, the generic ones where there is no measurement of it."""
    return runtime_catalog()[runtime_aliases().get(name, GENERIC)]


def _runtime(
    name: str, entry: Mapping[str, Any], known: Mapping[str, RuntimeCosts], measured: Mapping[str, Figures]
) -> RuntimeCosts:
    base = known.get(entry.get("inherits", ""), RuntimeCosts(GENERIC))
    own: Figures = entry.get("classes", {})
    for kind, figures in (*own.items(), *measured.get(name, {}).items()):
        unknown = [key for key in figures if key not in KEYS]
        if unknown:
            raise ValueError(f"runtimes.yaml: {name}.classes.{kind}: unknown figure {unknown[0]!r}")
    return RuntimeCosts(
        name=name,
        aliases=tuple(entry.get("aliases", ())),
        chain=(own, *base.chain),
        fitted=(*((measured[name],) if name in measured else ()), *base.fitted),
        own=(own, *base.own) if "fitted_with" in entry else (),
        formats={**base.formats, **entry.get("formats", {})},
        quantized_in=entry.get("quantized_in", base.quantized_in),
        half_accumulation=entry.get("half_accumulation", base.half_accumulation),
        launches_overlap=entry.get("launches_overlap", base.launches_overlap),
        power=float(entry.get("power", base.power)),
        hops=replace(base.hops, **_seconds(entry.get("hops", {}))),
        memory=replace(base.memory, **_bytes(entry.get("memory", {}))),
        source=entry["source"],
        family=entry.get("fitted_with", name),
    )


def _seconds(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("_us", "_s"): value * 1e-6 if key.endswith("_us") else value for key, value in entry.items()}


def _bytes(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.replace("_mib", "_bytes"): value * 2**20 if key.endswith("_mib") else value for key, value in entry.items()
    }
