"""Architectures that are read without `transformers`, by formulas that a test holds equal to its modules.

A configuration is served only where every key in it was understood, or is known to change neither tensors nor caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from placement.errors import InputError

from .classic import PLAIN_STYLES, PlainStyle, bloom, falcon, gpt2, opt, plain_decoder, qwen
from .deepseek import deepseek
from .families import STYLES, Style, gated_decoder
from .fields import MOST_LAYERS, Fields, shown
from .llama4 import llama4
from .parts import Shape


def _styled(style: Style) -> Callable[[Fields], Shape]:
    return lambda f: gated_decoder(f, style)


def _plain(style: PlainStyle) -> Callable[[Fields], Shape]:
    return lambda f: plain_decoder(f, style)


FAMILIES: Mapping[str, Callable[[Fields], Shape]] = {
    **{name: _styled(style) for name, style in STYLES.items()},
    **{name: _plain(style) for name, style in PLAIN_STYLES.items()},
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "kimi_k2": deepseek,
    "llama4_text": llama4,
    "gpt2": gpt2,
    "bloom": bloom,
    "opt": opt,
    "falcon": falcon,
    "qwen": qwen,
    "nemotron-nas": _styled(Style()),
}
"""The reader of each known `model_type`; Qwen 1 and pruned Nemotron are held to published totals."""


_CLASSES: Mapping[str, str] = {
    "gpt2": "gpt2lmheadmodel",
    "qwen": "qwenlmheadmodel",
    "gemma3_text": "gemma3forcausallm",
    "llama4_text": "llama4forcausallm",
    "kimi_k2": "deepseekv3forcausallm",
    "nemotron-nas": "decilmforcausallm",
}
"""Classes whose names do not follow from the `model_type`, in small letters."""

_OTHER_NAMES = {
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "refinedweb": "falcon",
    "refinedwebmodel": "falcon",
    "deepseekv3": "deepseek_v3",
}
_INSIDE = ("text_config", "language_config", "llm_config")


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A configuration that no formula serves.

    Attributes
    ----------
    architecture : str
        What it calls itself.
    keys : tuple of str
        Keys that were not understood, at most six.
    """

    architecture: str
    keys: tuple[str, ...] = ()


def from_formulas(values: Mapping[str, Any], where: str = "config.json") -> Shape | NotUnderstood:
    """Return the tensors of the language model in a configuration, or what was not understood of it.

    Parameters
    ----------
    values : mapping
        What a config.json holds.
    where : str
        What errors call the file.

    Raises
    ------
    InputError
        A value of an architecture that is known is wrong.
    """
    inner, notes = language_part(values, where)
    fields = Fields(inner, where)
    depth = fields.find("num_hidden_layers", "n_layer")
    if depth and fields.count(depth) > MOST_LAYERS:
        raise fields.error(depth, f"expected at most {MOST_LAYERS} layers, got {inner[depth]}")
    family = _family_name(fields)
    title = f"'{family}'" if family else "an unnamed architecture"
    if family not in FAMILIES or fields.flag("is_encoder_decoder", False):
        return NotUnderstood(title, _unusual(fields, frozenset(_keys()["usual"])))
    stated = str(next(iter(fields.items("architectures")), "")) if not notes else ""
    if stated and stated.lower() != _CLASSES.get(family, family.replace("_", "").replace("-", "") + "forcausallm"):
        return NotUnderstood(shown(stated))
    shape = FAMILIES[family](fields)
    unknown = _unusual(fields, frozenset(_keys()["without_effect"].get(family, ())))
    return NotUnderstood(title, unknown) if unknown else replace(shape, notes=(*shape.notes, *notes, *_drafts(fields)))


def _drafts(fields: Fields) -> tuple[str, ...]:
    heads = fields.count("num_nextn_predict_layers", default=0, zero=True)
    note = f"The draft head (num_nextn_predict_layers: {heads}) is no part of the chain, and is not counted."
    return (note,) if heads else ()


@cache
def _keys() -> Mapping[str, Any]:
    """Return what is known of keys that the formulas do not read."""
    text = files("placement.catalog").joinpath("config_keys.yaml").read_text(encoding="utf-8")
    known: Mapping[str, Any] = yaml.safe_load(text)
    return known


def _unusual(fields: Fields, usual: frozenset[str]) -> tuple[str, ...]:
    """Return the keys that were not asked for and that switch something on."""
    asked, only = fields.seen | usual | set(_keys()["neutral"]), _keys()["only"]
    return tuple(
        key if len(key) <= 40 else f"{key[:37]}..."
        for key, value in fields.values.items()
        if key not in asked and value not in (None, False, 0, "", [], {}) and only.get(key) != value
    )[:6]


def language_part(values: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the keys of the language model of a configuration, and a note where there is more."""
    key = next((key for key in _INSIDE if values.get(key) is not None), None)
    if key is None:
        return values, ()
    inner = values[key]
    if not isinstance(inner, Mapping):
        raise InputError(f"expected an object, got {shown(inner)}", f"{where}: {key}")
    outside = {k: values[k] for k in ("tie_word_embeddings", "model_type") if k in values}
    note = f"Only the language model ({key}) is placed; vision and audio towers are left out."
    return {**outside, **inner}, (note,)


def _family_name(fields: Fields) -> str:
    name = fields.text("model_type").lower()
    if not name:
        entries = fields.items("architectures")
        name = str(entries[0]).lower().removesuffix("forcausallm").removesuffix("lmheadmodel") if entries else ""
        joined = {known.replace("_", ""): known for known in FAMILIES}
        name = joined.get(name, name)
    return _OTHER_NAMES.get(name, name)
