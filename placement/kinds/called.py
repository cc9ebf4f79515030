"""Where a plan's nodes are in a runtime's words: devices of the host that runs, and for llama.cpp servers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..catalog import hardware
from ..errors import InputError
from ..plan.picture import Place
from ..plan.plan import Plan

CPU = "CPU"
BACKENDS: Mapping[str, str] = {"cpu": CPU, "board": CPU, "apple": "MTL", "amd": "ROCm", "other": "Vulkan"}
"""By device class, what llama.cpp (2026, ggml/src/ggml-*) calls devices of it; all others are CUDA's."""
NUMBERED = ("vllm", "sglang")  # runtimes that call the GPUs of one host by number
GPUS = ("CUDA", "ROCm")
"""Those whose devices CUDA_VISIBLE_DEVICES counts."""


@dataclass(frozen=True, slots=True)
class Called:
    """Addresses of nodes, and what had to be taken for granted, in sentences."""

    at: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def called_for(plan: Plan, runtime: str, at: Mapping[str, str]) -> Called:
    """Addresses of a plan's nodes for an exporter: those that were given, then what the runtime calls devices."""
    if runtime in NUMBERED:
        return numbered_on_host(plan, at)
    return called_by_host(plan, at) if runtime == "llama.cpp" else Called(at)


def called_by_host(plan: Plan, at: Mapping[str, str]) -> Called:
    """Name the devices of the host on which the command runs, where nobody did.

    A plan on one host runs there. Of several it is the one whose main memory holds parts of layers, else that of the
    first stage; never one where a node has an address, or where a processor holds later layers than the first.

    Parameters
    ----------
    plan : Plan
        Its picture says on which hosts nodes are; without one nothing is named.
    at : mapping of str to str
        What somebody said: it stays as it is.
    """
    places = _places(plan)
    used = list(dict.fromkeys(member for node in _nodes(plan) for member in _members(plan, node) if member in places))
    host = _host_that_runs(plan, places, used, at)
    if not host:
        return Called(at)
    names = {name: called for name, called in _devices(host, places).items() if name in used and name not in at}
    if not names:
        return Called(at)
    told = ", ".join(f"{name} is {called}" for name, called in names.items() if called != CPU)
    where = f", where {told} (`llama-server --list-devices` prints the names)" if told else ""
    notes = [f"the command runs on '{host}'{where}"]
    if others := [node for node in used if _host(places[node]) != host and node not in at]:
        these = f"{' and '.join(others[:2])}{', ...' if len(others) > 2 else ''}"
        another = f"--at {others[0]}=CUDA0 names a device of another host that shall run"
        notes.append(f"RPC servers elsewhere: {these}; {another}, --at {next(iter(names))}=HOST:50052 a server")
    return Called({**names, **at}, tuple(notes))


def numbered_on_host(plan: Plan, at: Mapping[str, str]) -> Called:
    """Number the GPUs of the plan as CUDA does, where all are of one make in one host and nobody gave an address."""
    places = _places(plan)
    used = list(dict.fromkeys(member for node in _nodes(plan) for member in _members(plan, node)))
    hosts = {_host(places[node]) for node in used if node in places}
    makes = {_backend(places[node]) if node in places else "" for node in used}
    if at or len(hosts) != 1 or len(makes) != 1 or not makes <= set(GPUS):
        return Called(at)
    called = _devices(min(hosts), places)
    numbers = {node: called[node].removeprefix(min(makes)) for node in used}
    told = f"GPUs of '{min(hosts)}' are numbered in the order of the file; --at NODE=NUMBER says otherwise"
    return Called(numbers, (told,))


def _places(plan: Plan) -> dict[str, Place]:
    """Places by node; the devices of a group are where it is."""
    found: dict[str, Place] = {}
    groups = {group.name: group.devices for group in plan.groups}
    homes = {span.home for span in plan.placement}
    for place in plan.picture.places if plan.picture is not None else ():
        known = replace(place, main_memory=place.main_memory or place.name in homes)
        found |= dict.fromkeys(groups.get(place.name, (place.name,)), known)
    return found


def _nodes(plan: Plan) -> list[str]:
    homes = [span.home for span in plan.placement if span.home]
    return [*homes, *(span.node for span in sorted(plan.placement, key=lambda span: span.start))]


def _members(plan: Plan, node: str) -> tuple[str, ...]:
    return next((group.devices for group in plan.groups if group.name == node), (node,))


def _host(place: Place) -> str:
    """A node without a host is a machine of its own."""
    return place.host or place.name


def _host_that_runs(plan: Plan, places: Mapping[str, Place], used: list[str], at: Mapping[str, str]) -> str:
    elsewhere = {_host(places[node]) for node in used if ":" in at.get(node, "")}
    named = [_host(places[node]) for node in used if node in at and ":" not in at[node]]
    hosts = dict.fromkeys([*named, *(_host(places[node]) for node in used)])
    first = min(plan.placement, key=lambda span: span.start).node
    late = {span.node for span in plan.placement if span.node != first and span.node in places}
    late_cpus = {_host(places[node]) for node in late if _backend(places[node]) == CPU}
    return next((host for host in hosts if host not in elsewhere | late_cpus), "")


def _backend(place: Place) -> str:
    if place.main_memory:
        return CPU
    try:
        kinds = tuple(hardware.lineage(hardware.device(place.device).kind)) if place.device else ()
    except InputError:  # a plan may be older than the catalog, or newer
        kinds = ()
    return next((BACKENDS[kind] for kind in kinds if kind in BACKENDS), "CUDA")


def _devices(host: str, places: Mapping[str, Place]) -> dict[str, str]:
    """Devices of a host, numbered by backend in the order of the file."""
    counts: dict[str, int] = {}
    found = {}
    for name, place in places.items():
        if _host(place) == host:
            backend = _backend(place)
            number = counts[backend] = counts.get(backend, -1) + 1
            found[name] = CPU if backend == CPU else f"{backend}{number}"
    return found
