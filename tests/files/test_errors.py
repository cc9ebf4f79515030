"""Messages: what they repeat is short and printable, whoever wrote it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from placement.errors import MOST_VALUE, InfeasibleError, InputError, nearest, printable, shortened, shown

NASTY = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202eevil\u2028line\r\nnext\x00\ud800"
TEXTS = st.text(max_size=300) | st.just(NASTY) | st.just(NASTY * 50)


@given(TEXTS, TEXTS)
def test_no_message_carries_control_characters(message: str, where: str) -> None:
    """An error of any text is one printable line of bounded length."""
    text = str(InputError(message, where))
    assert text.isprintable()
    assert len(text) < 1000
    assert str(InfeasibleError([message])).isprintable()


@given(TEXTS | st.lists(TEXTS, max_size=30) | st.dictionaries(TEXTS, st.integers(), max_size=9) | st.floats())
def test_values_are_shown_short(value: object) -> None:
    """At most 80 characters of any value, on one line."""
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= MOST_VALUE


def test_values_are_shown_as_people_write_them() -> None:
    """Text is quoted, the rest is as in Python; what is cut says so."""
    assert shown("24 GBps") == "'24 GBps'"
    assert shown([1]) == "[1]"
    assert shown("a\x1bb") == r"'a\x1bb'"
    assert shown("x" * 100) == f"'{'x' * 50}...{'x' * 25}'"
    assert "..." in shown(10**100)
    assert "..." in shown(list(range(10**6)))


def test_long_values_within_a_message_are_cut() -> None:
    """A message that quotes a whole value is cut there, and the rest of it stays."""
    text = str(InputError(f"expected a name, got '{'y z' * 200}' where it stands"))
    assert text.startswith("expected a name, got 'y z")
    assert text.endswith("' where it stands")
    assert len(text) < 130
    words = str(InputError(f"got {'w' * 900} and {'v' * 900}"))
    assert words.startswith("got www")
    assert words.endswith("vvv")


def test_the_file_stays_in_a_long_place() -> None:
    """Beginning and end of a long place are told: the file, and the last keys."""
    text = str(InputError("expected less", f"cluster.yaml: {'deep.' * 200}last"))
    assert text.startswith("cluster.yaml: deep.")
    assert "last: expected less" in text


def test_several_mistakes_keep_their_file() -> None:
    """Each of five lines begins with the file; more are counted; a prefix goes before each."""
    found = [(f"nodes[{k}]", f"mistake {k}") for k in range(9)]
    lines = str(InputError.several(found).under("file.yaml")).splitlines()
    assert lines[0] == "file.yaml: nodes[0]: mistake 0"
    assert lines[-1] == "file.yaml: ... and 4 more"
    assert len(lines) == 6
    long = [(f"nodes[{k}]", "m " * 300) for k in range(9)]
    assert len(str(InputError.several(long, "file.yaml"))) < 1000


def test_nearest_takes_its_time_from_nobody() -> None:
    """A word of a million letters is compared by its beginning."""
    assert nearest("latncy", ["latency"]) == "; did you mean 'latency'?"
    assert nearest("x" * 1_000_000, [f"name-{k}" for k in range(1000)]) == ""


@given(TEXTS, st.integers(5, 400))
def test_shortened_is_short(text: str, most: int) -> None:
    """Never longer than asked, printable, and unchanged where nothing is wrong."""
    found = shortened(text, most)
    assert len(found) <= most
    assert found.isprintable()
    if text.isprintable() and len(text) <= most:
        assert found == text == printable(text)


def test_a_key_is_told_with_its_file_once() -> None:
    """A key of a document gets the file in front; an option, an argument, or what has its file already does not."""
    keys = ("model", "nodes")
    assert str(InputError("is wrong", "nodes[2].memory").in_file("a.yaml", keys)) == "a.yaml: nodes[2].memory: is wrong"
    for where in ("--model", "seed", "model.yaml: nodes[2]", ""):
        error = InputError("is wrong", where)
        assert error.in_file("a.yaml", keys) is error
    named = InputError("is wrong", "model")
    assert named.in_file("", keys) is named
    assert str(named.in_file("a", keys).in_file("a", keys)) == "a: model: is wrong"
