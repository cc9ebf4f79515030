"""`placement catalog`: the devices, links and models that a cluster file may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any

import typer

from ..catalog import hardware
from ..catalog.instances import instances
from ..catalog.presets import models
from ..quantities import quantity, scaled, seconds, size
from ..readers.models.quantization import QUANTIZATIONS
from .options import Json
from .output import console, print_json


class Kind(StrEnum):
    """What the catalog has."""

    devices = "devices"
    instances = "instances"
    models = "models"
    links = "links"
    formats = "formats"


_LEAST_LETTERS = 5
"""Of a shorter word the dashes count: `r1` is no part of `super-120b`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(catalog)


def catalog(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    match: Annotated[str | None, typer.Argument(help="Only names and aliases that contain this.")] = None,
    json: Json = False,
) -> None:
    """List devices, instance types of clouds, models, links or formats of weights, each with its source."""
    entries = {name: entry for name, entry in entries_of(kind).items() if is_match(entry, match or "")}
    if json:
        print_json([plain_entry(entry) for entry in entries.values()])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, justify in COLUMNS[kind]:
        table.add_column(title, justify=justify, overflow="fold")
    for entry in entries.values():
        table.add_row(*ROWS[kind](entry))
    console().print(table)


def entries_of(kind: Kind) -> Mapping[str, Any]:
    """The entries of one kind, by name."""
    if kind is Kind.models:
        return models()
    if kind is Kind.instances:
        return instances()
    if kind is Kind.formats:
        return QUANTIZATIONS
    return hardware.devices() if kind is Kind.devices else hardware.links()


def is_match(entry: Any, word: str) -> bool:
    """Tell whether the name of an entry or one of its aliases contains `word`, whatever the case and the spaces."""
    wanted, short = _dashed(word), _dashed(word).replace("-", "")
    names = [_dashed(name) for name in (entry.name, *getattr(entry, "aliases", ()))]
    if any(wanted in name for name in names):
        return True
    return len(short) >= _LEAST_LETTERS and any(short in name.replace("-", "") for name in names)


def _dashed(name: str) -> str:
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def plain_entry(entry: Any) -> dict[str, Any]:
    """A catalog entry as plain data."""
    values = {item.name: getattr(entry, item.name) for item in fields(entry)}
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()}


def _device(entry: Any) -> tuple[str, ...]:
    rates = entry.compute_flops_per_s
    best = rates.get("bfloat16") or rates.get("float16") or rates.get("float32") or max(rates.values())
    price = quantity(entry.price_per_hour, "$/h") if entry.price_per_hour else ""
    bandwidth = scaled(entry.memory_bandwidth_bytes_per_s, "B/s")
    return entry.name, size(entry.memory_bytes), bandwidth, scaled(best, "FLOP/s"), f"{entry.power_w:.0f} W", price


def _model(entry: Any) -> tuple[str, ...]:
    short = [alias for alias in entry.aliases if "/" not in alias]
    return entry.name, f"{entry.parameters / 1e9:.2f} B", f"{entry.context:,}", ", ".join(short), entry.source


def _instance(entry: Any) -> tuple[str, ...]:
    price = quantity(entry.price_per_hour, "$/h") if entry.price_per_hour else ""
    return entry.name, entry.cloud, f"{entry.count} x {entry.device}", entry.interconnect, price


def _format(entry: Any) -> tuple[str, ...]:
    return entry.name, f"{entry.bits:.4g}", entry.compute_dtype, entry.source


def _link(entry: Any) -> tuple[str, ...]:
    return entry.name, scaled(entry.bandwidth_bytes_per_s, "B/s"), seconds(entry.latency_s)


COLUMNS: dict[Kind, tuple[tuple[str, Any], ...]] = {
    Kind.devices: (
        ("device", "left"),
        ("memory", "right"),
        ("bandwidth", "right"),
        ("16-bit", "right"),
        ("power", "right"),
        ("rent", "right"),
    ),
    Kind.models: (
        ("model", "left"),
        ("parameters", "right"),
        ("context", "right"),
        ("also", "left"),
        ("source", "left"),
    ),
    Kind.links: (("link", "left"), ("bandwidth", "right"), ("latency", "right")),
    Kind.instances: (
        ("instance", "left"),
        ("cloud", "left"),
        ("devices", "left"),
        ("link between them", "left"),
        ("on demand", "right"),
    ),
    Kind.formats: (("format", "left"), ("bits", "right"), ("computed in", "left"), ("layout", "left")),
}
ROWS = {
    Kind.devices: _device,
    Kind.instances: _instance,
    Kind.models: _model,
    Kind.links: _link,
    Kind.formats: _format,
}
