"""The planner's side without Petals: a server's choices, advice, swarm files, span limits."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from objectives.petals.rules import cache_size, most_blocks, throughputs
from placement import InputError
from placement.cli import run
from placement.kinds.replicated.case import case_of
from placement.petals.advise import advise
from placement.petals.layout import Layouts
from placement.petals.request import limits, servers_only, with_client
from placement.petals.server import Announcement, ServerRules
from placement.petals.swarm_file import document, read
from placement.petals.view import Server, View
from placement.plan.plan import Figures, ObjectiveValue, PlacedSpan, Plan
from placement.readers.cluster.read import read_request
from placement.readers.swarm import read_swarm
from tests.sampled import some_quick

EXAMPLES = Path(__file__).parents[2] / "examples"


class Dht:
    """What the servers of a swarm read; a server that moves is announced at its new place at once."""

    def __init__(self, held: dict[str, tuple[int, int, float]], n_blocks: int) -> None:
        self.held, self.n_blocks = dict(held), n_blocks
        self.now = 0.0
        self.rules = {name: ServerRules(lambda _: self.told(), clock=lambda: self.now) for name in held}
        self.moves: list[str] = []

    def told(self) -> dict[str, Announcement]:
        """What is announced."""
        return {name: Announcement(*what) for name, what in self.held.items()}

    def look(self, name: str, quality: float = 0.75) -> None:
        """One server looks, a minute after the one before, and moves if it wants to, as Petals' server does."""
        self.now += 60.0
        infos, rules, (a, b, speed) = [None] * self.n_blocks, self.rules[name], self.held[name]
        if rules.should_choose_other_blocks(SimpleNamespace(to_base58=lambda: name), infos, quality):
            del self.held[name]
            blocks = rules.choose_best_blocks(b - a, infos)
            self.held[name] = (blocks[0], blocks[-1] + 1, speed)
            assert (blocks[0], blocks[-1] + 1) != (a, b), "it reloads what it had"
            self.moves.append(name)


def test_one_server_moves_to_the_hole_and_then_nobody_does() -> None:
    """Three on the first half, none on the second: one goes, whoever looks first, and no two swap."""
    dht = Dht({"a": (0, 4, 5.0), "b": (0, 4, 5.0), "c": (0, 4, 5.0)}, 8)
    for _ in range(2):
        for name in ("c", "b", "a"):
            dht.look(name)
    assert dht.moves == [], "it moved before the hole had lasted"
    for _ in range(10):
        for name in ("c", "b", "a"):
            dht.look(name)
    assert len(dht.moves) == 1
    assert sorted(span[:2] for span in dht.held.values()) == [(0, 4), (0, 4), (4, 8)]


@pytest.mark.parametrize("seed", some_quick(range(4), 1))
def test_random_swarms_come_to_rest(seed: int) -> None:
    """Fewer moves than servers, and every block that was held stays so."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 9, 8)
    held = {f"s{k}": (int(a), int(a) + 4, float(rng.uniform(1, 9))) for k, a in enumerate(starts)}
    dht = Dht(held, 12)
    for _ in range(40):
        for name in held:
            dht.look(name)
    before, after = len(dht.moves), dict(dht.held)
    for _ in range(10):
        for name in held:
            dht.look(name)
    assert len(dht.moves) == before <= 8
    assert dht.held == after
    covered = {b for a, e, _ in held.values() for b in range(a, e)}
    assert covered <= {b for a, e, _ in after.values() for b in range(a, e)}


def test_rebalancing_can_be_turned_off_and_strangers_stay() -> None:
    """A balance quality of 0 is Petals' way to say never; a server that is not announced does nothing."""
    dht = Dht({"a": (0, 4, 5.0), "b": (0, 4, 5.0)}, 8)
    dht.look("a", quality=0.0)
    assert dht.moves == []
    peer = SimpleNamespace(to_base58=lambda: "x")
    assert not dht.rules["a"].should_choose_other_blocks(peer, [None] * 8, 0.75)


def test_a_server_that_joins_takes_what_nobody_holds() -> None:
    """No longer than it may be."""
    rules = ServerRules(lambda _: {"a": Announcement(0, 5, 9.0)})
    assert rules.choose_best_blocks(3, [None] * 8) == [5, 6, 7]


def test_a_decision_that_was_not_carried_out_is_void() -> None:
    """A server that comes back much later looks anew."""
    now = [0.0]
    rules = ServerRules(lambda _: {"a": Announcement(0, 4, 5.0)}, clock=lambda: now[0])
    rules.decided = (0.0, (1, 5))
    now[0] = 1000.0
    assert rules.choose_best_blocks(4, [None] * 8) == [4, 5, 6, 7]


def test_advice_is_worth_its_moves() -> None:
    """Ours betters the weakest block of the example with fewer moves than Petals would make."""
    swarm, about, _ = read(EXAMPLES / "petals_status.yaml")
    assert about.load_bytes_per_s is not None
    found = advise(swarm, block_bytes=about.block_bytes, load_bytes_per_s=about.load_bytes_per_s)
    assert found.ours.bottleneck > 2 * found.now.bottleneck
    assert found.ours.token_s < found.now.token_s
    assert 0 < len(found.moves) < found.petals.moves
    move = found.moves[0]
    assert found.outage_s(move) == pytest.approx(60.0 + move.loaded * 450e6 / 12.5e6)
    speeds = swarm.rates.tolist()
    assert found.ours.bottleneck == pytest.approx(throughputs(found.ours.spans, speeds, 32).min())
    assert advise(swarm, weight=50.0).moves == ()


def test_advice_ends_with_its_time() -> None:
    """Without any time no move is sought, and that is told; with enough of it nothing is said."""
    swarm, _, _ = read(EXAMPLES / "petals_status.yaml")
    short, whole = advise(swarm, seconds=0.0), advise(swarm)
    assert (short.moves, short.cut_short) == ((), True)
    assert whole.moves
    assert not whole.cut_short


def test_moves_better_the_value_they_are_chosen_by() -> None:
    """One after another, and a swarm with a hole is mended first."""
    swarm, _, _ = read(EXAMPLES / "petals_status.yaml")
    layouts = Layouts(swarm, tuple((swarm.stops - swarm.starts).tolist()))
    spans = layouts.spans()
    spans[5] = (0, 6)  # nobody holds the last blocks
    assert layouts.value(spans) < -1000
    move = layouts.best(spans)
    assert move is not None
    assert move.new[1] == 32
    spans[move.server] = move.new
    assert layouts.value(spans) > -1000


def test_the_command_gives_advice(capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON."""
    assert run(["petals", "advise", str(EXAMPLES / "petals_status.yaml")]) == 0
    assert "after our moves" in capsys.readouterr().out
    assert run(["petals", "advise", str(EXAMPLES / "petals_status.yaml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["moves"][0]["loaded_bytes"] == data["moves"][0]["loaded_blocks"] * 450e6
    keys = ["status", "kind", "now", "petals", "ours", "petals_would_move", "moves", "cut_short", "plan"]
    assert list(data) == keys


def test_advice_is_a_plan_of_the_layout_after_the_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every server with its span, the front of chains through them, the moves beside; `Plan.load` reads it."""
    out = tmp_path / "plan.json"
    assert run(["petals", "advise", str(EXAMPLES / "petals_status.yaml"), "--json", "--out", str(out)]) == 0
    shown = json.loads(capsys.readouterr().out)
    plan = Plan.load(out)
    assert plan.to_dict() == shown["plan"]
    assert json.loads(out.read_text())["moves"] == shown["moves"]
    assert (plan.kind, plan.status, plan.n_blocks) == ("routes", "solved", 32)
    swarm, _, _ = read(EXAMPLES / "petals_status.yaml")
    held = {span.node: (span.start, span.stop) for span in plan.placement}
    before = {name: (int(a), int(b)) for name, a, b in zip(swarm.names, swarm.starts, swarm.stops, strict=True)}
    moved = {move["server"]: tuple(move["to"]) for move in shown["moves"]}
    assert held == before | moved
    for chain in plan.chains:
        for node, start, stop in zip(chain.nodes, (0, *chain.stops), chain.stops, strict=False):
            assert held[node][0] <= start < stop <= held[node][1]
    assert plan.chains[0].seconds == plan.figures.time_per_token_s == shown["ours"]["token_s"]
    assert plan.figures.weakest_block_tokens_per_s == shown["ours"]["tokens_per_s"]


def test_advice_for_a_hole_that_stays_is_no_solved_plan() -> None:
    """Without a move, a block of nobody makes the plan infeasible, without figures of chains."""
    swarm, _, _ = read(EXAMPLES / "petals_status.yaml")
    holes = replace(swarm, stops=np.minimum(swarm.stops, 31))
    plan = advise(holes, most_moves=0).plan
    assert (plan.status, plan.chains, plan.objective.value) == ("infeasible", (), 0.0)
    assert set(plan.figures) == {"weakest_block_tokens_per_s"}
    assert any("held by nobody" in note for note in plan.notes)
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize("options", [{"preference": 1.5}, {"weight": float("nan")}, {"block_bytes": -1.0}])
def test_advice_refuses_numbers_out_of_range(options: dict[str, float]) -> None:
    """By name."""
    swarm, _, _ = read(EXAMPLES / "petals_status.yaml")
    with pytest.raises(InputError, match=next(iter(options))):
        advise(swarm, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "--prefix", "x", "--blocks", "8"], "--peers"),
        (
            ["status", "--peers", "/ip4/127.0.0.1/tcp/1/p2p/Qm", "--prefix", "x", "--blocks", "8"],
            "environment of its own",
        ),
        (["advise", "nowhere.yaml"], "nowhere.yaml"),
        (["advise", str(EXAMPLES / "petals_status.yaml"), "--shape", "ring"], "'ring' is not one of 'star', 'chain'"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Petals, the recipe."""
    import sys

    monkeypatch.setitem(sys.modules, "petals", None)
    assert run(["petals", *words]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_a_view_becomes_a_swarm_file_and_is_routed(tmp_path: Path) -> None:
    """Imputed round trips are marked; equal names are told apart."""
    servers = (
        Server("QmAaaaaaa", 0, 4, 50.0, 100.0, 400, {"QmBbbbbbb": 0.05}, label="gpu", version="2.2.0"),
        Server("QmBbbbbbb", 4, 8, 40.0, None, label="gpu"),
        Server("QmCcccccc", 4, 8, 30.0, 200.0),
    )
    view = View(8, servers, {"QmAaaaaaa": 0.02, "QmBbbbbbb": 0.04, "QmCcccccc": float("inf")})
    data = document(view, "m", 1e8, 1e7)
    path = tmp_path / "swarm.yaml"
    path.write_text(yaml.safe_dump(data))
    swarm = read_swarm(path)
    assert swarm.names == ("gpu-aaaaaa", "gpu-bbbbbb", "mCcccccc")
    assert swarm.rtt_s[0, 1] == pytest.approx(0.05)
    assert len(data["petals"]["imputed"]) == 3  # everything about the server that answers no ping
    assert all(swarm.names[2] in pair for pair in data["petals"]["imputed"])
    assert read(path)[1].prefix == "m"


def test_span_limits_of_a_request_are_petals_own() -> None:
    """Layers only, Petals' formula; the plan is in blocks of the whole model again."""
    request = servers_only(read_request(EXAMPLES / "petals_plan.yaml"))
    assert request.model.n_blocks == 80
    found = dict(zip(request.cluster.names, limits(request).tolist(), strict=True))
    node = request.cluster.nodes[2]
    layer = max(request.model.blocks, key=lambda block: block.weight_bytes)
    weights = layer.params * 4.25 / 8 * 1.01 if layer.params else layer.weight_bytes * 1.01
    room = node.memory_bytes - node.reserve_bytes
    assert found["l4-0"] == most_blocks(room, 8192, weights, cache_size(8192, 8, 2))
    assert found["t4-0"] < found["l4-0"] < found["a100-0"] <= 80


def test_a_plan_holds_no_more_than_petals_would(tmp_path: Path) -> None:
    """`solve` with ``runtime: petals``."""
    out = tmp_path / "plan.json"
    file = EXAMPLES / "petals_plan.yaml"
    assert run(["solve", str(file), "--time-limit", "0.5", "--out", str(out), "--quiet"]) == 0
    plan = json.loads(out.read_text())
    request = servers_only(read_request(file))
    most = dict(zip(request.cluster.names, limits(request).tolist(), strict=True))
    assert plan["n_blocks"] == 82
    held = np.zeros(82, dtype=bool)
    for span in plan["placement"]:
        layers = min(span["stop"], 81) - max(span["start"], 1)
        assert layers <= most[span["node"]]
        held[span["start"] : span["stop"]] = True
    assert held.all()


def test_petals_plans_pay_for_a_round_trip_to_the_client_at_every_hop() -> None:
    """Unless the file says that servers push: then the way between two of them counts."""
    request = servers_only(read_request(EXAMPLES / "petals_plan.yaml"))
    star = case_of(request).tables
    line = case_of(replace(request, server_push=True)).tables
    n = star.n_nodes
    chain = (0, 3, 7)  # an A100 and an L4 in the east, as the client; a T4 in the west
    hops = [(n, chain[0]), *pairwise(chain), (chain[-1], n)]
    trips = sum(line.latency_s[j, n] + line.latency_s[n, j] for j in chain)
    assert sum(star.latency_s[a, b] for a, b in hops) == pytest.approx(trips)
    assert sum(line.latency_s[a, b] for a, b in hops) < trips
    assert star.bandwidth_bytes_per_s[0, 3] == pytest.approx(line.bandwidth_bytes_per_s[0, n] / 2)
    assert (star.latency_s[n] == line.latency_s[n]).all()


def test_server_push_is_a_key(tmp_path: Path) -> None:
    """Of the cluster file."""
    path = tmp_path / "swarm.yaml"
    path.write_text((EXAMPLES / "petals_plan.yaml").read_text() + "server_push: true\n")
    assert read_request(path).server_push
    assert not read_request(EXAMPLES / "petals_plan.yaml").server_push


def test_ends_belong_to_the_layers_beside_them() -> None:
    """As the exporter reads `--block_indices`."""
    value = ObjectiveValue("served", 1.0, "tokens/s", "maximize", None, None, proven_optimal=False)
    names = ("layer.0", "layer.1", "layer.2", "layer.3")
    spans = (PlacedSpan("a", 0, 2), PlacedSpan("b", 2, 4))
    found = with_client(Plan("solved", "m", 4, names, spans, value, Figures(), ranges=((0, 2), (2, 4), (0, 0))))
    assert found.block_names == ("embed", *names, "head")
    assert (found.n_blocks, found.ranges) == (6, ((0, 3), (3, 6), (0, 0)))
    assert [(span.start, span.stop) for span in found.placement] == [(0, 3), (3, 6)]
