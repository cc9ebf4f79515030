"""Changes of files with `nodes`: they take the plain document and return another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..catalog import hardware
from ..errors import InputError, nearest
from ..readers import units
from .change import FACTOR, MOST_LINKS, Change, Document, counted, put

# Neighbours of a format among those of its kind, the finest first.
LADDERS = (
    ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"),
    ("mlx-8bit", "mlx-6bit", "mlx-4bit", "mlx-3bit"),
    ("bfloat16", "fp8", "int4-g128"),
)
NAMED = ("include", "exclude")


def usual(data: Document) -> Iterator[Change]:
    """One more of each kind of node, one less; every link faster and slower; twice the context; other formats."""
    entries = data.get("nodes") or ()
    for k, entry in enumerate(entries):
        yield Change(f"one more {entry['name']}", more(data, k))
    for k, entry in enumerate(entries):
        if len(entries) > 1 or entry.get("count", 1) > 1:
            yield Change(f"one less {entry['name']}", less(data, k))
    for path, entry, words in list(links(data))[:MOST_LINKS]:
        for factor, side in ((FACTOR, "faster"), (1.0 / FACTOR, "slower")):
            changed = at_rate(entry, factor)
            if changed is not None:
                yield Change(f"{words} {FACTOR:.0f} times {side}", put(data, path, changed))
    yield Change("twice the context", longer(data))
    for name in formats_near(data):
        document = {key: value for key, value in data.items() if key not in ("dtype", "quantization")}
        key = "dtype" if name == "bfloat16" else "quantization"
        yield Change(f"{key} {name}", document | {key: name}, same_model=False)


def own(data: Document, add: Sequence[str], remove: Sequence[str]) -> dict[str, Any]:
    """The document without some nodes and with others, in the region of the first one."""
    document = dict(data)
    for name in remove:
        document = removed(document, name)
    for item in add:
        document = added(document, item)
    return document


def more(data: Document, number: int) -> dict[str, Any]:
    """One node more of an entry; a single one gets a twin, with the links that name it."""
    entry = dict(data["nodes"][number])
    if "count" in entry:
        entry["count"] = entry["count"] + 1
        return put(data, ("nodes", number), entry)
    names = {other["name"] for other in data["nodes"]}
    twin = next(name for k in range(2, len(names) + 3) if (name := f"{entry['name']}-{k}") not in names)
    found = put(data, ("nodes",), [*data["nodes"], {**entry, "name": twin}])
    network = dict(found.get("network") or {})
    lines = list(network.get("links") or ())
    copies = [{**line, "nodes": [twin if n == entry["name"] else n for n in line["nodes"]]} for line in lines]
    network["links"] = [*lines, *(copy for line, copy in zip(lines, copies, strict=True) if copy != line)]
    return {**found, "network": network} if lines else found


def less(data: Document, number: int) -> dict[str, Any]:
    """One node less of an entry."""
    entry = dict(data["nodes"][number])
    if entry.get("count", 1) > 1:
        entry["count"] -= 1
        gone = {f"{entry['name']}-{entry['count']}"}
        return without_names(put(data, ("nodes", number), entry), gone)
    rest = [other for k, other in enumerate(data["nodes"]) if k != number]
    gone = {entry["name"], *([f"{entry['name']}-0"] if "count" in entry else [])}
    return without_names(put(data, ("nodes",), rest), gone)


def removed(data: Document, name: str) -> dict[str, Any]:
    """The document without an entry, or with one node less of an entry with `count`."""
    names = [entry["name"] for entry in data["nodes"]]
    if name in names:
        number = names.index(name)
        gone = {name, *(f"{name}-{k}" for k in range(data["nodes"][number].get("count", 0)))}
        rest = [entry for entry in data["nodes"] if entry["name"] != name]
        if not rest:
            raise InputError("expected a node to be left, got none", "--remove")
        return without_names(put(data, ("nodes",), rest), gone)
    for k, entry in enumerate(data["nodes"]):
        if name in (f"{entry['name']}-{i}" for i in range(entry.get("count", 0))):
            return less(data, k)
    raise InputError(f"there is no node '{name}'{nearest(name, names)}", "--remove")


def added(data: Document, item: str) -> dict[str, Any]:
    """The document with more devices of the catalog."""
    device, count = counted(item, "DEVICE")
    names = {entry["name"] for entry in data["nodes"]}
    name = next(n for k in range(len(names) + 1) if (n := f"added-{device}" + (f"-{k}" if k else "")) not in names)
    entry: dict[str, Any] = {"name": name, "device": device}
    if region := data["nodes"][0].get("region"):
        entry["region"] = region
    if "*" in item:
        entry["count"] = count
    return put(data, ("nodes",), [*data["nodes"], entry])


def without_names(data: Document, gone: set[str]) -> dict[str, Any]:
    """The document without lines that speak of nodes that are gone."""
    found = dict(data)
    for key in NAMED:
        if found.get(key):
            found[key] = [name for name in found[key] if name not in gone]
    if found.get("pins"):
        found["pins"] = {block: name for block, name in found["pins"].items() if name not in gone}
    for holder, key in (("network", "links"), ("client", "links")):
        part = dict(found.get(holder) or {})
        if part.get(key):
            part[key] = [
                line for line in part[key] if not gone & {*line.get("nodes", ()), *filter(None, [line.get("node")])}
            ]
            found[holder] = part
    regions = {entry.get("region", "default") for entry in found["nodes"]}
    regions.add((found.get("client") or {}).get("region") or found["nodes"][0].get("region", "default"))
    network = dict(found.get("network") or {})
    if network.get("within"):
        network["within"] = {name: line for name, line in network["within"].items() if name in regions}
    if network.get("between"):
        network["between"] = [line for line in network["between"] if regions >= set(line["regions"])]
    return {**found, "network": network} if network else found


def links(data: Document) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    """Where each link of the file stands, what it says, and its name for people."""
    network = data.get("network") or {}
    for k, line in enumerate(network.get("between") or ()):
        yield ("network", "between", k), line, f"link {' to '.join(line['regions'])}"
    for name, line in (network.get("within") or {}).items():
        yield ("network", "within", name), line, f"links within {name}"
    for k, line in enumerate(network.get("links") or ()):
        yield ("network", "links", k), line, f"link {' to '.join(line['nodes'])}"
    if network.get("default") is not None:
        yield ("network", "default"), network["default"], "default link"


def at_rate(line: Any, factor: float) -> dict[str, Any] | None:
    """A link with another bandwidth and the same latency; None where the file names what cannot be read."""
    found = {"link": line} if isinstance(line, str) else dict(line)
    kind = hardware.link(found.pop("link")) if "link" in found else None
    try:
        rate = units.bandwidth(found["bandwidth"]) if "bandwidth" in found else None
    except ValueError:
        return None
    if rate is None and kind is not None:
        rate = kind.bandwidth_bytes_per_s
    if rate is None:
        return None
    found["bandwidth"] = f"{rate * factor:.6g} B/s"
    if "latency" not in found and kind is not None:
        found["latency"] = f"{kind.latency_s * 1e6:.6g} us"
    return found


def longer(data: Document) -> dict[str, Any]:
    """Twice the tokens of the prompt, or of the context where the file states that."""
    work = dict(data.get("workload") or {})
    if isinstance(work.get("context"), int):
        work["context"] *= 2
    elif work.get("context") is None:
        work["prompt_tokens"] = 2 * work.get("prompt_tokens", 512)
    return {**data, "workload": work}


def formats_near(data: Document) -> list[str]:
    """One step finer and one step coarser than the format that the file states; none for blocks given inline."""
    if not isinstance(data.get("model"), str):
        return []
    stated = data.get("quantization")
    names = stated if isinstance(stated, list) else [stated or data.get("dtype") or "bfloat16"]
    name = str(names[0]).lower().replace("_", "-")
    for ladder in LADDERS:
        plain = [step.replace("_", "-") for step in ladder]
        if name in plain:
            at = plain.index(name)
            return [ladder[k] for k in (at - 1, at + 1) if 0 <= k < len(ladder) and ladder[k] not in names]
    return [step for step in ("fp8", "int4-g128") if step not in names]
