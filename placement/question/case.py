"""A cluster given by its tables, as cases for replicated placements are: no model or device needs to be known."""

from __future__ import annotations

from dataclasses import dataclass

from objectives.replicated.tables import ReplicatedTables


@dataclass(frozen=True, slots=True)
class ReplicatedCase:
    """Tables with the names that people know.

    Attributes
    ----------
    name : str
    node_names, node_types : tuple of str
        One per node.
    regions : tuple of str
        One per node.
    tables : ReplicatedTables
    block_names : tuple of str
        One per block.
    notes : tuple of str
        What was assumed, for the plan.
    """

    name: str
    node_names: tuple[str, ...]
    node_types: tuple[str, ...]
    regions: tuple[str, ...]
    tables: ReplicatedTables
    block_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
