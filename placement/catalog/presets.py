"""Model presets: the facts of published config.json files, each with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from .tables import load

_REPOSITORY = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)")
_TUNED = re.compile(r"[-_](?:instruct|it|chat|hf)(?=[-_]|$)")
"""What vendors add to the name of a model that has the same shapes without it."""


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
    aliases : tuple of str
        Other models of the same shapes, and names of repositories.
    context : int
        Tokens of prompt and output that it was made for, as the configuration or the publication says; of several
        weights that share a name, the least.
    contexts : mapping of str to int
        The same of aliases that were made for others.
    """

    name: str
    config: Mapping[str, Any]
    parameters: int
    source: str
    aliases: tuple[str, ...] = ()
    context: int = 0
    contexts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def context_of(self, name: str) -> int:
        """Tokens that the model of one of its names was made for."""
        own = {_plain(alias): tokens for alias, tokens in self.contexts.items()}
        return own.get(_plain(name)) or own.get(_plain(name.rsplit("/", 1)[-1])) or self.context


@cache
def models() -> Mapping[str, Preset]:
    """Return all presets by name, in the order of the catalog."""
    found: dict[str, Preset] = {}
    folder = files(__package__).joinpath("models")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yaml"):
            continue
        for name, entry in load(f"models/{file.name}").items():
            if name in found:
                raise ValueError(f"the preset {name} is in the catalog twice")
            source = str(entry["source"])
            others = dict.fromkeys([*_REPOSITORY.findall(source), *entry.get("aliases", ())])
            config = MappingProxyType(dict(entry["config"]))
            contexts = MappingProxyType(dict(entry.get("contexts", {})))
            lengths = int(entry["context"]), contexts
            found[name] = Preset(name, config, int(entry["parameters"]), source, tuple(others), *lengths)
    return MappingProxyType(found)


def preset(name: str) -> Preset | None:
    """Return the preset of that name, alias or repository, or None.

    Case, signs between words, the vendor before a slash and words such as `-Instruct` do not matter: `llama3.1:8b` and
    `meta-llama/Llama-3.1-8B-Instruct` are llama-3.1-8b.
    """
    known = _names()
    return known.get(_plain(name)) or known.get(_plain(name.rsplit("/", 1)[-1]))


@cache
def _names() -> Mapping[str, Preset]:
    found: dict[str, Preset] = {}
    for entry in models().values():
        for name in (entry.name, *entry.aliases, *(alias.rsplit("/", 1)[-1] for alias in entry.aliases)):
            key = _plain(name)
            if found.setdefault(key, entry) is not entry:
                raise ValueError(f"the name {name} stands for two presets: {found[key].name} and {entry.name}")
    return found


def _plain(name: str) -> str:
    """Return a name without case, signs and words of tuning."""
    return re.sub(r"[\s_:.-]", "", _TUNED.sub("", name.strip().lower()))
