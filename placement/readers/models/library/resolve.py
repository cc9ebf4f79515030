"""Which class of `transformers` a configuration belongs to, and whether it may be built.

Code that comes with a checkpoint is never run, and nothing is downloaded: a class that the installed `transformers`
does not have is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from placement.errors import InputError, nearest

from ..fields import LARGEST, MOST_LAYERS, shown

MOST_ENTRIES = 100_000
"""Largest count of experts or heads: each may be a module too."""

_DEPTH = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers")
_SIZES = frozenset(
    {"hidden_size", "intermediate_size", "moe_intermediate_size", "vocab_size", "d_model", "n_embd", "ffn_dim"}
)
_COUNTS = ("expert", "heads", "layers", "n_layer", "n_head", "depth", "blocks")
_STATED = ("hidden_size", "num_hidden_layers")
_ENDINGS = re.compile(r"(forcausallm|lmheadmodel|forconditionalgeneration|formaskedlm|decoder|model)$")
_TEXT = ("text_config", "language_config", "llm_config", "thinker_config")


def resolve(values: Mapping[str, Any], where: str) -> tuple[type[Any], Any, tuple[str, ...]]:
    """Return the class of a model, its configuration, and notes.

    Parameters
    ----------
    values : mapping
        What a config.json holds.
    where : str
        What errors call the file.

    Returns
    -------
    class, configuration, notes

    Raises
    ------
    InputError
        The class is not in the installed `transformers`, or a size is out of range or missing.
    """
    check_sizes(values, where)
    model_class, notes = _class_of(values, where)
    if model_class is None:
        inner = next((values[key] for key in _TEXT if isinstance(values.get(key), Mapping)), None)
        if inner is None or not (inner.get("model_type") or inner.get("architectures")):
            raise _unknown(values, where)
        outside = {"tie_word_embeddings": values["tie_word_embeddings"]} if "tie_word_embeddings" in values else {}
        found, config, inner_notes = resolve({**outside, **inner}, where)
        left_out = f"{shown(_title(values))} is not known to transformers {version('transformers')}: only its "
        return found, config, (*inner_notes, f"{left_out}language model is read, and nothing else is counted.")
    config = _config(model_class.config_class, values, where)
    return model_class, config, (*notes, *_defaults(config, values, where))


def check_sizes(values: Mapping[str, Any], where: str, depth: int = 0) -> None:
    """Raise `InputError` when a number cannot be a size: negative, or too large to be built."""
    if depth > 20:
        raise InputError("is nested more than 20 deep", where)
    for key, value in values.items():
        at = f"{where}: {key}"
        if isinstance(value, Mapping):
            check_sizes(value, at, depth + 1)
        elif isinstance(value, list) and len(value) > MOST_ENTRIES:
            raise InputError(f"expected at most {MOST_ENTRIES} entries, got {len(value)}", at)
        elif isinstance(value, int) and not isinstance(value, bool):
            _check_size(str(key), value, at)


def _check_size(key: str, value: int, where: str) -> None:
    if abs(value) > LARGEST and ("size" in key or key.endswith("_dim") or _is_count(key)):
        raise InputError(f"expected a whole number up to {LARGEST}, got {shown(value)}", where)
    if value < 0 and (key in _SIZES or key in _DEPTH or key.endswith("_dim") or _is_count(key)):
        raise InputError(f"expected a positive whole number, got {value}", where)
    if key in _DEPTH and value > MOST_LAYERS:
        raise InputError(f"expected at most {MOST_LAYERS} layers, got {value}", where)
    if _is_count(key) and value > MOST_ENTRIES:
        raise InputError(f"expected at most {MOST_ENTRIES}, got {value}", where)


def _is_count(key: str) -> bool:
    return key.startswith(("num_", "n_")) and any(word in key for word in _COUNTS)


def _other_type(kind: str | None, arch: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    """A note where only the name of the architecture says what a model of an unknown type is."""
    if kind is None or kind in known:
        return ()
    return (f"The type {shown(kind)} is not known to transformers: read as its architecture, {arch}.",)


def _class_of(values: Mapping[str, Any], where: str) -> tuple[type[Any] | None, tuple[str, ...]]:
    import transformers
    from transformers.models.auto import configuration_auto, modeling_auto

    types: Mapping[str, Any] = configuration_auto.CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]
    stated = values.get("architectures")
    arch = stated[0] if isinstance(stated, list) and stated and isinstance(stated[0], str) else ""
    kind = values.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise InputError(f"expected a text, got {shown(kind)}", f"{where}: model_type")
    found = getattr(transformers, arch, None) if arch.isidentifier() else None
    if isinstance(found, type) and getattr(found, "config_class", None) is not None:
        return _whole(found, modeling_auto), _other_type(kind, arch, types)
    if kind is None or kind not in types:
        return None, ()
    tables: tuple[Mapping[str, Any], ...] = (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_MAPPING_NAMES,
    )
    if any(isinstance(values.get(key), Mapping) for key in _TEXT):
        tables = (tables[1], *tables)
    name: Any = next((table[kind] for table in tables if kind in table), None)
    name = name[0] if isinstance(name, tuple | list) else name
    native = getattr(transformers, name, None) if name else None
    if native is None or (arch and not _alike(arch, name)):
        return None, ()
    note = f"The architecture {arch} is not known to transformers {version('transformers')}: read as {name}."
    return native, ((note,) if arch else ())


def _whole(found: type[Any], modeling_auto: Any) -> type[Any]:
    """Return the class with a language head, where a configuration names the bare model."""
    import transformers

    for table in (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    ):
        if found.__name__ == modeling_auto.MODEL_MAPPING_NAMES.get(found.config_class.model_type) and (
            name := table.get(found.config_class.model_type)
        ):
            return getattr(transformers, name, found)
    return found


def _alike(stated: str, native: str) -> bool:
    """Tell whether a stated class is another name of a native one: the same stem, and nothing after the ending."""
    one, other = stated.lower(), native.lower()
    if not _ENDINGS.search(one):
        return False
    one, other = _ENDINGS.sub("", one), _ENDINGS.sub("", other)
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return same >= 0.8 * min(len(one), len(other)) and same >= 3


def _config(config_class: type[Any], values: Mapping[str, Any], where: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    plain = {key: value for key, value in values.items() if key not in ("auto_map", "quantization_config")}
    kind = str(values.get("model_type"))
    stated: Any = CONFIG_MAPPING[kind] if kind in CONFIG_MAPPING else config_class  # noqa: SIM401 (it has no get)
    try:
        config = stated.from_dict(plain)
        if isinstance(config, config_class):
            return config
        inner = config.get_text_config(decoder=True)  # of a model for several media, the class may be that of its text
        return inner if isinstance(inner, config_class) else config_class.from_dict(plain)
    except Exception as error:
        raise InputError(f"is refused by transformers: {one_line(error)}", where) from None


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line of at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= 160 else f"{text[:157]}..."


def whole_number(config: Any, name: str) -> int | None:
    """Return a whole number of a configuration, or None where it has none that holds for all layers."""
    try:
        value = getattr(config, name, None)
    except Exception:  # where layers differ, the number of the whole raises an error of its own kind
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _defaults(config: Any, values: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return a note that names the sizes that the file leaves to the defaults of the class."""
    text = config.get_text_config()
    key = _place_of(text, values)
    stated = values[key] if key else values
    names: dict[str, str] = dict(getattr(type(text), "attribute_map", None) or {})
    for name in _STATED:
        other = names.get(name)
        known = whole_number(text, name) is not None
        if known and not any(word in stated for word in (name, other, *_spellings(name))):
            raise InputError("the key is missing", f"{where}: {f'{key}.' if key else ''}{other or name}")
    heads = whole_number(text, "num_attention_heads")
    silent = {
        name: value
        for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size")
        if (value := whole_number(text, name)) is not None
        and name not in stated
        and names.get(name) not in stated
        and not (name == "num_key_value_heads" and value == heads)
    }
    if not silent:
        return ()
    told = ", ".join(f"{name} {value}" for name, value in silent.items())
    return (f"Not stated, taken from the defaults of {type(text).__name__}: {told}.",)


def _place_of(text: Any, values: Mapping[str, Any]) -> str | None:
    """Return the key under which a file states the configuration of the language model; None: at the top."""
    nested = [key for key, value in values.items() if isinstance(value, Mapping)]
    same = (key for key in nested if values[key].get("model_type") == text.model_type != values.get("model_type"))
    return next(same, None) or next((key for key in _TEXT if key in nested), None)


def _spellings(name: str) -> Iterator[str]:
    spelled = {
        "hidden_size": ("n_embd", "d_model", "n_embed", "dim", "model_dim", "hidden_dim", "emb_dim"),
        "num_hidden_layers": (
            *_DEPTH,
            "num_decoder_layers",
            "layers_block_type",
            "hybrid_override_pattern",
            "layer_types",
            "num_blocks",
        ),
    }
    yield from spelled[name]


def _title(values: Mapping[str, Any]) -> str:
    stated = values.get("architectures")
    if isinstance(stated, list) and stated and isinstance(stated[0], str):
        return stated[0]
    return str(values.get("model_type") or "an unnamed architecture")


def _unknown(values: Mapping[str, Any], where: str) -> InputError:
    from transformers.models.auto import configuration_auto

    title, kind = _title(values), str(values.get("model_type") or "")
    hint = nearest(kind, list(configuration_auto.CONFIG_MAPPING)) if kind else ""
    code = "; its own code would have to be run, which is never done" if values.get("auto_map") else ""
    key = "model_type" if kind else "architectures"
    return InputError(
        f"{shown(title)} is not known to transformers {version('transformers')}{hint}{code}", f"{where}: {key}"
    )
