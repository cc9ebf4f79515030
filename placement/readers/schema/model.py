"""Schema of a model that is written into cluster.yaml itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from placement.files.entries import MAX_COUNT, Bool, Count, Entry, Name, NonNegativeInt, PositiveInt

from .fields import BlockRef, Operations, Size, SizeOrZero


class BlockEntry(Entry):
    """One block, or `repeat` blocks of one shape that are named `layer.0`, `layer.1`, ..."""

    name: Name = Field(description="name of the block; with `repeat`, a number follows it")
    repeat: Count | None = Field(default=None, description="how many such blocks follow each other")
    weights: Size = Field(description="bytes of all weights of one block")
    kv_per_token: SizeOrZero = Field(default=0.0, description="bytes of KV cache per sequence and token of context")
    kv_window: PositiveInt | None = Field(default=None, description="tokens that a sliding window keeps")
    state: SizeOrZero = Field(default=0.0, description="bytes of cache per sequence that do not grow with the context")
    activation_per_token: SizeOrZero | None = Field(
        default=None, description="bytes per token handed to the next block; by default that of a neighbouring block"
    )
    flops_per_token: Operations | None = Field(
        default=None,
        description="operations per token; by default two per weight in use, weights taken as 16-bit numbers",
    )
    attention_flops_per_token: Operations = Field(default=0.0, description="operations per token and token of context")
    expert_weights: SizeOrZero = Field(default=0.0, description="the part of `weights` in routed experts")
    ffn_weights: SizeOrZero = Field(default=0.0, description="the part of `weights` in a dense or shared feed-forward")
    experts: NonNegativeInt = Field(default=0, description="number of routed experts")
    experts_per_token: NonNegativeInt = Field(default=0, description="how many of them one token uses")
    kind: Name | None = Field(
        default=None,
        description="blocks of one kind are alike; by default read off the name: 'embed', 'head' or 'layer'",
    )
    lookup: Bool | None = Field(
        default=None, description="weights are looked up, not read as a whole; by default for 'embed'"
    )
    last_token_only: Bool | None = Field(
        default=None, description="a prompt's last token only passes; by default for 'head'"
    )
    params: NonNegativeInt = Field(default=0, description="number of parameters, for people")

    @model_validator(mode="after")
    def _experts_agree(self) -> BlockEntry:
        if self.expert_weights > self.weights:
            raise ValueError("expected expert_weights to be a part of weights, got more than all of them")
        if self.ffn_weights + self.expert_weights > self.weights:
            raise ValueError(
                "expected ffn_weights and expert_weights to be parts of weights, got more than all of them"
            )
        if self.experts_per_token > self.experts:
            raise ValueError(f"expected experts_per_token of at most experts ({self.experts})")
        if self.experts and not (self.experts_per_token and self.expert_weights):
            raise ValueError("experts also needs experts_per_token and expert_weights")
        return self


class TieEntry(Entry):
    """Blocks that share a tensor."""

    blocks: list[BlockRef] = Field(min_length=2, max_length=MAX_COUNT)
    copies: Bool = Field(
        default=False, description="true: every node keeps its own copy; false: all blocks on one node"
    )
    shared: Size | None = Field(
        default=None, description="bytes held once; by default the weights of the smallest tied block"
    )


def _as_tie(value: object) -> object:
    """Read ``[embed, head]`` as ``{blocks: [embed, head]}``."""
    return {"blocks": value} if isinstance(value, list) else value


Tie: Any = Annotated[TieEntry, BeforeValidator(_as_tie, json_schema_input_type=TieEntry | list[str | int])]


class InlineModel(Entry):
    """A model given block by block."""

    name: Name = "model"
    blocks: list[BlockEntry] = Field(min_length=1, max_length=MAX_COUNT)
    forbidden_cuts: list[PositiveInt] = Field(default=[], description="block numbers before which there is no boundary")
    ties: list[Tie] = Field(default=[], description="blocks that share a tensor")
    input_per_token: Size = Field(
        default=4.0, description="bytes per token from the client, and of a sampled one back to it"
    )
    compute_dtype: Name | None = Field(
        default=None, description="format of the multiplications; picks the peak of a device"
    )
    heads: Count | None = Field(
        default=None, description="attention heads of a layer: what devices that share it divide"
    )
    kv_heads: Count | None = Field(
        default=None, description="pieces into which its cache can be divided; default: heads"
    )
    context: PositiveInt | None = Field(default=None, description="tokens of prompt and output that it was made for")
