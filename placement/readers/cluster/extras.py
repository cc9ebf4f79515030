"""`extras` of a cluster file: a draft model and a vision tower, with memory, work and a block that they lie with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from placement.errors import InputError
from placement.question.model import Block, Extra, Model
from placement.question.request import Draft

from ..models.build import homes
from ..models.read import read_model
from ..schema.extras import DraftEntry, Extras, TowerEntry

BYTES_OF_A_WEIGHT = 2.0  # of towers: quantizations are of the language model


def with_extras(model: Model, entry: Extras, draft: Draft | None) -> Model:
    """The model with what the file says runs beside it."""
    found = []
    if entry.vision is not None:
        found.append(_tower(entry.vision))
    if draft is not None:
        blocks = draft.model.blocks
        found.append(
            Extra(
                name=draft.model.name,
                kind="draft",
                weight_bytes=draft.model.weight_bytes,
                block=draft.block,
                params=draft.model.params,
                kv_bytes_per_token=sum(block.kv_bytes_per_token + block.kept_bytes_per_token for block in blocks),
                state_bytes=sum(block.state_bytes for block in blocks),
            )
        )
    added = tuple(found)
    notes = (*model.notes, *homes(added, model.blocks))
    return replace(model, extras=(*model.extras, *added), notes=notes) if added else model


def draft_of(entry: DraftEntry | None, model: Model, folder: Path) -> Draft | None:
    """The draft that a file names, for the last block of a model; heads that are no model of their own are one block.

    Raises
    ------
    InputError
        It has neither a model nor weights, or both, or the model is not understood.
    """
    if entry is None:
        return None
    where = "extras.draft"
    if (entry.model is None) == (entry.weights is None):
        raise InputError("expected model or weights, got " + ("neither" if entry.model is None else "both"), where)
    if entry.model is None:
        if entry.quantization is not None:
            raise InputError("weights are in bytes already: expected no quantization", f"{where}.quantization")
        size = float(entry.weights or 0.0)
        # One weight takes 2 bytes and costs one multiplication and one addition: operations = bytes.
        small = Model("draft heads", (Block("draft", size, flops_per_token=size),), weights=model.weights)
    else:
        beside = folder / entry.model  # a path in a file is relative to that file
        try:
            spec = str(beside) if beside.exists() else entry.model
            small = read_model(spec, weights=entry.quantization) if entry.quantization else read_model(spec)
        except InputError as error:
            raise error.under(f"{where}.model") from None
    return Draft(small, entry.tokens, entry.acceptance, model.n_blocks - 1)


def _tower(entry: TowerEntry) -> Extra:
    params = entry.weights / BYTES_OF_A_WEIGHT
    work = 2.0 * params * entry.patches * entry.images
    return Extra("vision tower", "vision", float(entry.weights), 0, int(params), prompt_flops=work)
