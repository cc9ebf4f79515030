"""Under torchrun the user's secret is asked for as soon as others can connect."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from placement.errors import InputError
from placement.run.worker import LEAST_SECRET, SECRET_VARIABLE, _secret_of


def test_loopback_needs_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is made for the run; a user's own is taken where it is given."""
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    assert _secret_of("127.0.0.1") == ""
    monkeypatch.setenv(SECRET_VARIABLE, "s" * LEAST_SECRET)
    assert _secret_of("127.0.0.1") == _secret_of("10.0.0.1") == "s" * LEAST_SECRET


@pytest.mark.parametrize(
    ("secret", "address", "message"),
    [
        ("", "10.0.0.1", f"{SECRET_VARIABLE}: expected a secret, the same on all hosts"),
        ("", "0.0.0.0", f"{SECRET_VARIABLE}: expected a secret, the same on all hosts"),
        ("short", "127.0.0.1", f"{SECRET_VARIABLE}: expected at least {LEAST_SECRET} characters, got 5"),
        ("", "1.2.3.4.5", "--address: expected an address of this host"),
    ],
)
def test_addresses_that_others_reach_need_one(
    secret: str, address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable, or the option; never the secret."""
    monkeypatch.setenv(SECRET_VARIABLE, secret)
    with pytest.raises(InputError, match=message):
        _secret_of(address)
