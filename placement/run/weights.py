"""Tensors of a checkpoint folder by name, read one at a time from safetensors shards; pickle files are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, shown
from ..readers.models.shards import ensure_inside, shard_names

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_EXPERTS = re.compile(r"^(.*)\.mlp\.experts\.(gate_up_proj|down_proj)$")
# Where a fused tensor of experts comes from: (name of the module in the file, gate, up, down).
_EXPERT_NAMES = (
    ("mlp", "gate_proj", "up_proj", "down_proj"),
    ("block_sparse_moe", "w1", "w3", "w2"),
)


@dataclass
class Shards:
    """Which file of a checkpoint folder holds which tensor; files stay closed until a tensor is read.

    Attributes
    ----------
    folder : Path
    files : mapping of str to str
        Tensor name to file name.
    """

    folder: Path
    files: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Look into a checkpoint folder; raise `InputError` when it has no safetensors."""
        from safetensors import SafetensorError, safe_open

        if not folder.is_dir():
            raise InputError("expected a checkpoint folder with a config.json", str(folder))
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            return cls(folder, _index(index))
        found = sorted(folder.glob("*.safetensors"))
        if not found:
            pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
            what = f"only pickle files ({pickles[0]}), which can run code; convert them" if pickles else "no weights"
            raise InputError(f"expected safetensors files, found {what}", str(folder))
        files: dict[str, str] = {}
        for path in found:
            _ensure_file(path)
            try:
                with safe_open(path, "pt") as file:
                    files.update(dict.fromkeys(file.keys(), path.name))
            except (SafetensorError, OSError) as error:
                raise InputError(f"not a safetensors file ({error})", str(path)) from None
        return cls(folder, files)

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor, copied out of its file."""
        from safetensors import SafetensorError, safe_open

        path = self.folder / self.files[name]
        try:
            with safe_open(path, "pt") as file:
                tensor: torch.Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise InputError(f"cannot read '{name}' ({error})", str(path)) from None
        return tensor

    def fetch(self, name: str, shape: torch.Size, prefix: str, tied: str | None = None) -> torch.Tensor:
        """Return the tensor of a parameter, assembled from experts or taken from its tied twin where needed.

        Parameters
        ----------
        name : str
            Name in the module tree.
        shape : torch.Size
            What the module expects; another shape is an `InputError`.
        prefix : str
            Name of the base model; some files leave it out.
        tied : str, optional
            Name of the parameter that holds the same numbers.
        """
        for candidate in (name, name.removeprefix(prefix + "."), tied, tied and tied.removeprefix(prefix + ".")):
            if candidate and candidate in self.files:
                tensor = self.read(candidate)
                break
        else:
            tensor = self._assembled(name)
        if tensor.shape != shape:
            raise InputError(
                f"the tensor '{name}' has the shape {tuple(tensor.shape)}, the configuration asks for {tuple(shape)}",
                str(self.folder),
            )
        return tensor

    def _assembled(self, name: str) -> torch.Tensor:
        renamed = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
        if renamed in self.files:
            return self.read(renamed)
        match = _EXPERTS.match(name)
        if match:
            for module, gate, up, down in _EXPERT_NAMES:
                parts = (gate, up) if match[2] == "gate_up_proj" else (down,)
                experts: list[torch.Tensor] = []
                while all(f"{match[1]}.{module}.experts.{len(experts)}.{part}.weight" in self.files for part in parts):
                    stem = f"{match[1]}.{module}.experts.{len(experts)}."
                    experts.append(torch.cat([self.read(f"{stem}{part}.weight") for part in parts]))
                if experts:
                    return torch.stack(experts)
        raise InputError(f"the tensor '{name}' is missing", str(self.folder))


def _index(path: Path) -> dict[str, str]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): str(file) for name, file in data["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not an index of safetensors files ({error})", str(path)) from None
    for file in shard_names(files, str(path)):
        if not file.endswith(".safetensors"):
            raise InputError(f"expected names of safetensors files beside it, got {shown(file)}", str(path))
        _ensure_file(path.parent / file)
    return files


def _ensure_file(path: Path) -> None:
    """Refuse what is not there, no plain file (a pipe would be waited for without end), or a link out of its folder."""
    if not path.is_file():
        raise InputError("expected a safetensors file" if path.exists() else "the file is missing", str(path))
    ensure_inside(path.parent, path)
