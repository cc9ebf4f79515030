"""llama.cpp's flags as a layout: every flag that moves tensors is read, or refused by its name.

Flags and their meaning: common/arg.cpp and src/llama-model.cpp of llama.cpp, 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError, shown
from ..plan.plan import BESIDE, PlacedSpan
from ..quantities import whole_number
from .base import Source, counts_in, merged, named_nodes, ranges_text
from .flags import Flags
from .llama_rule import CPU, devices_of_slots, parts_moved

HOST_CPU = "CPU"
NGL = ("-ngl", "--gpu-layers", "--n-gpu-layers")
SPLIT = ("-ts", "--tensor-split")
MODE = ("-sm", "--split-mode")
OVERRIDE = ("-ot", "--override-tensor")
DEVICES = ("-dev", "--device")
MAIN = ("-mg", "--main-gpu")
EXPERTS, ALL_EXPERTS = ("-ncmoe", "--n-cpu-moe"), ("-cmoe", "--cpu-moe")
CACHE, NO_CACHE = ("-nkvo", "--no-kv-offload"), ("-kvo", "--kv-offload")
# They move tensors of another model beside this one, or move them in a way that depends on what is free then.
REFUSED = {
    **dict.fromkeys(
        (
            "-md",
            "--model-draft",
            "-ngld",
            "--gpu-layers-draft",
            "--n-gpu-layers-draft",
            "-devd",
            "--device-draft",
            "-otd",
            "--override-tensor-draft",
            "-cmoed",
            "--cpu-moe-draft",
            "-ncmoed",
            "--n-cpu-moe-draft",
        ),
        "a draft model has a layout of its own, which is not read",
    ),
    **dict.fromkeys(("--mmproj", "-mm"), "the vision tower has a place of its own, which is not read"),
    "--lora": "adapters lie beside the tensors, which is not read",
}
_DEVICE = re.compile(r"(?:CUDA|ROCm|HIP|MUSA|Vulkan|SYCL|Metal|MTL|CANN|OpenCL|GPU)(\d{1,4})", re.ASCII)
_SHARE = re.compile(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}", re.ASCII)


def read(source: Source) -> tuple[PlacedSpan, ...]:
    """The layout of a command line, or of ``-ts 3,1`` alone; nodes in the order of the devices, a CPU first."""
    flags = Flags.of(source.text)
    _ensure_read(flags)
    mode = flags.value(*MODE) or "layer"
    if mode == "tensor":
        return _group(flags, source)
    layout = _layers(flags, source, alone=mode == "none")
    return _with_parts(flags, source, layout)


def _ensure_read(flags: Flags) -> None:
    if flags.has(*CACHE) and flags.has(*NO_CACHE):
        raise InputError(f"{flags.first(CACHE)} beside {flags.first(NO_CACHE)}: expected one of the two")
    for flag, value in flags.pairs:
        if flag in REFUSED:
            raise InputError(f"{flag}: {REFUSED[flag]}")
        if flag in ("-fit", "--fit") and value == "on":
            raise InputError(f"{flag} on: the layout depends on the memory that is free then; give the flags it chose")
        if flag in MODE and value not in ("layer", "none", "tensor"):
            why = "divides the rows of every matrix, which is no layout of layers" if value == "row" else "is not known"
            raise InputError(f"{flag} {shown(value)} {why} (read: layer, tensor, none)")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Node of every layer and of the head; the CPU of the host, empty where the text names none; buffers by name."""

    layers: list[str]
    head: str
    host: str
    buffers: Mapping[str, str]


def _layers(flags: Flags, source: Source, *, alone: bool) -> _Layout:
    last = source.n_layers
    ngl = _ngl(flags, last)
    bare = flags.value(*DEVICES) == "none"
    if bare and flags.has(*NGL) and ngl:
        words = f"{flags.first(DEVICES)} none beside {flags.first(NGL)} {shown(flags.value(*NGL) or '')}"
        raise InputError(f"{words}: without devices every layer is the CPU's, expected {flags.first(NGL)} 0")
    ngl = 0 if bare else ngl
    on_cpu = ngl < last + 1
    split = [] if bare else _split(flags, source, on_cpu=on_cpu, alone=alone)
    nodes = _nodes(flags, source, len(split), on_cpu)
    host, devices = (nodes[0], nodes[1:]) if on_cpu else ("", nodes)
    if alone:
        text = flags.value(*MAIN) or "0"
        main = whole_number(text)
        if main is None or main >= len(devices):
            raise InputError(f"{flags.first(MAIN)}: expected a device from 0 to {len(devices) - 1}, got {shown(text)}")
        split = [int(k == main) for k in range(len(devices))]
    slots = devices_of_slots(split, last, ngl)
    layers = [host if slot == CPU else devices[slot] for slot in slots]
    return _Layout(layers[:last], layers[last], host, _buffers(flags, devices))


def _with_parts(flags: Flags, source: Source, layout: _Layout) -> tuple[PlacedSpan, ...]:
    """The spans of a layout, after what moves layers or parts of them."""
    moves: list[tuple[str, str]] = [pair for text in flags.values(*OVERRIDE) for pair in _pairs(text)]
    if flags.has(*ALL_EXPERTS):
        moves.append((r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", HOST_CPU))
    if flags.has(*EXPERTS):
        text = flags.value(*EXPERTS) or ""
        number = whole_number(text, 6)
        if number is None:
            raise InputError(f"{flags.first(EXPERTS)}: expected a number of layers, got {shown(text)}")
        moves += [
            (rf"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps", HOST_CPU)
            for layer in range(min(number, source.n_layers))
        ]
    host = layout.host
    named = [(pattern, _node_of(buffer, layout.buffers)) for pattern, buffer in moves]
    moved = parts_moved(layout.layers, named, source.parts)
    held, away = [one.node for one in moved], [one.away for one in moved]
    if any(node == HOST_CPU for node in held) or any(away) or flags.has(*CACHE):
        host = host or _home(source, layout)
    held = [host if node == HOST_CPU else node for node in held]
    if flags.has(*CACHE):
        caches = [not source.cached or layer in source.cached for layer in range(source.n_layers)]
        away = [BESIDE.join(filter(None, (part, "cache" * cache))) for part, cache in zip(away, caches, strict=True)]
    spans = [PlacedSpan(held[0], 0, 1)]
    for layer, (node, part) in enumerate(zip(held, away, strict=True)):
        apart = (part, host) if part and node != host else (None, None)
        spans.append(PlacedSpan(node, layer + 1, layer + 2, *apart))
    return merged([*spans, PlacedSpan(layout.head, source.n_layers + 1, source.n_layers + 2)])


def _home(source: Source, layout: _Layout) -> str:
    """The CPU of the host: the node called CPU with --at, the one that says so, or the only one left."""
    given = [node for node, where in source.at.items() if where.upper() == HOST_CPU]
    rest = [node for node in source.known if node not in (*layout.layers, layout.head, *layout.buffers.values())]
    for found in (given, [node for node in source.memories if node in rest], rest):
        if len(found) == 1:
            return found[0]
    raise InputError("parts lie in main memory: which node is the CPU of the host? say it with --at NODE=CPU")


def _group(flags: Flags, source: Source) -> tuple[PlacedSpan, ...]:
    """`-sm tensor`: all devices hold everything together, with the shares of -ts."""
    for names in (OVERRIDE, EXPERTS, ALL_EXPERTS, CACHE):
        if flags.has(*names):
            raise InputError(f"{flags.first(names)} beside -sm tensor: parts of a group are not read")
    if _ngl(flags, source.n_layers) < source.n_layers + 1:
        raise InputError(f"{flags.first(NGL)} beside -sm tensor: a group holds all layers or none")
    nodes = named_nodes(source)
    text = flags.value(*SPLIT)
    split = [1.0] * len(nodes) if text is None else [float(part) for part in _shares(text)]
    if len(split) != len(nodes):
        raise InputError(f"the split has {len(split)} devices, there are {len(nodes)} nodes: name them with --nodes")
    members = [node for node, share in zip(nodes, split, strict=True) if share > 0]
    percents = [max(1, round(100 * share / sum(split))) for share in split if share > 0]
    name = "+".join(members)
    if len(set(percents)) > 1:
        name += "@" + ":".join(map(str, percents))
    return (PlacedSpan(name, 0, source.n_layers + 2),)


def _ngl(flags: Flags, n_layers: int) -> int:
    """Layers and output on devices, counted from the end."""
    text = flags.value(*NGL)
    if text is None or text in ("all", "auto", "-1", "-2"):
        return n_layers + 1
    number = whole_number(text, 6)
    if number is None:
        raise InputError(f"{flags.first(NGL)}: expected a number of layers or all, got {shown(text)}")
    return min(number, n_layers + 1)


def _split(flags: Flags, source: Source, *, on_cpu: bool, alone: bool) -> list[float]:
    """The split; where a command states none, what llama.cpp does: shares by the memory of the devices."""
    text = flags.value(*SPLIT)
    if text is None and (flags.pairs or alone):
        nodes = _given(flags, source) or source.nodes or source.known
        devices = nodes[1:] if on_cpu else nodes
        if len(devices) < 2 or alone:
            return [1.0] * len(devices)
        sizes = [source.memory.get(node, 0.0) for node in devices]
        if not all(sizes):
            raise InputError("expected -ts, such as -ts 3,1: without it the memory of the devices decides")
        return sizes
    return _shares(source.text.strip() if text is None else text)


def _shares(text: str) -> list[float]:
    """Counts, or shares with a decimal point, which are scaled to whole numbers."""
    body = text.replace("/", ",")
    if "." in body:
        parts = [part.strip() for part in body.split(",")]
        if not all(_SHARE.fullmatch(part) for part in parts):
            raise InputError(f"expected -ts 3,1, got {shown(body)}")
        return [round(float(part) * 1_000_000) for part in parts]
    return [float(count) for count in counts_in(body, "-ts", "-ts 3,1")]


def _given(flags: Flags, source: Source) -> tuple[str, ...]:
    """The nodes that the servers of --rpc stand for."""
    servers = flags.value("--rpc")
    if source.nodes or "# nodes:" in source.text or not servers:
        return ()
    by_address = {address: node for node, address in source.at.items()}
    hosts = tuple(by_address.get(address, address.rpartition(":")[0]) for address in servers.split(","))
    return hosts if set(hosts) <= set(source.known) else ()


def _nodes(flags: Flags, source: Source, n_devices: int, on_cpu: bool) -> tuple[str, ...]:
    hosts = _given(flags, source)
    return hosts if len(hosts) == n_devices and not on_cpu else named_nodes(source, n_devices + on_cpu)


def _pairs(text: str) -> list[tuple[str, str]]:
    """The parts of one -ot argument; a comma separates them."""
    pairs = []
    for part in text.split(","):
        pattern, equals, buffer = part.rpartition("=")
        if not (pattern and equals and buffer):
            raise InputError(f"expected -ot PATTERN=BUFFER, got {shown(part)}")
        pairs.append((pattern, buffer))
    return pairs


def _buffers(flags: Flags, devices: Sequence[str]) -> dict[str, str]:
    """Buffer names of the devices: those of --device in order, else servers first; `RPC0[host:port]` for servers."""
    stated, servers = flags.value(*DEVICES), (flags.value("--rpc") or "").split(",")
    servers = [server for server in servers if server]
    names = stated.split(",") if stated else [f"RPC{k}" for k in range(min(len(servers), len(devices)))]
    known = dict(zip(names, devices, strict=False))
    for number, server in enumerate(servers):
        if (node := known.pop(f"RPC{number}", None)) is not None:
            known[f"RPC0[{server}]"] = node
    if not stated:
        known |= {f"*{k}": node for k, node in enumerate(devices[len(names) :])}
    return known


def _node_of(buffer: str, known: Mapping[str, str]) -> str:
    """The node of a buffer; without --device, CUDA0 is the first device of the host, whatever its maker."""
    if buffer in known:
        return known[buffer]
    number = _DEVICE.fullmatch(buffer)
    if number and f"*{int(number[1])}" in known:
        return known[f"*{int(number[1])}"]
    if buffer == HOST_CPU or buffer.endswith("_Host"):
        return HOST_CPU
    names = [name for name in known if not name.startswith("*")] or [f"CUDA{k}" for k in range(len(known))]
    raise InputError(f"-ot names the buffer {shown(buffer)}, which is none of {', '.join([*names, HOST_CPU])}")


def overrides_text(part: str, layers: Sequence[int], n_layers: int) -> list[str]:
    """The flags that keep a part of some layers in main memory."""
    if part == "cache":
        return ["-nkvo"]
    first = list(layers) == list(range(len(layers)))
    if part == "experts" and first:
        return ["--cpu-moe"] if len(layers) == n_layers else [f"--n-cpu-moe {len(layers)}"]
    tensors = r"ffn_(up|down|gate|gate_up)_exps" if part == "experts" else r"ffn_(up|down|gate|gate_up)\."
    return [f"-ot 'blk\\.({ranges_text(layers)})\\.{tensors}=CPU'"]
