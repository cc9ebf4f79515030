"""The client's side without Petals: chains, load, dead servers, calibration, the mended replay, clear errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from placement import InfeasibleError, InputError, PlacementError
from placement.petals import install, sessions
from placement.petals.calibrate import Calibration, Step
from placement.petals.chooser import Chooser
from placement.petals.client import manager_class
from placement.petals.imputed import impute
from placement.petals.view import Server, View


def view(*servers: Server, **rtt_s: float) -> View:
    """Eight blocks; round trips between servers follow from those to the client."""
    return View(8, servers, rtt_s)


SWARM = view(
    Server("a", 0, 5, 40.0, 500.0, pings_s={"b": 0.03}),
    Server("b", 4, 8, 90.0, 500.0),
    Server("c", 0, 8, 10.0, 1000.0),
    Server("d", 3, 8, 60.0, 250.0),
    a=0.02,
    b=0.02,
    c=0.05,
    d=0.03,
)


def chooser(preference: float = 0.0) -> Chooser:
    """On a clock that stands still."""
    made = Chooser(preference, clock=lambda: 100.0)
    made.learn(SWARM)
    made.search()
    return made


def test_latency_takes_the_fewest_hops_and_throughput_the_fastest_servers() -> None:
    """c alone: 0.05 + 0.018 + 8 ms; a and b: 0.04 + 0.036 + 16 ms, at four times the rate."""
    assert chooser(0.0).chain(0, 8) == (("c", 0, 8),)
    fast = chooser(1.0).chain(0, 8)
    assert [name for name, _, _ in fast] in (["a", "b"], ["a", "d"])
    assert chooser().predicted_s((("c", 0, 8),)) == pytest.approx(0.05 + 0.018 + 0.008)


def test_a_span_is_left_in_its_middle() -> None:
    """b is faster than a: from block 4 on, where both are, b goes on."""
    swarm = view(Server("a", 0, 6, 9.0, 50.0), Server("b", 4, 8, 9.0, 500.0), a=0.02, b=0.02)
    made = Chooser()
    made.learn(swarm)
    assert made.chain(0, 8) == (("a", 0, 4), ("b", 4, 8))


def test_dead_servers_stay_out_until_the_ban_is_over() -> None:
    """Also when only a part of the chain is asked for; nobody left is an error, not a dead server."""
    now = [0.0]
    made = Chooser(clock=lambda: now[0], ban_s=60.0)
    made.learn(SWARM)
    made.failed("c")
    assert "c" not in {name for name, _, _ in made.chain(0, 8)}
    made.failed("a")
    with pytest.raises(InfeasibleError, match="alive"):
        made.chain(0, 3)
    now[0] = 61.0
    assert made.chain(0, 8) == (("c", 0, 8),)
    made.failed("c")
    made.succeeded("c")
    assert made.chain(0, 8) == (("c", 0, 8),)


def test_unreachable_servers_stay_out() -> None:
    """An infinite ping."""
    made = Chooser()
    made.learn(View(8, SWARM.servers, {**SWARM.client_s, "c": float("inf")}))
    assert "c" not in {name for name, _, _ in made.chain(0, 8)}


def test_sessions_spread_over_the_servers() -> None:
    """Every open session makes its servers slower for the next one; closed ones count no more."""
    made = chooser(0.9)
    first = made.chain(0, 8)
    seen = set()
    for key in range(12):
        chain = made.chain(0, 8)
        seen |= {name for name, _, _ in chain}
        made.opened(key, chain)
    assert {name for name, _, _ in first} < seen
    assert len(made.sessions) == 12
    for key in range(12):
        made.closed(key)
    assert made.chain(0, 8) == first


def test_a_full_cache_is_avoided() -> None:
    """c has room for 100 values a block, 2 x 60 are needed."""
    made = Chooser()
    made.learn(View(8, (*SWARM.servers[:2], Server("c", 0, 8, 10.0, 1000.0, 100)), SWARM.client_s))
    assert made.chain(0, 8, tokens=50) == (("c", 0, 8),)
    assert made.chain(0, 8, tokens=60)[0][0] == "a"


def test_preferences_out_of_range_are_refused() -> None:
    """One line, at once."""
    with pytest.raises(InputError, match="preference"):
        Chooser(1.5)


def steps(seconds: float, rtt_s: float, count: int = 20, server: str = "a") -> list[Step]:
    """Equal steps, two hops a token."""
    return [Step(1.0, server, seconds, rtt_s, 0.01, k % 2 == 0) for k in range(count)]


def test_the_overhead_is_what_is_left() -> None:
    """Median over the steps; Petals' 18 ms before there are any."""
    found = Calibration()
    assert found.hop_s == 0.018
    for step in steps(0.09, 0.04):
        found.add(step)
    assert found.hop_s == pytest.approx(0.04)
    assert found.shape == "star"
    for step in steps(0.14, 0.04, 5, "b"):
        found.add(step)
    assert found.queues_s(2.0)["b"] == pytest.approx(0.05)
    assert found.queues_s(1000.0) == {}


def test_answers_faster_than_the_way_are_pushes() -> None:
    """Half a round trip cannot be a star; near servers cannot tell."""
    far, near = Calibration(), Calibration()
    for step in steps(0.004, 0.04):
        far.add(step)
    for step in steps(0.001, 0.004):
        near.add(step)
    assert (far.shape, near.shape) == ("chain", "star")


def test_round_trips_are_imputed_by_triangles() -> None:
    """Between 0 and 1 over place 2: from 20 to 40 ms; what is known stays; without a bridge, medians."""
    table, guessed = impute({(0, 2): 0.03, (2, 1): 0.01, (3, 3): 1.0}, 4)
    assert table[0, 1] == pytest.approx(0.03)
    assert guessed[0, 1]
    assert not guessed[0, 2]
    assert table[2, 0] == 0.03
    assert table[3, 0] == pytest.approx((0.02 + 0.03) / 2)
    assert (np.diag(table) == 0).all()
    assert (table == table.T).all()
    assert (impute({}, 3)[0][~np.eye(3, dtype=bool)] == 0.1).all()
    assert impute({(0, 1): 0.02, (1, 0): 0.04, (0, 2): float("inf")}, 3)[0][0, 1] == pytest.approx(0.03)


class Old:
    """The parts of Petals' session that the replay touches, as in 2.2.0."""

    def __init__(self, start: int) -> None:
        self.stepped, self._position, self.span, self.sent = False, 0, start, np.zeros((1, 0))
        self.history: Any = None

    def step(self, inputs: Any) -> Any:
        """Keep the history, check it, send."""
        fresh = inputs.shape[1]
        if self.history is None:
            self.history = inputs
        elif self.history.shape[1] == self._position:
            self.history = np.concatenate([self.history, inputs[:, -fresh:]], axis=1)
        assert self.history.shape[1] == self._position + fresh, "Broken input cache"
        inputs = inputs[:, -fresh:] if self.stepped else self.history
        self.stepped, self._position = True, self._position + fresh
        self.sent = np.concatenate([self.sent, inputs], axis=1)
        return inputs + 100


def lost(step: Any) -> tuple[Old, Old, np.ndarray]:
    """Three servers; the first one is lost in the second step and replaced by two. What the last one got, and gives."""
    first, last = Old(0), Old(2)
    with_now(0, 3, lambda: step(last, step(first, np.array([[1.0, 2.0, 3.0]]))))
    first.history = np.array([[1.0, 2.0, 3.0, 4.0]])  # it had put down the new token when it was lost
    new, more = Old(0), Old(1)
    new.history = first.history
    out = with_now(3, 1, lambda: step(last, step(more, step(new, np.array([[4.0]])))))
    return new, last, out


def with_now(position: int, fresh: int, run: Any) -> Any:
    """Inside a step of a session."""
    token = sessions.NOW.set(sessions.Now(SimpleNamespace(), position, fresh))
    try:
        return run()
    finally:
        sessions.NOW.reset(token)


def test_the_replay_is_mended() -> None:
    """The new server gets everything, the one that lost nothing gets the new token only; without it, Petals' error."""

    def joined(a: Any, b: Any) -> Any:
        return np.concatenate([a, b], axis=1)

    new, last, out = lost(sessions.server_step(Old.step, joined, replay=True))
    assert new.sent.tolist() == [[1, 2, 3, 4]]
    assert last.sent.tolist() == [[101, 102, 103, 204]]
    assert out[:, -1:].tolist() == [[304]]
    with pytest.raises(AssertionError, match="Broken input cache"):
        lost(sessions.server_step(Old.step, joined, replay=False))


def test_a_release_that_lacks_a_name_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the version and the name, and nothing was replaced."""
    fake = ModuleType("petals")
    fake.__version__ = "9.9"  # type: ignore[attr-defined]
    remote = ModuleType("petals.client.remote_sequential")
    remote.RemoteSequenceManager = original = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "petals", fake)
    monkeypatch.setitem(sys.modules, "petals.client.remote_sequential", remote)
    with pytest.raises(PlacementError, match=r"Petals 9\.9 has no .*MissingBlocksError") as caught:
        install()
    assert "\n" not in str(caught.value)
    assert remote.RemoteSequenceManager is original


def test_without_petals_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the recipe."""
    monkeypatch.setitem(sys.modules, "petals", None)
    import placement.petals.patching

    with pytest.raises(PlacementError, match="it needs an environment of its own"):
        placement.petals.install()


@dataclass(frozen=True)
class Peer:
    """A peer id."""

    name: str

    def to_base58(self) -> str:
        """Its text."""
        return self.name


class Base:
    """What the subclass needs of Petals' manager."""

    def __init__(self, count: int = 8) -> None:
        from threading import Lock

        self.config, self.count, self.lock_changes = SimpleNamespace(ban_timeout=15, ping_timeout=1), count, Lock()
        peer = [Peer("a"), Peer("b")]
        info = SimpleNamespace(
            throughput=1.0,
            inference_rps=100.0,
            cache_tokens_left=None,
            next_pings=None,
            public_name=None,
            version="2.2.0",
            state=SimpleNamespace(name="ONLINE"),
        )
        spans = [SimpleNamespace(peer_id=peer[k], start=0, end=8, server_info=info) for k in range(2)]
        self.state = SimpleNamespace(sequence_info=SimpleNamespace(spans_by_priority=spans))
        self.ping_aggregator = SimpleNamespace(to_dict=lambda: {peer[0]: 0.01, peer[1]: 0.02})
        self.updates = 0
        self.failures: list[Any] = []

    def __len__(self) -> int:
        return self.count

    def update(self, *, wait: bool) -> None:
        """Count."""
        self.updates += 1

    def _make_sequence_with_min_latency(self, *_: Any, **__: Any) -> list[str]:
        return ["dijkstra"]

    def on_request_failure(self, peer: Any) -> None:
        """Remember."""
        self.failures.append(peer)

    def get_request_metadata(self, *_: Any, **__: Any) -> dict[str, str]:
        """Nothing."""
        return {}


class NoServerError(RuntimeError):
    """Petals' error for missing blocks."""


def test_the_manager_blames_who_failed_and_falls_back_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    """A failure without a name is that of the server last called; any other error of ours hands over to Dijkstra."""
    made = manager_class(Base, NoServerError, lambda *words: words, 0.0)()
    first = made._make_sequence_with_min_latency(0, 8, cache_tokens_needed=10)
    assert [(peer.to_base58(), start, stop) for peer, start, stop, _ in first] == [("a", 0, 8)]
    made.get_request_metadata("rpc_inference", "uids", peer_id=first[0][0])
    made.on_request_failure(None)
    second = made._make_sequence_with_min_latency(2, 5, cache_tokens_needed=10)
    assert [(peer.to_base58(), start, stop) for peer, start, stop, _ in second] == [("b", 2, 5)]
    made.on_request_failure(second[0][0])
    with pytest.raises(NoServerError):
        made._make_sequence_with_min_latency(2, 5, cache_tokens_needed=10)
    assert made.updates == 1
    made.chooser.chain = lambda *_: 1 / 0
    assert made._make_sequence_with_min_latency(0, 8, cache_tokens_needed=None) == ["dijkstra"]
    assert "Petals' own routing takes over: ZeroDivisionError" in caplog.text
