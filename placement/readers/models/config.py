"""Hugging Face `config.json` to `Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.files import read_document
from placement.question.model import Model

from .build import build_model
from .classic import PLAIN_STYLES, PlainStyle, bloom, falcon, gpt2, opt, plain_decoder
from .deepseek import deepseek
from .families import STYLES, Style, gated_decoder
from .fields import Fields, shown
from .llama4 import llama4
from .parts import Shape
from .stored.choice import choose_format
from .stored.find import stored_format

LARGEST_FILE = 10_000_000
"""Bytes of the largest JSON file that is read."""

LARGEST_DEPTH = 10_000
"""Most layers that are accepted."""


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
}
"""The reader of each known `model_type`."""

_OTHER_NAMES = {
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "refinedweb": "falcon",
    "refinedwebmodel": "falcon",
    "deepseekv3": "deepseek_v3",
}
_NOT_DECODERS = frozenset(
    {"bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "deberta-v2", "modernbert"}
)
_RECURRENT_KEYS = ("mamba_", "ssm_", "linear_num_", "hybrid_override_pattern", "attn_layer_period", "rwkv_")
_INSIDE = ("text_config", "language_config", "llm_config")


def read_config(
    config: Mapping[str, Any] | str | Path,
    *,
    weights: str | None = None,
    kv_dtype: str | None = None,
    name: str | None = None,
) -> Model:
    """Return the model that a Hugging Face configuration describes.

    Parameters
    ----------
    config : mapping or path
        The content of a config.json, or where the file is.
    weights : str, optional
        Number format or quantization of the weights; by default what the configuration states, else 16 bits.
    kv_dtype : str, optional
        Number format of the KV cache; by default what the configuration states, else 16 bits (32 for float32 weights).
    name : str, optional
        Name of the model; by default the one in the configuration.

    Returns
    -------
    Model
        Blocks `embed`, `layer.0`, ..., `head`.
    """
    values, where = (config, "config.json") if isinstance(config, Mapping) else (load_json(Path(config)), str(config))
    beside = None if isinstance(config, Mapping) else beside_of(Path(config))
    chosen = choose_format(stored_format(values, beside, where), weights, kv_dtype)
    shape = read_shape(values, where)
    title = name or _title(values, config)
    shape = replace(shape, notes=(*shape.notes, *chosen.notes))
    return build_model(shape, title, chosen.format, chosen.kv_dtype)


def read_shape(values: Mapping[str, Any], where: str = "config.json") -> Shape:
    """Return the tensors of the language model in a configuration, by role and size."""
    inner, notes = _language_model(values, where)
    fields = Fields(inner, where)
    depth = fields.find("num_hidden_layers", "n_layer")
    if depth and fields.count(depth) > LARGEST_DEPTH:
        raise fields.error(depth, f"expected at most {LARGEST_DEPTH} layers, got {inner[depth]}")
    family = _family_name(fields)
    if fields.flag("is_encoder_decoder", False) or family in _NOT_DECODERS:
        raise fields.error("model_type", f"'{family}' is no decoder-only model, which alone are supported")
    known = FAMILIES.get(family)
    shape = known(fields) if known else _assumed(fields, family)
    return replace(shape, notes=(*shape.notes, *notes))


def beside_of(path: Path) -> Mapping[str, Any] | None:
    """Return the content of the hf_quant_config.json beside a configuration, where there is one."""
    file = path.with_name("hf_quant_config.json")
    return load_json(file) if file.is_file() else None


def load_json(path: Path, largest: int = LARGEST_FILE) -> Mapping[str, Any]:
    """Return the mapping in a JSON file of at most `largest` bytes."""
    return read_document(path, largest=largest, form="json")


def _language_model(values: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
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


def _assumed(fields: Fields, family: str) -> Shape:
    """Read an unknown architecture by its keys, and say so."""
    title = f"'{family}'" if family else "an unnamed architecture"
    recurrent = next((key for key in fields.values if key.startswith(_RECURRENT_KEYS)), None)
    if recurrent:
        raise fields.error(recurrent, f"the architecture {title} has layers without attention, which are not supported")
    try:
        if "kv_lora_rank" in fields:
            shape, assumed = deepseek(fields), "DeepSeek's latent attention and experts"
        else:
            sparse = fields.find("num_local_experts", "num_experts", "n_routed_experts") is not None
            shape = gated_decoder(fields, Style(moe=sparse))
            assumed = "a Llama-like decoder" + (" with routed experts" if sparse else "")
    except InputError as error:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(
            f"{error.detail}; the architecture {title} is not known (known: {known})", error.where
        ) from None
    return replace(shape, notes=(f"The architecture {title} is not known: read as {assumed}.",))


def _title(values: Mapping[str, Any], config: object) -> str:
    stated = values.get("_name_or_path") or values.get("name")
    if isinstance(stated, str) and stated:
        return stated.rstrip("/").rsplit("/", 1)[-1]
    if isinstance(config, str | Path):
        path = Path(config)
        return path.resolve().parent.name if path.name == "config.json" else path.stem
    return str(values.get("model_type") or "model")
