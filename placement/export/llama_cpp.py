"""llama.cpp: `--rpc`, `--device`, `--tensor-split`, and `-ot` for layers that a node holds out of turn.

Nodes are `ggml-rpc-server` processes (``--at node=host:port``; by default its own name and port 50052), devices of the
host that runs (``--at node=CUDA0``), or its CPU (``--at node=CPU``), which can hold the first layers only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError, shown
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Stage, Target, counts_in, merged, named_nodes, nodes_line, on_node, stages
from .checks import Checked
from .llama_rule import CPU, devices_of_slots, overridden
from .quoting import ensure_different_hosts, shell_word, slug

PORT = 50052
HOST_CPU = "CPU"
_OVERRIDE = re.compile(r"(?:-ot|--override-tensor)[=\s]+(?:'([^']*)'|\"([^\"]*)\"|(\S+))")
_RPC = re.compile(r"--rpc[=\s]+[\"']?([^\s\"']+)")
_SHARE = re.compile(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}", re.ASCII)
_NGL = re.compile(r"(?:-ngl|--gpu-layers|--n-gpu-layers)[=\s]+(\d{1,6})")


@dataclass(frozen=True, slots=True)
class LlamaCpp(Checked):
    """Command lines of llama.cpp's programs."""

    name: str = "llama.cpp"
    holds: Holds = Holds(
        runs="any", groups="one", shares=True, parts=True, cpu="the first layers, on the host that runs"
    )

    def write(self, plan: Plan, target: Target) -> Exported:
        """Servers first, then the program."""
        if plan.groups:
            return _group_line(plan, target)
        parts = stages(plan)
        local = next((node for node, where in target.at.items() if where.upper() == HOST_CPU), "")
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
        words += _overrides(parts, devices, counts, on_cpu, names, dict(servers))
        lost = ["the embedding stays in the main memory of the host that runs, whichever node the plan gives it"]
        if any(word.startswith("-ot") for word in words):
            lost.append("the KV cache follows --tensor-split, not -ot: of layers moved by -ot it is on another device")
        if servers:
            lost.append("RPC has no encryption and no password: keep its ports inside a network of your own")
        return Exported(
            "\n".join([*lines, " ".join(words)]) + "\n", tuple(([local] if on_cpu else []) + devices), tuple(lost)
        )

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """`-ts 3,1` with the `-ngl`, `--rpc` and `-ot` beside it. Nodes in the order of the devices, a CPU first."""
        text, last = source.text, source.n_layers
        ngl = int(found[1]) if (found := _NGL.search(text)) else last + 1
        bare = "--device none" in text and ngl == 0
        split = [] if bare else _split(text)
        on_cpu = ngl < last + 1
        nodes = _nodes(source, len(split), on_cpu)
        host, devices = (nodes[0], nodes[1:]) if on_cpu else ("", nodes)
        slots = devices_of_slots(split, last, ngl)
        layers = [host if slot == CPU else devices[slot] for slot in slots]
        moves = [pair for match in _OVERRIDE.findall(text) for pair in _pairs("".join(match))]
        known = _buffers(text, devices)
        held = overridden(layers[:last], [(pattern, _node_of(buffer, known, host)) for pattern, buffer in moves])
        spans = [PlacedSpan(held[0], 0, 1)]
        spans += [PlacedSpan(node, layer + 1, layer + 2) for layer, node in enumerate(held)]
        return merged([*spans, PlacedSpan(layers[last], last + 1, last + 2)])


def _group_line(plan: Plan, target: Target) -> Exported:
    """One group holds everything: `-sm tensor` with the shares of its devices."""
    group = plan.groups[0]
    places = target.devices(group.name)
    words = [f"llama-server -m {shell_word(target.model)} -sm tensor --fit off -ngl 999"]
    if len(places) == len(group.devices):
        words.append(f"--device {shell_word(','.join(places))}")
    parts = [f"{100 * share:.0f}" for share in group.shares] or ["1"] * len(group.devices)
    words.append(f"-ts {','.join(parts)}")
    lost = ("the embedding stays in the main memory of the host that runs", "-sm tensor needs a build of 2026 or later")
    return Exported(f"{nodes_line(group.devices)}\n{' '.join(words)}\n", group.devices, lost)


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


def _split(text: str) -> list[int]:
    """The split: counts, or shares with a decimal point, which are scaled to whole numbers."""
    found = re.search(r"(?:-ts|--tensor-split)[=\s]+[\"']?([\d.,/]+)", text)
    body = (found[1] if found else text.strip()).replace("/", ",")
    if "." in body:
        parts = [part.strip() for part in body.split(",")]
        if not all(_SHARE.fullmatch(part) for part in parts):
            raise InputError(f"expected -ts 3,1, got {shown(body)}")
        return [round(float(part) * 1_000_000) for part in parts]
    return counts_in(body, "-ts", "-ts 3,1")


def _nodes(source: Source, n_devices: int, on_cpu: bool) -> tuple[str, ...]:
    """The nodes given or named; else those that the servers of --rpc stand for."""
    servers = _RPC.search(source.text)
    if not source.nodes and "# nodes:" not in source.text and servers and not on_cpu:
        by_address = {address: node for node, address in source.at.items()}
        addresses = servers[1].split(",")
        hosts = tuple(by_address.get(address, address.rpartition(":")[0]) for address in addresses)
        if len(hosts) == n_devices and set(hosts) <= set(source.known):
            return hosts
    return named_nodes(source, n_devices + on_cpu)


def _pairs(text: str) -> list[tuple[str, str]]:
    """The parts of one -ot argument; a comma separates them."""
    pairs = []
    for part in text.split(","):
        pattern, equals, buffer = part.partition("=")
        if not (pattern and equals and buffer):
            raise InputError(f"expected -ot PATTERN=BUFFER, got {shown(part)}")
        pairs.append((pattern, buffer))
    return pairs


def _buffers(text: str, devices: Sequence[str]) -> dict[str, str]:
    """Buffer names of the devices, those of --device in order, and `RPC0[host:port]` for servers."""
    found = re.search(r"(?:--device|-dev)[=\s]+(\S+)", text)
    servers = found_servers[1].split(",") if (found_servers := _RPC.search(text)) else []
    names = found[1].split(",") if found else [f"RPC{k}" for k in range(len(servers))]
    known = dict(zip(names, devices, strict=False))
    for number, server in enumerate(servers):
        if (node := known.pop(f"RPC{number}", None)) is not None:
            known[f"RPC0[{server}]"] = node
    return known


def _node_of(buffer: str, known: dict[str, str], host: str) -> str:
    if buffer in known:
        return known[buffer]
    if buffer == HOST_CPU and host:
        return host
    raise InputError(f"-ot names the buffer {shown(buffer)}, which is none of {', '.join(known)}")
