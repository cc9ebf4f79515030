"""YAML and JSON: what is refused before it costs anything, and that the rest comes through unchanged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import InputError
from placement.files import load_json, load_yaml, read_document, read_json, read_lines
from placement.files.document import MAX_DEPTH, MAX_DIGITS, key_path


def laughs() -> str:
    """Nine to the ninth values in 500 bytes."""
    text = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for above, here in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{here}: &{here} [{', '.join(['*' + above] * 9)}]\n"
    return text


REFUSED_YAML = {
    "deep flow": ("[" * 200_000, "not valid YAML: exceeded maximum nesting depth|depth of at most"),
    "deep blocks": ("- " * 100_000, "depth of at most"),
    "deep by lines": ("".join(" " * k + "a:\n" for k in range(200)), "depth of at most"),
    "deep by aliases": (f"a: &a {'[' * 60}{']' * 60}\nb: {'[' * 30}*a{']' * 30}", "depth of at most"),
    "alias bomb": (laughs(), "values, aliases written out"),
    "alias in itself": ("a: &a [*a]", "contains itself"),
    "many aliases": (f"a: &a 1\nb: [{'*a, ' * 101}]", "at most 100 YAML aliases, got 101"),
    "key twice": ("a: 1\nb: {c: 1, c: 2}", r"the key 'c' is given twice \(line 2\)"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "long number": (f"a: [{'9' * 200}]", r"a\[0\]: expected a number of at most 32 digits"),
    "endless number": (f"a: {'9' * 5000}", "not valid YAML"),
    "impossible date": ("a: 2001-99-99", "month must be in 1..12"),
    "list as key": ("? [a]\n: 1", "unhashable key"),
    "control character": ("a: \x1b", "not valid YAML"),
    "python tag": ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    "too many values": ("[" + "1," * 500_001 + "]", "at most 500000 values"),
}
REFUSED_JSON = {
    "deep": ("[" * 100_000, "not valid JSON"),
    "deep and closed": ("[" * 70 + "]" * 70, f"depth of at most {MAX_DEPTH}"),
    "key twice": ('{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice"),
    "long number": (json.dumps({"a": [{"b": 10**MAX_DIGITS}]}), r"a\[0\]\.b: expected a number of at most 32 digits"),
    "endless number": ("9" * 5000, "a whole number has more than 4300 digits"),
    "half a character": ('{"a": "\\ud800"}', "a: expected text"),
    "half a character as key": ('{"\\ud800": 1}', "expected text"),
    "nothing": ("", r"Expecting value \(line 1, column 1\)"),
    "more": ("1, 2", r"Extra data \(line 1, column 2\)"),
}


@pytest.mark.parametrize("name", REFUSED_YAML)
def test_yaml_is_refused(name: str) -> None:
    """One printable line, before the document is built."""
    text, message = REFUSED_YAML[name]
    with pytest.raises(InputError, match=message) as caught:
        load_yaml(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", REFUSED_JSON)
def test_json_is_refused(name: str) -> None:
    """One printable line."""
    text, message = REFUSED_JSON[name]
    with pytest.raises(InputError, match=message) as caught:
        load_json(text)
    assert str(caught.value).isprintable()


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)


@given(TREES)
def test_what_is_sound_comes_through(data: object) -> None:
    """Reading what was written gives the same data, in both languages."""
    assert load_json(json.dumps(data)) == data
    assert load_yaml(yaml.safe_dump(data)) == data


def test_a_file_is_named_in_every_message(tmp_path: Path) -> None:
    """Missing, a folder, too large, not text, no mapping, not JSON by name: the file and one line."""
    large, binary, listed, broken = (tmp_path / name for name in ("large.json", "binary.json", "list.yaml", "x.JSON"))
    with large.open("wb") as file:
        file.truncate(10_000_001)
    binary.write_bytes(b'{"a": "\xff"}')
    listed.write_text("- 1")
    broken.write_text("a: 1")
    for path, message in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "expected a file, got a folder"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
        ("a\0b.yaml", "cannot be read"),
        (large, "expected at most 10 MB, got 10.0 MB"),
        (binary, "expected text in UTF-8, got the byte 0xff at 7"),
        (listed, r"expected a mapping with keys such as 'model' and 'nodes', got \[1\]"),
        (broken, "not valid JSON"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_document(path, expect=("model", "nodes"))
        assert str(caught.value).startswith(str(path)[:50].replace("\0", r"\x00"))


def test_yaml_where_json_is_asked_for(tmp_path: Path) -> None:
    """`form` wins over the name of the file."""
    path = tmp_path / "plan.yaml"
    path.write_text("a: 1")
    assert read_document(path) == {"a": 1}
    with pytest.raises(InputError, match="not valid JSON"):
        read_document(path, form="json")
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read(tmp_path: Path) -> None:
    """What a shell gives for <(command) is a file too."""
    reading, writing = os.pipe()
    os.write(writing, b"a: 1")
    os.close(writing)
    assert read_document(f"/dev/fd/{reading}") == {"a": 1}
    os.close(reading)


def test_lines_are_named(tmp_path: Path) -> None:
    """A document a line; an error names the file and the line; blank lines do not count as documents."""
    path = tmp_path / "runs.jsonl"
    path.write_text('{"a": 1}\n\n[2]\n')
    assert list(read_lines(path)) == [(f"{path}: line 1", {"a": 1}), (f"{path}: line 3", [2])]
    path.write_text('{"a": 1}\n{')
    with pytest.raises(InputError, match="line 2: not valid JSON"):
        list(read_lines(path))


def test_key_paths() -> None:
    """Paths read as people write them; tags of unions are not shown."""
    assert key_path(("nodes", 2, "memory")) == "nodes[2].memory"
    assert key_path(("model", "<mapping>", "blocks", 0)) == "model.blocks[0]"
