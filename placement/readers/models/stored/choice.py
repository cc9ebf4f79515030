"""Which format a plan takes: the one that the user asks for, else the one that the checkpoint states, else 16 bits."""

from __future__ import annotations

from dataclasses import dataclass

from ..quantization import QUANTIZATIONS, Quantization, canonical, quantization
from .statement import Stored


@dataclass(frozen=True, slots=True)
class Choice:
    """Formats of weights and cache, and what the plan says of the choice.

    Attributes
    ----------
    format : Quantization
    kv_dtype : str or None
        None: the default of the weights.
    notes : tuple of str
    """

    format: Quantization
    kv_dtype: str | None
    notes: tuple[str, ...] = ()


def choose_format(stored: Stored | None, weights: str | None, kv_dtype: str | None) -> Choice:
    """Return the formats to plan with.

    Parameters
    ----------
    stored : Stored or None
        What the checkpoint states.
    weights, kv_dtype : str or None
        What the user asks for, which wins.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        `weights` is no known format.
    """
    plain = QUANTIZATIONS["bfloat16"]
    if stored is None:
        found = quantization(weights) if weights is not None else plain
        return Choice(found, kv_dtype, (found.note,) if found.note else ())
    if weights is None:
        return Choice(stored.format or plain, kv_dtype or stored.kv_dtype, stored.notes)
    asked = quantization(weights)
    if canonical(stored.method) == asked.name or (stored.format is not None and stored.format.name == asked.name):
        return Choice(stored.format or asked, kv_dtype or stored.kv_dtype)
    note = f"The checkpoint is stored as {stored.method}; planned with weights in {asked.name}, as asked."
    return Choice(asked, kv_dtype, (note, asked.note) if asked.note else (note,))
