"""Instance types of clouds: several devices in one host, with their link and price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from .names import plain
from .tables import load


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type.

    Attributes
    ----------
    name, cloud : str
    device : str
        Catalog name of its devices.
    count : int
        How many there are.
    interconnect : str
        Link type between them.
    price_per_hour : float
        Of the whole instance in $/h; 0: the rent of its devices counts.
    source : str
        Where the figures are from.
    """

    name: str
    cloud: str
    device: str
    count: int
    interconnect: str
    price_per_hour: float
    source: str


_SOURCES = {
    "AWS": "AWS, Amazon EC2 on-demand pricing, us-east-1, 2026",
    "GCP": "Google Cloud, Compute Engine GPU pricing, us-central1, 2025",
    "Azure": "Microsoft Azure, Linux virtual machine pricing, East US, 2025",
}


@cache
def instances() -> Mapping[str, Instance]:
    """Return all instance types by name."""
    return MappingProxyType(
        {
            name: Instance(
                name=name,
                cloud=entry["cloud"],
                device=entry["device"],
                count=entry["count"],
                interconnect=entry["interconnect"],
                price_per_hour=float(entry.get("price_per_hour", 0.0)),
                source=_SOURCES[entry["cloud"]],
            )
            for name, entry in load("instances.yaml").items()
        }
    )


def instance(name: str) -> Instance | None:
    """Return the instance type of that name, or None; `ml.` before it and `Standard_` of Azure may be left out."""
    word = plain(name).removeprefix("ml.")
    return instances().get(word) or instances().get(f"standard-{word}")
