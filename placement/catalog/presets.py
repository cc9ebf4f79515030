"""Model presets: the facts of published config.json files, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is five times as fast, where it exists


@dataclass(frozen=True, slots=True)
class Preset:
    """One published model.

    Attributes
    ----------
    name : str
    config : mapping
        The keys of its config.json that sizes depend on.
    parameters : int
        Published number of parameters.
    source : str
        Where the configuration and the count were published.
    """

    name: str
    config: Mapping[str, Any]
    parameters: int
    source: str


@cache
def models() -> Mapping[str, Preset]:
    """Return all presets by name, in the order of the catalog."""
    found: dict[str, Preset] = {}
    folder = files(__package__).joinpath("models")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yaml"):
            continue
        for name, entry in yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader).items():
            if name in found:
                raise ValueError(f"the preset {name} is in the catalog twice")
            config = MappingProxyType(dict(entry["config"]))
            found[name] = Preset(name, config, int(entry["parameters"]), str(entry["source"]))
    return MappingProxyType(found)
