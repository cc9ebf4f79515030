"""Patterns of strangers: what they find is what Python's engine finds, in linear time."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import InputError
from placement.export.llama_rule import parts_moved
from placement.export.patterns import Name, compiled

PIECES = [*"ab.()|*+?[]^$12{},\\", "ab", "[^ab]", "(a|b)", "(?:b)", "{1,2}", "\\.", "\\d"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.lists(st.text("ab.12{", max_size=6), max_size=4))
def test_it_finds_what_python_finds(pattern: str, names: list[str]) -> None:
    """Where a pattern is read at all, it is one of Python's and finds the same names."""
    try:
        ours = compiled(pattern)
    except InputError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = re.compile(pattern, re.ASCII)
    assert [ours.found_in(Name(name)) for name in names] == [bool(theirs.search(name)) for name in names]


@pytest.mark.parametrize(
    "pattern",
    [
        r"blk\.(1[0-9]|2[0-9])\.ffn_.*_exps\.",
        r"\.(6|7|8|9|[0-9][0-9]|[0-9][0-9][0-9])\.ffn_(gate|up|down)_exps.",
        r"blk\.([0-9]+)\.",
        r"^blk\.(?:3|4)\..*weight$",
        "ffn",
        "",
    ],
)
def test_patterns_in_use_are_read(pattern: str) -> None:
    """Those that people give to llama.cpp find the tensors that Python's engine finds."""
    names = [f"blk.{k}.{part}.weight" for k in range(0, 130, 3) for part in ("attn_q", "ffn_down_exps", "ffn_up")]
    found = compiled(pattern)
    assert [found.found_in(Name(name)) for name in names] == [bool(re.search(pattern, name)) for name in names]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a", "a group is not closed"),
        ("a)", "there is no group to close"),
        ("*a", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("a**", "several repetitions"),
        ("[b-a]", "bad character range"),
        ("[", "unterminated"),
        ("a\\", "nothing behind the last backslash"),
        (r"(a)\1", r"\1 is not known"),
        ("(?=a)", "look around"),
        ("a{1000}", "at most 100 times"),
        ("(" * 25 + "a" + ")" * 25, "too many groups"),
        ("a" * 2001, "at most 2000 characters"),
        ("\x1b[31m(", "x1b"),
    ],
)
def test_what_is_not_read_is_said(pattern: str, why: str) -> None:
    """One printable line."""
    with pytest.raises(InputError, match=re.escape(why)) as caught:
        compiled(pattern)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("pattern", ["(a*)*!", "(a|a)*!", "(.*)*(.*)*(.*)*!", "(.|.)" * 19 + "!", ".?" * 500 + "!"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Patterns that an engine which goes back would try for ages take few steps, and find nothing."""
    found = compiled(pattern)
    assert not found.found_in(Name("blk.0.attn_q.weight" * 3))
    assert found.cost < 100_000


def test_too_much_work_is_refused() -> None:
    """The steps of all patterns on all layers are counted before the first one is tried."""
    with pytest.raises(InputError, match="fewer or shorter -ot patterns"):
        parts_moved(["a"] * 5000, [(f"blk.{k}.(.*)*", "b") for k in range(100)])
