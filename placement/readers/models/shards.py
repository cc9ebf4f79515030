"""Files that the index of a checkpoint names: in its folder, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from placement.errors import InputError, shown

LONGEST = 255  # bytes of a file name


def shard_names(table: Mapping[str, object], where: str) -> list[str]:
    """Return the file names in the `weight_map` of an index; raise `InputError` for what is no plain file name."""
    for name in table.values():
        plain = isinstance(name, str) and Path(name).name == name and name.isprintable()
        plain = plain and name not in ("", "..")
        if not plain or len(str(name).encode("utf-8", "replace")) > LONGEST:
            raise InputError(f"expected a file name without folders, got {shown(name)}", where)
    return sorted({str(name) for name in table.values()})


def ensure_inside(folder: Path, file: Path) -> None:
    """Refuse a link that leads out of the folder; raise `InputError`.

    The cache of huggingface_hub keeps what its snapshots show in ``blobs`` beside them: links to there are its own.
    """
    real, home = file.resolve(), folder.resolve()
    inside = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any(real.is_relative_to(place) for place in inside):
        raise InputError(f"expected a file of this folder, got a link to {shown(str(real))}", str(file))
