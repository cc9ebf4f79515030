"""llama.cpp: `--rpc`, `--device`, `--tensor-split`, and `-ot` for layers that a node holds out of turn.

Nodes are `ggml-rpc-server` processes (``--at node=host:port``; by default its own name and port 50052), devices of the
host that runs (``--at node=CUDA0``), or its CPU (``--at node=CPU``), which can hold the first layers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from ..question.request import CACHE
from .base import Exported, Holds, Source, Stage, Target, length_note, nodes_line, on_node, stages
from .checks import Checked
from .llama_read import HOST_CPU, overrides_text, read
from .quoting import ensure_different_hosts, shell_word, slug

PORT = 50052


@dataclass(frozen=True, slots=True)
class LlamaCpp(Checked):
    """Command lines of llama.cpp's programs."""

    name: str = "llama.cpp"
    holds: Holds = Holds(
        runs="any",
        groups="one",
        shares=True,
        parts=("experts", "ffn", "cache"),
        cpu="the first layers, on the host that runs",
        cpu_first=True,
    )

    def write(self, plan: Plan, target: Target) -> Exported:
        """Servers first, then the program."""
        if plan.groups:
            return _group_line(plan, target)
        parts = stages(plan)
        apart = [span for span in plan.placement if span.away]
        local = next((node for node, where in target.at.items() if where.upper() == HOST_CPU), "")
        local = local or (apart[0].home or "" if apart else "")
        on_cpu = _cpu_layers(parts, local)
        devices = _in_order([part for part in parts if part.node != local])
        counts = [sum(part.count for part in parts if part.node == node) for node in devices]
        names, servers = _names(devices, target)
        lines = [nodes_line(([local] if on_cpu else []) + devices)]
        lines += [
            on_node(node, f"ggml-rpc-server --host 0.0.0.0 --port {where.rpartition(':')[2]}")
            for node, where in servers
        ]
        words = [f"llama-server -m {shell_word(target.model)} -sm layer --fit off"]
        if servers:
            words.append(f"--rpc {shell_word(','.join(where for _, where in servers))}")
        if devices:
            split = [*counts[:-1], counts[-1] + 1]
            words.append(
                f"--device {shell_word(','.join(names))} -ngl {sum(split) if on_cpu else 999} "
                f"-ts {','.join(map(str, split))}"
            )
        else:
            words.append("--device none -ngl 0")
        moved = _overrides(parts, devices, counts, on_cpu, names, dict(servers))
        words += [*moved, *_parts(apart, plan.n_blocks - 2), *_room(plan)]
        lost = ["the embedding stays in the main memory of the host that runs, whichever node the plan gives it"]
        lost += [*_caches_elsewhere(plan), *length_note(plan)]
        if moved:
            lost.append("the KV cache follows --tensor-split, not -ot: of layers moved by -ot it is on another device")
        if servers:
            lost.append("RPC has no encryption and no password: keep its ports inside a network of your own")
        return Exported(
            "\n".join([*lines, " ".join(words)]) + "\n", tuple(([local] if on_cpu else []) + devices), tuple(lost)
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """A command line, or `-ts 3,1` alone. Nodes in the order of the devices, a CPU first."""
        return read(source)


def _parts(apart: Sequence[PlacedSpan], n_layers: int) -> list[str]:
    """The flags for parts of layers in main memory, part by part."""
    layers: dict[str, list[int]] = {}
    for span in apart:
        for part in span.parts:
            layers.setdefault(part, []).extend(range(span.start - 1, span.stop - 1))
    return [flag for part, numbers in layers.items() for flag in overrides_text(part, numbers, n_layers)]


def _caches_elsewhere(plan: Plan) -> list[str]:
    """What `-nkvo` does beyond a plan that leaves the caches of some layers only."""
    homes = {span.home for span in plan.placement if CACHE in span.parts}
    kept = [span for span in plan.placement if CACHE not in span.parts and span.node not in homes]
    layers = sum(min(span.stop, plan.n_blocks - 1) - max(span.start, 1) for span in kept)
    if not homes or layers <= 0:
        return []
    return [f"-nkvo moves the caches and states of all layers: of {layers} the plan leaves them where their layer is"]


def _room(plan: Plan) -> list[str]:
    """Sequences in flight, and the context of all of them: the server would reserve what the model was made for."""
    slots = max(1, int(plan.figures.get("in_flight", 1)))
    return [f"-c {slots * plan.context_tokens} -np {slots}"] if plan.context_tokens else []


def _group_line(plan: Plan, target: Target) -> Exported:
    """One group holds everything: `-sm tensor` with the shares of its devices."""
    group = plan.groups[0]
    places = target.devices(group.name)
    words = [f"llama-server -m {shell_word(target.model)} -sm tensor --fit off -ngl 999"]
    if len(places) == len(group.devices):
        words.append(f"--device {shell_word(','.join(places))}")
    parts = [f"{100 * share:.0f}" for share in group.shares] or ["1"] * len(group.devices)
    words += [f"-ts {','.join(parts)}", *_room(plan)]
    lost = ("the embedding stays in the main memory of the host that runs", "-sm tensor needs a build of 2026 or later")
    text = f"{nodes_line(group.devices)}\n{' '.join(words)}\n"
    return Exported(text, group.devices, (*lost, *length_note(plan)))


def _cpu_layers(parts: Sequence[Stage], local: str) -> int:
    """Layers of the host's CPU; they must be the first ones."""
    mine = [part for part in parts if part.node == local]
    if mine and mine != [parts[0]]:
        raise InputError(f"llama.cpp keeps the first layers on the CPU, the plan gives '{local}' others")
    return mine[0].count if mine else 0


def _in_order(parts: Sequence[Stage]) -> list[str]:
    """Nodes by their first layer, the one with the head last: it holds the output slot."""
    order = list(dict.fromkeys(part.node for part in parts))
    head = next((part.node for part in parts if part.head), "")
    return [node for node in order if node != head] + [node for node in order if node == head]


def _names(devices: Sequence[str], target: Target) -> tuple[list[str], list[tuple[str, str]]]:
    """Device names in llama.cpp's words, and the servers (node, address) in the order of --rpc."""
    ensure_different_hosts(devices, target.at)
    names: list[str] = []
    servers: list[tuple[str, str]] = []
    for node in devices:
        where = target.at.get(node, f"{slug(node)}:{PORT}")
        if ":" in where:
            names.append(f"RPC{len(servers)}")
            servers.append((node, where))
        else:
            names.append(where)
    return names, servers


def _overrides(
    parts: Sequence[Stage],
    devices: Sequence[str],
    counts: Sequence[int],
    on_cpu: int,
    names: Sequence[str],
    servers: dict[str, str],
) -> list[str]:
    """`-ot` for the layers that --tensor-split would give to another node."""
    by_split = [node for node, count in zip(devices, counts, strict=True) for _ in range(count)]
    moved: dict[str, list[int]] = {}
    for part in parts[1:] if on_cpu else parts:
        for layer in range(part.start, part.stop):
            if by_split[layer - on_cpu] != part.node:
                moved.setdefault(part.node, []).append(layer)
    words = []
    for node, layers in moved.items():
        # A server's buffer is named after its first device and its address.
        buffer = f"RPC0[{servers[node]}]" if node in servers else names[devices.index(node)]
        words.append("-ot " + shell_word(f"blk\\.({'|'.join(map(str, layers))})\\.={buffer}"))
    return words
