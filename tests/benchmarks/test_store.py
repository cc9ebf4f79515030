"""The file of runs: what an interruption may leave of it, and what is never touched again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality import store
from benchmarks.quality.experiments import Record
from placement.errors import InputError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
runs = st.builds(
    Record,
    texts,
    texts,
    st.floats(0.1, 10.0),
    st.integers(0, 9),
    st.sampled_from(["ok", "failed"]),
    st.floats(0.1, 1e9),
    st.just(float("-inf")),
    st.integers(0, 10**6),
    st.floats(0.0, 10.0),
    st.just("TIME"),
    st.sampled_from(["[]", "[[0.1, 1, 2.0, 1.5]]"]),
    texts,
)


def written(path: Path, records: list[Record]) -> None:
    """Append records."""
    writer = store.Writer(path)
    for record in records:
        writer.add(record)
    writer.close()


@given(st.lists(runs, max_size=4), runs, st.data())
@settings(max_examples=25, deadline=None)
def test_a_cut_costs_the_record_that_it_hits(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], more: Record, data: st.DataObject
) -> None:
    """Cut anywhere, also in texts with commas, quotes and line ends: every record before the cut is read, and one
    that is appended then follows them."""
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    ends = []
    for record in records:
        written(path, [record])
        assert store.read(path)[-1] == record
        ends.append(path.stat().st_size)
    cut = data.draw(st.integers(0, ends[-1] if ends else 0))
    path.write_bytes(path.read_bytes()[:cut] if ends else b"")
    kept = records[: sum(end <= cut for end in ends)]
    assert store.read(path) == kept
    written(path, [more])
    assert store.read(path) == [*kept, more]


def test_what_is_written_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is opened to be read and to be appended to, so that a kill meanwhile loses nothing."""
    path = tmp_path / "runs.csv"
    record = Record("a", "x", 1.0, 0, "ok", 1.0, 0.5, 10, 1.0, "TIME", "[]")
    written(path, [record])
    before, modes = path.read_bytes(), []
    opened = Path.open

    def noted(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        modes.append(mode)
        return opened(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", noted)
    written(path, [record])
    assert set(modes) <= {"r", "rb", "a"}
    assert "a" in modes
    assert path.read_bytes().startswith(before)


def test_files_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    """Other columns, and values of another kind: one line that names the file."""
    path = tmp_path / "runs.csv"
    path.write_text("a,b\n1,2\n3", encoding="utf-8")
    with pytest.raises(InputError, match="other columns"):
        store.read(path)
    path.write_text(",".join(store.COLUMNS) + "\na,x,soon,0,ok,1,1,1,1,TIME,[],\n", encoding="utf-8")
    with pytest.raises(InputError, match="soon"):
        store.read(path)
