"""A module that cannot be run, as it is built: the items of its lists in the order in which they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from placement.question.model import Block, Model, Tie

from ..build import TOKEN_BYTES, activation_bytes
from ..names import EMBED, HEAD, block_of, is_other_tower, is_routed
from ..quantization import QUANTIZATIONS
from .chain import list_items, significant
from .modules import on_meta
from .trace import Recorder

POSITIONS = 16
"""Length of the sequence that an item is run with, to count its operations."""


@dataclass(slots=True)
class BlockTensors:
    """What one block of a module holds; a tensor under several names is held once."""

    tensors: dict[int, Tensor] = field(default_factory=dict)
    bytes: float = 0.0
    routed_bytes: float = 0.0
    params: int = 0
    matrix_params: int = 0


@dataclass(frozen=True)
class Structure:
    """The lists of a module.

    Attributes
    ----------
    module : nn.Module
    paths : tuple of str
        The items of its lists, in the order in which they were made.
    held : mapping of int to BlockTensors
        By number of the item, `EMBED` and `HEAD`.
    elsewhere : float
        Bytes in other towers.
    """

    module: nn.Module
    paths: tuple[str, ...]
    held: Mapping[int, BlockTensors]
    elsewhere: float

    def model(self, name: str, dtype: str) -> Model:
        """Return the chain as a model; operations are those of an item run alone, or 2 per parameter.

        Parameters
        ----------
        name : str
        dtype : str
            Number format of most weights.
        """
        widths = [_width(self.module.get_submodule(path)) for path in self.paths]
        number_bytes = activation_bytes(dtype)
        layers = [
            Block(
                name=title,
                weight_bytes=0.0,
                activation_bytes_per_token=widths[at] * number_bytes,
                flops_per_token=self._flops(at, widths[at]),
            )
            for at, title in enumerate(self._titles())
        ]
        embed = Block("embed", 0.0, "embed", activation_bytes_per_token=widths[0] * number_bytes, lookup=True)
        head = Block(
            "head",
            0.0,
            "head",
            activation_bytes_per_token=TOKEN_BYTES,
            flops_per_token=2.0 * self.held[HEAD].matrix_params,
            last_token_only=True,
        )
        notes: tuple[str, ...] = ("The module was not run: its layers are taken in the order in which they were made.",)
        if self.elsewhere:
            notes = (*notes, f"{self.elsewhere / 1e9:.2f} GB of other towers are left out.")
        blocks = self.with_true_sizes((embed, *layers, head))
        return Model(
            name=name,
            blocks=blocks,
            ties=tuple(self._ties()),
            weights=dtype,
            compute_dtype=QUANTIZATIONS[dtype].compute_dtype,
            notes=notes,
        )

    def with_true_sizes(self, blocks: Sequence[Block]) -> tuple[Block, ...]:
        """Return blocks with the bytes that the module holds."""
        return tuple(
            replace(block.weighing(self.held[at].bytes, self.held[at].routed_bytes), params=self.held[at].params)
            for block, at in zip(blocks, self._order(), strict=True)
        )

    def _order(self) -> tuple[int, ...]:
        return (EMBED, *range(len(self.paths)), HEAD)

    def _titles(self) -> list[str]:
        one_list = len({path.rpartition(".")[0] for path in self.paths}) == 1
        return [f"layer.{at}" if one_list else path for at, path in enumerate(self.paths)]

    def _flops(self, at: int, width: int) -> float:
        item = self.module.get_submodule(self.paths[at])
        return _operations(item, width) or 2.0 * self.held[at].matrix_params

    def _ties(self) -> Iterator[Tie]:
        where: dict[int, list[int]] = {}
        sizes: dict[int, float] = {}
        for place, at in enumerate(self._order()):
            for key, tensor in self.held[at].tensors.items():
                where.setdefault(key, []).append(place)
                sizes[key] = float(tensor.numel() * tensor.element_size())
        groups: dict[tuple[int, ...], float] = {}
        for key, places in where.items():
            if len(places) > 1:
                groups[tuple(places)] = groups.get(tuple(places), 0.0) + sizes[key]
        last = len(self.paths) + 1
        for blocks, size in groups.items():
            yield Tie(blocks, copies=blocks == (0, last), shared_bytes=size)


def structure(module: nn.Module) -> Structure | None:
    """Return the lists of a module, or None when it has none."""
    items = list_items(module)
    found = list(_in_order(module, "", items))
    towers = [path for path in found if is_other_tower(path)]
    inner = [path for path in found if path not in towers] or found
    kept = significant(inner, items)
    paths = tuple(path for path in inner if path in kept)
    if not paths:
        return None
    held, elsewhere = _held(module, paths)
    return Structure(module, paths, held, elsewhere)


def _in_order(module: nn.Module, prefix: str, items: Mapping[str, nn.Module]) -> Iterator[str]:
    for key, child in module.named_children():
        path = f"{prefix}.{key}" if prefix else key
        if path in items:
            yield path
        else:
            yield from _in_order(child, path, items)


def _held(module: nn.Module, paths: tuple[str, ...]) -> tuple[dict[int, BlockTensors], float]:
    held = {EMBED: BlockTensors(), **{at: BlockTensors() for at in range(len(paths))}, HEAD: BlockTensors()}
    numbers = {path: at for at, path in enumerate(paths)}
    elsewhere, reached = 0.0, -1
    seen: set[int] = set()
    for name, tensor in _tensors(module):
        size = float(tensor.numel() * tensor.element_size())
        at = next((number for path, number in numbers.items() if name.startswith(f"{path}.")), None)
        if at is None and is_other_tower(name):
            elsewhere += size
            continue
        reached = reached if at is None else at
        entry = held[_outer(name, reached, len(paths)) if at is None else at]
        if id(tensor) in entry.tensors:
            continue
        entry.tensors[id(tensor)] = tensor
        entry.bytes += size
        entry.routed_bytes += size if is_routed(name) else 0.0
        entry.matrix_params += tensor.numel() if tensor.dim() > 1 else 0
        entry.params += tensor.numel() if id(tensor) not in seen else 0
        seen.add(id(tensor))
    return held, elsewhere


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters, tied ones under each of their names, and the buffers that are saved with the weights."""
    saved = module.state_dict(keep_vars=True)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, tensor in saved.items():
        if isinstance(tensor, Tensor):
            yield name, parameters.get(name, tensor)


def _outer(name: str, reached: int, count: int) -> int:
    """Return the block of a tensor outside of the lists: by its name, else by its place among them."""
    block = block_of(name)
    if block == EMBED:
        return EMBED
    if 0 <= reached < count - 1:
        return reached + 1  # between two lists
    return HEAD if block == HEAD or reached >= 0 else EMBED


def _width(item: nn.Module) -> int:
    """Return the width of what an item takes and gives: that of its norms, else of its first matrix."""
    norms: Counter[int] = Counter()
    for child in item.modules():
        if "Norm" in type(child).__name__ and isinstance(weight := getattr(child, "weight", None), Tensor):
            norms[int(weight.shape[0])] += 1
    if norms:
        return norms.most_common(1)[0][0]
    first = next((child for child in item.modules() if isinstance(child, nn.Linear)), None)
    if first is not None:
        return int(first.in_features)
    return min((int(tensor.shape[-1]) for tensor in item.parameters() if tensor.dim() > 1), default=1)


def _operations(item: nn.Module, width: int) -> float:
    """Return the operations per token of an item that is run alone; 0 where it cannot be."""
    training = item.training
    item.eval()
    try:
        with on_meta(item):
            dtype = next((p.dtype for p in item.parameters() if p.dtype.is_floating_point), torch.float32)
            recorder = Recorder(item)
            with recorder.running():
                item(torch.zeros(1, POSITIONS, width, dtype=dtype, device="meta"))
    except Exception:
        return 0.0
    finally:
        item.train(training)
    return sum(operation.flops for operation in recorder.trace.operations) / POSITIONS
