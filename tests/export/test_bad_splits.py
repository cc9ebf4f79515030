"""Splits of strangers: every runtime reads them or says in one line why not, in time that grows with their length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import InputError
from placement.export import RUNTIMES, make_runtime
from placement.export.base import LONGEST_SPLIT, Source
from placement.export.flags import Flags

READERS = [name for name in RUNTIMES if make_runtime(name).holds.layers]
N = 200_000
LONG = {
    "blanks": " " * N,
    "lines": "\n" * N,
    "brackets": "[" * N,
    "pairs": "[[" + "]," * (N // 2),
    "parts": "parts = [" + " " * N,
    "parts again": "parts = " * (N // 8),
    "numbers and blanks": "1 " * (N // 2) + "x",
    "digits": "9" * N,
    "nodes": "# nodes: [" + "] " * (N // 2),
    "nodes on all lines": "# nodes: \n" * (N // 10),
    "keys": "-ts " * (N // 4),
    "overrides": "-ot '" * (N // 5),
    "repeated letters": "--pipeline-model-parallel-layout " + "t*1" * 30_000,
    "nested repetitions": "(" * 40_000 + "t" + ")*9" * 40_000,
    "flags": "--start-layer 1 " * (N // 16),
    "ranges": "0:1," * (N // 4),
    "escape sequences": "\x1b]0;owned\x07 layers.1\x1b[31m" * 1000,
    "a long name": '[["' + "x" * N + '"]]',
    "a number as JSON": '{"a": ' + "9" * 5000 + "}",
    "a pattern that goes back": "-ts 1,1 -ot '(a*)*(.*)*!=nowhere'",
    "infinite shares": "-ts inf,1.0",
    "shares": "-ts " + "0.1," * 5000,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", LONG)
def test_long_texts_are_refused(name: str, text: str) -> None:
    """One printable line of at most 1000 characters."""
    with pytest.raises(InputError) as caught:
        make_runtime(name).read(Source(LONG[text], 12, (), {}, ("a", "b")))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_command_line_has_a_bound() -> None:
    """Words are split in a time that grows with the square of their length."""
    with pytest.raises(InputError, match="a command line of at most 131072 characters, got 131073"):
        Flags.of("x" * 131_073)
    assert Flags.of("-ts " + "1" * 131_000).values("-ts")


def test_a_split_has_a_bound() -> None:
    """No reader ever sees more than a million characters."""
    with pytest.raises(InputError, match="at most 1000000 characters"):
        Source("x" * (LONGEST_SPLIT + 1), 12)


SIGNS = "[ ] { } [[ \" ' , : = | * ( ) -"
NUMBERS = "0 1 12 14 \u00b2 e9 0.5 nan 6,6 0:12 null true"
NAMES = "CPU blk cuda:0 Et*12L t*6 layers.0 norm output tok_embeddings"
FLAGS = "-ts -ngl -ot -lw --rpc --start-layer --end-layer --block_indices"
ENTRIES = '"lm_head": 0|["a", "b"]|"startLayer": 0|"endLayer": 12|"deviceRank": 0|"nodeToRunner": |# nodes: |parts = '
ENTRIES += "|--device none|a:1,b:2|VLLM_PP_LAYER_PARTITION="
PIECES = [
    *(word for line in (SIGNS, NUMBERS, NAMES) for word in line.split()),
    *(f"{flag} " for flag in FLAGS.split()),
    *ENTRIES.split("|"),
    *("\n", " ", "\x1b[31m", "\ud800", "\x00"),
]


@given(st.sampled_from(READERS), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    """Pieces of all notations in any order: spans, or one clear line."""
    try:
        make_runtime(name).read(Source(text, 12, (), {}, ("a", "b")))
    except InputError as error:
        line = str(error)
    else:
        line = "it was read"
    assert line.isprintable()
    assert len(line) < 1000
