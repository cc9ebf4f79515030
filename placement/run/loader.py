"""Only the blocks that a node holds get memory, and only their tensors are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from .architecture import Architecture, find, skeleton
from .gguf_to_folder import checkpoint_folder
from .tensor_group import TensorGroup
from .weights import Shards


@dataclass
class Loader:
    """The blocks of one checkpoint on one device, loaded and dropped as plans ask.

    Attributes
    ----------
    folder : Path
        Checkpoint folder, or a .gguf file (converted once).
    device : str
        torch device of this worker.
    dtype : str
        "auto" keeps the configuration's format.
    model : nn.Module
        The skeleton; parameters of blocks that are not held have no memory.
    held : set of int
        Blocks whose tensors are in memory.
    group : TensorGroup or None
        The device holds its part of every tensor only.
    """

    folder: Path
    device: str = "cpu"
    dtype: str = "auto"
    model: nn.Module = field(init=False)
    arch: Architecture = field(init=False)
    held: set[int] = field(init=False, default_factory=set)
    group: TensorGroup | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.folder = checkpoint_folder(Path(self.folder))
        self.model = skeleton(self.folder, self.dtype)
        self.arch = find(self.model)
        self._shards = Shards.open(self.folder)
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        self._names: dict[int, list[str]] = {}
        for name in names:
            block = self.arch.block_of(name)
            if block is None:
                raise InputError(f"no block holds the parameter '{name}'", str(self.folder))
            self._names.setdefault(block, []).append(name)
        config = self.arch.config
        self._tied = names[0] if getattr(config, "tie_word_embeddings", False) else None
        # A tied head is a parameter of its own here: the node that holds it may not hold the embedding.
        if self._tied:
            like = self.model.get_parameter(self._tied)
            self.arch.head.weight = nn.Parameter(torch.empty_like(like, device="meta"), requires_grad=False)
        self._shapes = {name: self.model.get_parameter(name).shape for name in names}
        if self.arch.rotary is not None:
            self.arch.rotary.to(self.device)

    def hold(self, blocks: Iterable[int]) -> int:
        """Make `blocks` the ones in memory: drop the others, read the missing; return the bytes kept of them."""
        wanted, read = set(blocks), 0
        for block in sorted(self.held - wanted):
            for name in self._names[block]:
                self._set(name, torch.empty_like(self.model.get_parameter(name), device="meta"))
        self.held &= wanted
        for block in sorted(wanted - self.held):
            for name in self._names[block]:
                like = self.model.get_parameter(name)
                twin = self._tied if name != self._tied and name.startswith("lm_head") else None
                if twin and 0 in wanted and 0 in self.held:
                    self._set(name, self.model.get_parameter(twin).data)
                    continue
                tensor = self._shards.fetch(name, self._shapes[name], self.arch.prefix, twin)
                if self.group is not None:
                    tensor = self.group.part(name, tensor)
                read += tensor.numel() * tensor.element_size()
                self._set(name, tensor.to(device=self.device, dtype=like.dtype))
            for module in self.arch.modules(block):
                for buffer_name, buffer in module.named_buffers():
                    owner, _, leaf = buffer_name.rpartition(".")
                    module.get_submodule(owner)._buffers[leaf] = buffer.to(self.device)
            self.held.add(block)
        return read

    def bytes_held(self) -> int:
        """Bytes of the parameters in memory, shared ones once."""
        seen = {
            parameter.data_ptr(): parameter.numel() * parameter.element_size()
            for block in self.held
            for name in self._names[block]
            if (parameter := self.model.get_parameter(name)).device.type != "meta"
        }
        return sum(seen.values())

    def sizes(self) -> tuple[int, int | None]:
        """Return the number of tokens that the model knows, and of positions where it has a table of them."""
        shape = next(self.arch.embed.parameters()).shape
        return shape[0], None if self.arch.position is None else next(self.arch.position.parameters()).shape[0]

    def block_bytes(self, block: int) -> int:
        """Bytes of all parameters of a block, held or not."""
        parameters = (self.model.get_parameter(name) for name in self._names[block])
        return sum(parameter.numel() * parameter.element_size() for parameter in parameters)

    def _set(self, name: str, tensor: torch.Tensor) -> None:
        owner, _, leaf = name.rpartition(".")
        self.model.get_submodule(owner)._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
