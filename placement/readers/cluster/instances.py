"""Entries of cluster.yaml whose device is an instance type of a cloud, as entries of its devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from placement.catalog.instances import Instance, instance
from placement.errors import InputError

from ..schema.nodes import LinkEntry, NodeEntry


def hosts_apart(entries: Sequence[NodeEntry], notes: list[str]) -> Iterator[tuple[int, NodeEntry]]:
    """Yield the number of each entry and the entry; of an instance type one entry for each host, of its devices.

    `{name: g5, device: g5.12xlarge}` becomes four nodes, `g5-0` to `g5-3`; with `count: 2` there are two hosts, `g5-0`
    with the nodes `g5-0-0` to `g5-0-3`, and `g5-1`. With `tensor_parallel`, so many devices of a host are one node.

    Parameters
    ----------
    entries : sequence of NodeEntry
    notes : list of str
        What had to be assumed is added here.

    Raises
    ------
    InputError
        `tensor_parallel` does not divide the devices of an instance.
    """
    for number, entry in enumerate(entries):
        found = None if entry.device is None else instance(entry.device)
        if found is None:
            yield number, entry
            continue
        host = _devices(entry, found, f"nodes[{number}]")
        priced = entry.price is not None or not found.price_per_hour
        price = (
            "" if priced else f", {found.price_per_hour:g} $/h for all of them, of which a plan counts those it uses"
        )
        what = f"{found.name} is {found.count} x {found.device}, linked by {found.interconnect}{price}"
        notes.append(f"node '{entry.name}': {what}")
        if entry.count is None:
            yield number, host
        else:
            yield from ((number, host.model_copy(update={"name": f"{entry.name}-{i}"})) for i in range(entry.count))


def _devices(entry: NodeEntry, found: Instance, where: str) -> NodeEntry:
    together = entry.together
    if found.count % together:
        raise InputError(
            f"expected a divisor of the {found.count} devices of {found.name}, got {together}",
            f"{where}.tensor_parallel",
        )
    nodes = found.count // together
    update: dict[str, object] = {"device": found.device, "count": nodes if nodes > 1 else None}
    if entry.interconnect is None:
        update["interconnect"] = LinkEntry(link=found.interconnect)
    if entry.price is None and found.price_per_hour:
        update["price"] = found.price_per_hour / found.count
    return entry.model_copy(update=update)
