"""Which changes are asked of a file: the usual ones, or one that a user spells out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..readers.overrides import apply_overrides
from . import nodes, servers
from .change import Change, Document


def usual(data: Document) -> Iterator[Change]:
    """One more and one less of each kind of node or server; then what else the file states."""
    return servers.usual(data) if "servers" in data else nodes.usual(data)


def not_asked(data: Document) -> str:
    """What `usual` leaves out, in words; empty where it leaves nothing out."""
    count = servers.kinds_left_out(data) if "servers" in data else 0
    return (
        f"{count} more kinds of servers were not taken in turn: --add NAME and --remove NAME ask of one"
        if count
        else ""
    )


def own(data: Document, add: Sequence[str], remove: Sequence[str], overrides: Sequence[str]) -> Change:
    """One change that a user spells out.

    Parameters
    ----------
    data : mapping
    add : sequence of str
        Devices or instance types, ``rtx-4090`` or ``rtx-4090*2``, in the region of the first node; of a file with
        servers, servers like one that is there, by its name.
    remove : sequence of str
        Names of entries, or of single nodes of an entry with `count`.
    overrides : sequence of str
        ``key=value``.

    Raises
    ------
    InputError
        A device or node is unknown.
    """
    words = [*(f"without {name}" for name in remove), *(f"with {item}" for item in add)]
    document = (servers if "servers" in data else nodes).own(data, add, remove)
    if overrides:
        document = apply_overrides(document, overrides)
        words += overrides
    same = not any(item.startswith(("model", "quantization", "dtype", "kv_dtype")) for item in overrides)
    return Change(", ".join(words), document, same_model=same)
