"""What a run is, as data: every worker reads the same job file, so that nothing is decided twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import write_atomic
from ..plan.plan import VERSION, Plan
from ..question.cluster import CLIENT, Cluster, Node
from .chains import BatchChains, has_choice


def ensure_whole(plan: Plan, where: str = "plan") -> None:
    """Raise `InputError` for what the executor has no stages for: groups of unequal shares, and parts of blocks."""
    for group in plan.groups:
        if group.shares and len(set(group.shares)) > 1:
            shares = ":".join(f"{100 * share:.3g}" for share in group.shares)
            raise InputError(
                f"the devices of '{group.name}' have unequal shares ({shares}), and only equal ones are run; "
                "plan with tensor_parallel: 1, or with a runtime of equal shares such as vllm",
                where,
            )
    for span in plan.placement:
        if span.away:
            apart = f"the {span.parts_words} of blocks {span.start} to {span.stop - 1} lies apart from '{span.node}'"
            raise InputError(f"{apart}, which is not run; plan with offload: none", where)


@dataclass(frozen=True, slots=True)
class Emulation:
    """Unequal hosts on one machine.

    Attributes
    ----------
    links : mapping of str to (float, float)
        "from>to" to latency in seconds and bandwidth in bytes/s (0: unlimited); others are as fast as they are.
    slow : mapping of str to float
        Node to the factor by which its blocks take longer, at least 1.
    how : str
        "none", "in-transport" or "namespaces": said in every result.
    """

    links: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    slow: Mapping[str, float] = field(default_factory=dict)
    how: str = "none"

    @classmethod
    def of(cls, cluster: Cluster, slow: Mapping[str, float] | None = None) -> Emulation:
        """Give the links of a cluster to its emulated hosts, the client's included."""
        places = (*cluster.names, CLIENT)
        links = {
            f"{a}>{b}": (float(cluster.latency_s[i, j]), _finite(cluster.bandwidth_bytes_per_s[i, j]))
            for i, a in enumerate(places)
            for j, b in enumerate(places)
            if i != j
        }
        return cls(links, dict(slow or {}), "in-transport")


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a plan.

    Attributes
    ----------
    plan : Plan
    model : str
        Checkpoint folder or .gguf file.
    prompts : tuple of tuple of int
        Token ids.
    tokens : int
        Tokens to generate for each prompt.
    micro_batch : int
        Most sequences (of equal prompt length) that go through the stages together.
    in_flight : int
        Most micro-batches in flight; 0 for all.
    eos : int or None
        Token that ends a sequence.
    devices : mapping of str to str
        Node, or device of a tensor parallel group, to torch device; the others compute on the CPU.
    dtype : str
        "auto" for the checkpoint's own format.
    threads : int
        CPU threads of a worker.
    emulation : Emulation
    heartbeat_s, limit_s : float
        Seconds between signs of life, and without one until a worker counts as lost.
    step_limit_s : float
        A worker that computes on one message for longer than this counts as hung.
    start_limit_s : float
        Seconds for loading and connecting.
    replan : str
        ``module:name`` of the function that finds the next plan when a worker is lost (see
        `placement.run.recovery.Replan`; needs `cluster`); empty: the run ends then.
    cluster : mapping or None
        The cluster as plain data.
    address : str
        Interface that the workers listen on.
    addresses : mapping of str to str
        Place to its own address, where hosts have several (network namespaces).
    backend : str
        "gloo" (hidden states pass through host memory) or "nccl".
    secret : str
        What the processes of the run prove to each other. Job files are for their owner's eyes.
    """

    plan: Plan
    model: str
    prompts: tuple[tuple[int, ...], ...]
    tokens: int
    micro_batch: int = 1
    in_flight: int = 0
    eos: int | None = None
    devices: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "auto"
    threads: int = 1
    emulation: Emulation = field(default_factory=Emulation)
    heartbeat_s: float = 0.25
    limit_s: float = 6.0
    step_limit_s: float = 120.0
    start_limit_s: float = 120.0
    replan: str = ""
    cluster: Mapping[str, Any] | None = None
    address: str = "127.0.0.1"
    addresses: Mapping[str, str] = field(default_factory=dict)
    backend: str = "gloo"
    secret: str = ""
    version: str = VERSION

    def __post_init__(self) -> None:
        ensure_whole(self.plan)
        if not self.prompts or any(not prompt for prompt in self.prompts):
            raise InputError("expected at least one prompt, and at least one token in each", "prompts")
        if self.tokens < 1:
            raise InputError(f"expected at least one token to generate, got {self.tokens}", "tokens")
        if self.micro_batch < 1 or self.in_flight < 0:
            raise InputError(f"expected whole numbers, got {self.micro_batch} and {self.in_flight}", "micro_batch")
        if self.replan and self.cluster is None:
            raise InputError("a run that replans needs the cluster", "cluster")
        if self.replan and has_choice(self.plan):
            raise InputError("only pipelines are planned anew; in this plan requests take different ways", "replan")
        if self.replan and self.plan.groups:
            name = self.plan.groups[0].name
            raise InputError(f"'{name}' is a tensor parallel group, and plans with one are not planned anew", "replan")
        if self.emulation.links and self.plan.groups:
            name = self.plan.groups[0].name
            raise InputError(
                f"links are emulated for messages between stages, not for the sums inside the group '{name}'",
                "emulate_links",
            )
        if self.backend not in ("gloo", "nccl"):
            raise InputError(f"expected gloo or nccl, got {self.backend!r}", "backend")
        for node in places_of(self)[:-1] if self.backend == "nccl" else ():
            if not self.devices.get(node, "cpu").startswith("cuda"):
                raise InputError(f"nccl needs every node on a CUDA device, '{node}' is on the CPU", "backend")
        for node, factor in self.emulation.slow.items():
            if not factor >= 1.0:
                raise InputError(f"expected a factor of at least 1, got {factor}", f"slow[{node}]")

    @property
    def batches(self) -> list[tuple[int, ...]]:
        """The prompts of each micro-batch, by number: those of equal length together, so that nothing is padded."""
        by_length: dict[int, list[int]] = {}
        for row, prompt in enumerate(self.prompts):
            by_length.setdefault(len(prompt), []).append(row)
        most = self.micro_batch
        return sorted(tuple(rows[k : k + most]) for rows in by_length.values() for k in range(0, len(rows), most))

    def address_of(self, place: str) -> str:
        """Address that a place listens on."""
        return self.addresses.get(place, self.address)

    def save(self, path: Path) -> None:
        """Write the job as JSON."""
        data = {name: getattr(self, name) for name in self.__slots__ if name not in ("plan", "emulation")}
        data |= {"plan": self.plan.to_dict(), "emulation": asdict(self.emulation)}
        write_atomic(path, json.dumps(data))

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read a job; raise `InputError` when it is not one of this version."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise InputError(f"the job is of version {data['version']}, this worker of version {VERSION}")
            data["plan"] = Plan.from_dict(data["plan"])
            links = {key: (value[0], value[1]) for key, value in data["emulation"].pop("links").items()}
            data["emulation"] = Emulation(links=links, **data["emulation"])
            data["prompts"] = tuple(tuple(prompt) for prompt in data["prompts"])
            return cls(**data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"not a job ({type(error).__name__}: {error})", str(path)) from None


def check_plan(plan: Plan, n_blocks: int, names: Sequence[str] | None = None) -> None:
    """Raise `InputError` when a plan is not one for a model of `n_blocks` blocks."""
    if plan.n_blocks != n_blocks:
        raise InputError(f"the plan is for {plan.n_blocks} blocks, the model has {n_blocks}", "plan")
    if names is not None and plan.block_names and tuple(plan.block_names) != tuple(names):
        odd = next((a, b) for a, b in zip(plan.block_names, names, strict=True) if a != b)
        raise InputError(f"the plan has a block '{odd[0]}' where the model has '{odd[1]}'", "plan")
    BatchChains.of(plan, 1)


def check_prompts(job: Job, words: int, positions: int | None) -> None:
    """Raise `InputError` for token ids that the model lacks, and for sequences longer than its table of positions."""
    ids = {token for prompt in job.prompts for token in prompt}
    wrong = next((token for token in sorted(ids, reverse=True) if not 0 <= token < words), None)
    if wrong is not None:
        raise InputError(f"expected token ids from 0 to {words - 1}, got {wrong}", "prompts")
    longest = max(len(prompt) for prompt in job.prompts) + job.tokens
    if positions is not None and longest > positions:
        raise InputError(f"prompt and output have {longest} tokens, the model has {positions} positions", "tokens")


def devices_of(plan: Plan, node: str) -> tuple[str, ...]:
    """Names of the devices that hold the blocks of a node: of a tensor parallel group its members, the head first."""
    return next((group.devices for group in plan.groups if group.name == node), (node,))


def places_of(job: Job) -> tuple[str, ...]:
    """Names of the devices of a run: those of the plan, in stage order, then spare ones; the client comes last."""
    spare = [str(node["name"]) for node in job.cluster["nodes"]] if job.replan and job.cluster else []
    used = [name for span in job.plan.placement for name in devices_of(job.plan, span.node)]
    return (*dict.fromkeys([*used, *spare]), CLIENT)


def cluster_to_data(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as plain data for JSON."""
    data: dict[str, Any] = {"nodes": [asdict(node) for node in cluster.nodes], "notes": list(cluster.notes)}
    data["latency_s"] = cluster.latency_s.tolist()
    data["bandwidth_bytes_per_s"] = [[_finite(x) for x in row] for row in cluster.bandwidth_bytes_per_s]
    return data


def cluster_from_data(data: Mapping[str, Any]) -> Cluster:
    """Build a cluster from what `cluster_to_data` made."""
    nodes = []
    for entry in data["nodes"]:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        values["decode_table"] = {int(size): tuple(row) for size, row in values["decode_table"].items()}
        nodes.append(Node(**values))
    bandwidth = np.array(data["bandwidth_bytes_per_s"], dtype=np.float64)
    np.fill_diagonal(bandwidth, np.inf)
    return Cluster(tuple(nodes), np.array(data["latency_s"]), bandwidth, tuple(data["notes"]))


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 1e18
