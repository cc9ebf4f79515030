"""The catalog of devices and link types: frozen data, read once from two YAML files beside this one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError, nearest
from .instances import instances
from .names import closest, plain, ram_speed, spellings, without_size
from .tables import load

_GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of accelerator or CPU.

    Attributes
    ----------
    name, kind : str
        Catalog name, and the class whose efficiencies it has.
    memory_bytes : float
    memory_bandwidth_bytes_per_s : float
        Peak.
    compute_flops_per_s : mapping of str to float
        Dense peak by number format.
    compute_efficiency, bandwidth_efficiency : float
        Sustained over peak.
    overhead_s : float
        Launch overhead per block and pass.
    reserve_bytes : float
        Memory that the driver or the system keeps.
    power_w, price_per_hour : float
        Board limit in W; typical rent in $/h, 0 when nobody rents it out.
    interconnect : str
        Link type between several of them in one host.
    cores : int
        Of a CPU; 0 for others.
    source : str
        Where the figures are from.
    rent : str
        Whose list price the rent is close to; empty when it is 0.
    aliases : tuple of str
    """

    name: str
    kind: str
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    compute_flops_per_s: Mapping[str, float]
    compute_efficiency: float
    bandwidth_efficiency: float
    overhead_s: float
    reserve_bytes: float
    power_w: float
    price_per_hour: float
    interconnect: str
    source: str
    rent: str = ""
    cores: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkType:
    """One kind of link.

    Attributes
    ----------
    name : str
    bandwidth_bytes_per_s : float
        In one direction.
    latency_s : float
        One way.
    source : str
    aliases : tuple of str
    """

    name: str
    bandwidth_bytes_per_s: float
    latency_s: float
    source: str
    aliases: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def devices() -> Mapping[str, Device]:
    """Return all devices by name, aliases left out."""
    data, classes = load("devices.yaml"), _classes()
    found: dict[str, Device] = {}
    for name, entry in _device_entries(data["devices"]):
        base = _device(name, entry, classes[entry["class"]])
        options = entry.get("memory_options_gib", [])
        if not options:
            found[name] = base
            continue
        share = base.reserve_bytes / base.memory_bytes if "reserve_fraction" in classes[entry["class"]] else None
        for gib in options:
            memory = gib * _GIB
            aliases = (name, *base.aliases) if memory == base.memory_bytes else ()
            reserve = base.reserve_bytes if share is None else share * memory
            full = f"{name}-{gib}gb"
            found[full] = replace(base, name=full, memory_bytes=memory, reserve_bytes=reserve, aliases=aliases)
    return MappingProxyType(found)


def _device_entries(first: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of devices.yaml, then those of the files in the folder devices."""
    yield from first.items()
    for file in sorted(Path(__file__).with_name("devices").glob("*.yaml")):
        yield from load(f"devices/{file.name}")["devices"].items()


@lru_cache(maxsize=2)
def class_parents(*, reads: bool = False) -> Mapping[str, str]:
    """Return the device classes, each with its parent; empty for one that has none.

    With `reads`, the class that follows for the bandwidth: cards of one generation read alike, whatever their class.
    """
    entries: Mapping[str, Mapping[str, Any]] = load("devices.yaml")["classes"]
    usual = {name: entry.get("parent", "") for name, entry in entries.items()}
    alike = {name: entry["reads_like"] for name, entry in entries.items() if reads and "reads_like" in entry}
    return MappingProxyType({**usual, **alike})


def lineage(kind: str, figure: str = "") -> Iterator[str]:
    """Yield a device class, its parents, and "any": those that a figure of `runtimes.yaml` follows, by default all."""
    parents = class_parents(reads=figure == "bandwidth")
    while kind:
        yield kind
        kind = parents.get(kind, "")
    yield "any"


def common_class(kinds: Collection[str]) -> str:
    """Return the nearest class that all of these are or descend from; empty where only "any" is left."""
    first, *others = (tuple(lineage(kind)) for kind in kinds)
    return next(kind if kind != "any" else "" for kind in first if all(kind in other for other in others))


@lru_cache(maxsize=1)
def _classes() -> Mapping[str, Mapping[str, Any]]:
    """Return the figures of every class, its parents' where it has none of its own."""
    entries: Mapping[str, Mapping[str, Any]] = load("devices.yaml")["classes"]
    found: dict[str, Mapping[str, Any]] = {}
    for name, entry in entries.items():  # a parent stands before its children
        parent = found.get(entry.get("parent", ""), {})
        found[name] = {**parent, **{key: value for key, value in entry.items() if key not in ("parent", "reads_like")}}
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def links() -> Mapping[str, LinkType]:
    """Return all link types by name, aliases left out."""
    data = load("links.yaml")
    found = {
        name: LinkType(
            name=name,
            bandwidth_bytes_per_s=entry["bandwidth_gb_s"] * 1e9,
            latency_s=entry["latency_us"] * 1e-6,
            source=entry["source"],
            aliases=tuple(entry.get("aliases", ())),
        )
        for name, entry in data["links"].items()
    }
    for group in data["wan"].values():
        for one, other, round_trip_ms, *measured in group["pairs"]:
            name = f"wan-{one}-{other}"
            rate = (measured[0] if measured else group["gbit_s"]) * 1e9 / 8
            aliases = (f"wan-{other}-{one}",)
            found[name] = LinkType(name, rate, round_trip_ms * 1e-3 / 2, group["source"], aliases)
    return MappingProxyType(found)


@lru_cache(maxsize=4096)
def device(name: str) -> Device:
    """Return the device of that name or alias; raise `InputError` with the nearest name when there is none.

    Names may be those of the catalog, or what drivers and clouds print: 'NVIDIA H100 80GB HBM3', 'nvidia-tesla-t4'. A
    processor may have another transfer rate and number of channels than in the catalog: 'epyc-rome-8ch@2933'.
    """
    known = _device_names()
    for word in (name, *spellings(name)):
        if word in known:
            return known[word]
    bare = without_size(name)
    if bare is not None and bare[0] in known and _is_size(known[bare[0]], bare[1]):
        return known[bare[0]]
    fitted = ram_speed(name)
    if fitted is not None and fitted[0] in known:
        return _with_ram(known[fitted[0]], plain(name), fitted[1])
    hint = closest(name, [*known, *instances()]) or "; `placement catalog devices` lists them"
    raise InputError(f"the catalog has no device '{_short(name)}'{hint}")


def _is_size(entry: Device, gigabytes: int) -> bool:
    """Tell whether a stated size is that of the device, in GB or GiB, less what the driver keeps."""
    return 0.85 <= entry.memory_bytes / (gigabytes * 1e9) <= 1.1


def _with_ram(base: Device, name: str, bandwidth: float) -> Device:
    if not 0.05 <= bandwidth / base.memory_bandwidth_bytes_per_s <= 20.0:
        rate = f"{bandwidth / 1e9:.0f} GB/s"
        raise InputError(f"expected a transfer rate in MT/s, such as @3200, got '{_short(name)}': {rate}")
    return replace(base, name=name, memory_bandwidth_bytes_per_s=bandwidth, aliases=())


def link(name: str) -> LinkType:
    """Return the link type of that name or alias; raise `InputError` with the nearest name when there is none."""
    known = _link_names()
    found = known.get(name) or known.get(plain(name))
    if found is None:
        hint = nearest(plain(name), known) or "; `placement catalog links` lists them"
        raise InputError(f"the catalog has no link type '{name}'{hint}")
    return found


@lru_cache(maxsize=1)
def _device_names() -> Mapping[str, Device]:
    known = {name: entry for entry in devices().values() for name in (*entry.aliases, entry.name)}
    return known | {name: known[other] for name, other in load("device_names.yaml")["names"].items()}


@lru_cache(maxsize=1)
def _link_names() -> Mapping[str, LinkType]:
    return {name: entry for entry in links().values() for name in (*entry.aliases, entry.name)}


def _device(name: str, entry: Mapping[str, Any], group: Mapping[str, float]) -> Device:
    memory = entry["memory_gib"] * _GIB
    reserve = group.get("reserve_fraction", 0.0) * memory + group.get("reserve_gib", 0.0) * _GIB
    return Device(
        name=name,
        kind=entry["class"],
        memory_bytes=memory,
        memory_bandwidth_bytes_per_s=entry["bandwidth_gb_s"] * 1e9,
        compute_flops_per_s=MappingProxyType({dtype: rate * 1e12 for dtype, rate in entry["tflops"].items()}),
        compute_efficiency=group["compute_efficiency"],
        bandwidth_efficiency=group["bandwidth_efficiency"],
        overhead_s=group["overhead_us"] * 1e-6,
        reserve_bytes=reserve,
        power_w=float(entry["power_w"]),
        price_per_hour=float(entry.get("price_per_hour", 0.0)),
        interconnect=entry["interconnect"],
        source=entry["source"],
        rent=entry.get("rent", ""),
        cores=int(entry.get("cores", 0)),
        aliases=tuple(entry.get("aliases", ())),
    )


def _short(name: str) -> str:
    """Return at most 60 characters of a name that a user wrote."""
    return name if len(name) <= 60 else f"{name[:57]}..."
