"""`placement links`: the token comes by file or environment, never as an argument of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from placement.cli import run


def test_the_token_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments can be read by everybody on a host."""
    assert run(["links", "--serve", "--token", "a long secret"]) == 1
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "  \n", "short"])
def test_a_token_that_is_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty file, and one with a word that can be guessed."""
    monkeypatch.delenv("PLACEMENT_TOKEN", raising=False)
    (tmp_path / "token").write_text(text)
    assert run(["links", "--peers", "127.0.0.1:1", "--token-file", str(tmp_path / "token")]) == 1
    assert capsys.readouterr().err.startswith("error: PLACEMENT_TOKEN: ")
    assert run(["links", "--serve", "--token-file", str(tmp_path / "none")]) == 1
    assert "none: there is no such file" in capsys.readouterr().err
