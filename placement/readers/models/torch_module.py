"""A `torch.nn.Module`, on the meta device if you like: what runs when it runs, or else how it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from placement.errors import InputError
from placement.question.model import Model

from .build import build_model
from .config import read_config
from .facts import with_facts
from .library.language import quiet, shape_of
from .library.modules import Ran, model_of, on_meta, run_without_data
from .library.structure import Structure, structure
from .library.survey import survey
from .quantization import QUANTIZATIONS, canonical, quantization


def read_module(
    module: nn.Module,
    *,
    name: str | None = None,
    kv_dtype: str | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> Model:
    """Return the model that a torch module is.

    Parameters
    ----------
    module : torch.nn.Module
        Its blocks are the items of its outermost lists (`nn.ModuleList`, `nn.ModuleDict`, `nn.Sequential`), one or
        several; meta tensors are enough.
    name : str, optional
        Name of the model; by default that of its class.
    kv_dtype : str, optional
        Number format of the KV cache.
    inputs : mapping, optional
        Arguments of its forward, by name; tensors stand for their shapes. By default they are guessed.

    Returns
    -------
    Model
        A language model of `transformers` with its caches; any other module with the operations of one pass without
        data, or, where it cannot be run, 2 per parameter and token. `Model.notes` says which.

    Raises
    ------
    InputError
        The module is no chain: it has no lists of modules that run one after another.
    """
    title = name or type(module).__name__
    dtype = _dtype(module)
    language = _language_model(module, title, dtype, kv_dtype) if inputs is None else None
    if language is not None:
        return language
    ran = run_without_data(module, inputs)
    if isinstance(ran, Ran):
        if ran.chain is None:
            raise _no_chain(module)
        return model_of(module, ran, ran.chain, title, dtype)
    if inputs is not None:
        raise InputError(ran, "model")
    found = structure(module)
    if found is None:
        raise _no_chain(module)
    return _described(module, found, dtype, kv_dtype, title, ran)


def _language_model(module: Any, name: str, dtype: str, kv_dtype: str | None) -> Model | None:
    """Return a language model of `transformers` with its caches, or None where the module is none."""
    config: Any = getattr(module, "config", None)
    if not hasattr(config, "get_text_config") or getattr(config, "is_encoder_decoder", False):
        return None
    if getattr(module, "main_input_name", "") != "input_ids" or module.get_output_embeddings() is None:
        return None
    training = module.training
    try:
        with quiet(), on_meta(module):
            shape = shape_of(survey(module, "model"), (), config.to_dict())
    except InputError:
        return None
    finally:
        module.train(training)
    return with_facts(build_model(shape, name, quantization(dtype), kv_dtype), config.to_dict())


def _described(module: nn.Module, found: Structure, dtype: str, kv_dtype: str | None, name: str, reason: str) -> Model:
    """Return a module that cannot be run: operations and caches of its configuration, where that fits."""
    plain = found.model(name, dtype)
    told = _configured(module, plain.n_blocks - 2, dtype, kv_dtype, name)
    if isinstance(told, str):
        return replace(plain, notes=(*plain.notes, f"{reason}; {told}: no KV cache counted."))
    return replace(told, blocks=found.with_true_sizes(told.blocks), ties=plain.ties, notes=told.notes + plain.notes[1:])


def _configured(module: nn.Module, layers: int, dtype: str, kv_dtype: str | None, name: str) -> Model | str:
    """Return the model that the module's config describes, or the reason why there is none."""
    config: Any = getattr(module, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(values, Mapping):
        return "the module has no config"
    try:
        model = read_config(values, weights=dtype, kv_dtype=kv_dtype, name=name)
    except InputError as error:
        return f"the module's config is of no use ({error})"
    if model.n_blocks != layers + 2:
        return f"the module has {layers} layers and its config says {model.n_blocks - 2}"
    return model


def _dtype(module: nn.Module) -> str:
    shares: dict[str, float] = {}
    for parameter in module.parameters():
        kind = canonical(str(parameter.dtype))
        shares[kind] = shares.get(kind, 0.0) + parameter.numel() * parameter.element_size()
    name = max(shares, key=lambda kind: shares[kind]) if shares else "float32"
    return name if name in QUANTIZATIONS else "bfloat16"


def _no_chain(module: nn.Module) -> InputError:
    children = [path for path, _ in module.named_children()]
    named = ", ".join(children[:5]) + (", ..." if len(children) > 5 else "")
    has = f"it has {named}" if children else "it has no modules"
    return InputError(
        f"{type(module).__name__} is no chain: expected layers in an nn.ModuleList, nn.ModuleDict or nn.Sequential "
        f"that run one after another; {has}",
        "model",
    )
