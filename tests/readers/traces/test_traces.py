"""Traces of three kinds, and one line for each mistake in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placement.errors import InputError
from placement.readers.traces import read_trace


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_azures_trace(tmp_path: Path) -> None:
    """Dates count from the first request, to the microsecond."""
    header = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    rows = header + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    found = read_trace(written(tmp_path, rows))
    assert found.arrival_s == pytest.approx([0.0, 4.314579], abs=1e-5)
    assert found.prompt_tokens.tolist() == [374, 396]
    assert found.output_tokens.tolist() == [44, 109]
    assert found.timed
    assert found.shared is None


def test_mooncakes_trace(tmp_path: Path) -> None:
    """Milliseconds; hashes stand for blocks of 512 tokens, of which only whole ones can be somebody else's."""
    rows = (
        '{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}\n'
        '{"timestamp": 1500, "input_length": 1024, "output_length": 7, "hash_ids": [1, 4]}\n'
    )
    found = read_trace(written(tmp_path, rows, "trace.jsonl"))
    assert found.arrival_s.tolist() == [0.0, 1.5]
    assert found.shared is not None
    assert found.shared.of(0) == ([1, 2], [512, 512])
    assert found.shared.of(1) == ([1, 4], [512, 512])


@pytest.mark.parametrize(
    ("text", "name"),
    [("prompt_tokens,output_tokens\n3,4\n5,6\n", "a.csv"), ('[{"prompt_len": 3, "output_len": 4}, [5, 6]]', "a.json")],
)
def test_files_of_lengths_have_no_times(tmp_path: Path, text: str, name: str) -> None:
    """Lengths alone: they need a rate, and come again from the first when there are more times than lengths."""
    found = read_trace(written(tmp_path, text, name))
    assert not found.timed
    again = found.at(np.array([1.0, 2.0, 3.0]))
    assert again.prompt_tokens.tolist() == [3, 5, 3]
    assert again.timed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "got an empty file"),
        ("a,b\n1,2\n", "expected a column 'prompt_tokens'"),
        ("arrival_s,prompt_tokens,output_tokens\n", "at least one request"),
        ("arrival_s,prompt_tokens,output_tokens\n-1,2,3\n", "line 2: expected a time of at least 0, got -1"),
        ("arrival_s,prompt_tokens,output_tokens\n5,2,3\n4,2,3\n", "line 3: expected times in ascending order"),
        ("arrival_s,prompt_tokens,output_tokens\n5,0,3\n", "line 2: prompt tokens: expected a whole number from 1"),
        ("arrival_s,prompt_tokens,output_tokens\n5,2,0\n", "line 2: output tokens: expected a whole number from 1"),
        ("arrival_s,prompt_tokens,output_tokens\n5,2.5,3\n", "got '2.5'"),
        ("arrival_s,prompt_tokens,output_tokens\n5,\x1e4,3\n", "line 2: prompt tokens: expected a whole number from 1"),
        ("arrival_s,prompt_tokens,output_tokens\n5,+-4,3\n", "got '+-4'"),
        ("arrival_s,prompt_tokens,output_tokens\nsoon,2,3\n", "expected seconds, or a date"),
        ("arrival_s,prompt_tokens,output_tokens\nnan,2,3\n", "expected a time in seconds"),
        ("arrival_s,prompt_tokens,output_tokens\n1,2\n", "line 2: expected 3 columns, got 2"),
        ('{"timestamp": 1, "input_length": 4}\n', "line 1: output tokens"),
        ('{"timestamp": "x", "input_length": 4, "output_length": 4}\n', "timestamp: expected milliseconds"),
        ('{"timestamp": 1, "input_length": 4, "output_length": 4, "hash_ids": [-1]}\n', "hash_ids: expected a list"),
        ('{"timestamp": 1,\n', "line 1: not valid JSON"),
        ("[1, 2]", "item 1: expected prompt and output tokens"),
        ("[1, 2", "not valid JSON"),
    ],
)
def test_one_line_for_each_mistake(tmp_path: Path, text: str, expected: str) -> None:
    """The file, the line and what was found; no traceback."""
    with pytest.raises(InputError) as caught:
        read_trace(written(tmp_path, text))
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert "trace.csv" in message
