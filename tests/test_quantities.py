"""Numbers that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.quantities import whole_number


@given(st.text(st.characters(categories=("Nd", "No", "Zs", "Cc")) | st.sampled_from("+-_.0123456789"), max_size=24))
def test_a_whole_number_is_what_int_reads_of_plain_digits(text: str) -> None:
    """It never raises, and what it takes is written again with the same digits."""
    number = whole_number(text)
    plain = bool(text) and set(text) <= set("0123456789") and len(text) <= 18
    assert (number is not None) == plain
    assert number is None or str(number) == (text.lstrip("0") or "0")


@pytest.mark.parametrize("text", ["", "+4", "-4", " 4", "4_0", "\u00b2", "\u0664", "9" * 5000])
def test_anything_else_is_no_whole_number(text: str) -> None:
    """Signs, spaces, digits of other scripts, and numbers that Python does not convert."""
    assert whole_number(text) is None
