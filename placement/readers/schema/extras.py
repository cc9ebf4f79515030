"""`extras` of a cluster file: what runs beside the chain, a draft model and a vision tower."""

from __future__ import annotations

from pydantic import Field

from placement.files.entries import Count, Entry, Name, PositiveInt

from .fields import Fraction, Size


class DraftEntry(Entry):
    """A small model, or heads of the model itself, that proposes tokens."""

    model: Name | None = Field(default=None, description="catalog preset, path to config.json, folder or .gguf file")
    quantization: Name | None = Field(default=None, description="number format of the draft model")
    weights: Size | None = Field(default=None, description="bytes of heads that are no model of their own (MTP)")
    tokens: PositiveInt = Field(default=4, description="tokens that are proposed at a time")
    acceptance: Fraction = Field(description="probability that a proposed token is right, as it was measured")


class TowerEntry(Entry):
    """A tower that turns images into tokens of the prompt."""

    weights: Size = Field(description="bytes of its weights, in 16 bits")
    patches: PositiveInt = Field(default=576, description="tokens of an image inside the tower")
    images: Count = Field(default=1, description="images of a prompt; their tokens are among its prompt_tokens")


class Extras(Entry):
    """Modules beside the chain: in the memory of the node that holds the head (draft) or the embedding (vision)."""

    draft: DraftEntry | None = None
    vision: TowerEntry | None = None
