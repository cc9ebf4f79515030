"""A private swarm on loopback: four servers of unequal speed at emulated distances, a tiny Llama.

The tokens are those of the local model with Petals' own choices, with our placement, with our chains, and after a
server is killed in the middle of a generation. The table of times is printed (``pytest -s``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.petals, pytest.mark.usefixtures("shim")]
ROWS: list[str] = []


@pytest.fixture(scope="module")
def tools(shim: object) -> Any:
    """The scenes; they import Petals."""
    import scenes

    return scenes


@pytest.fixture(scope="module")
def model(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint."""
    path: Path = tools.checkpoint(tmp_path_factory.mktemp("tiny"))
    return path


@pytest.fixture(scope="module")
def local(tools: Any, model: Path) -> list[int]:
    """Tokens of the local model; they vary, so that equal ones mean something."""
    tokens: list[int] = tools.local_tokens(model)
    assert len(set(tokens[-tools.TOKENS :])) > 4
    return tokens


@pytest.fixture(scope="module")
def first(tools: Any, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A swarm whose servers chose their blocks by Petals' rule, one after another."""
    from launcher import swarm

    with swarm(tmp_path_factory.mktemp("first"), model, tools.RTT_S, tools.BLOCK_S) as made:
        for name, size in tools.SIZES.items():
            made.start(name, "--num_blocks", str(size), "--balance_quality", "0.0")
            made.wait(name)
        yield made


@pytest.fixture(scope="module")
def measured(tools: Any, first: Any) -> dict[str, Any]:
    """Both routings over Petals' placement, and what the planner makes of what the client sees."""
    from placement.petals import install
    from placement.petals.layout import Layouts

    found = {"petals": tools.measure(first, tools.client(first))}
    ROWS.append(found["petals"].row("Petals' placement, Petals' route"))
    put = install()
    try:
        model = tools.client(first)
        found["chains"] = tools.measure(first, model)
        ROWS.append(found["chains"].row("Petals' placement, our chains"))
        view = tools.view_now(model)
        names = {peer: name for name, peer in first.peer_ids.items()}
        sizes = tuple(tools.SIZES[names[server.name]] for server in view.servers)
        layouts = Layouts(view.swarm(), sizes, preference=0.2, weight=0.05)
        spans = layouts.spans()
        for move in layouts.moves():
            spans[move.server] = move.new
        found["plan"] = {names[server.name]: span for server, span in zip(view.servers, spans, strict=True)}
    finally:
        put.undo()
    first.stop()
    return found


def test_tokens_with_petals_own_choices(local: list[int], measured: dict[str, Any]) -> None:
    """The baseline of everything."""
    assert measured["petals"].tokens == local


def test_tokens_with_our_chains(local: list[int], measured: dict[str, Any]) -> None:
    """And the chain is one that is predicted to be at least as fast, as a star."""
    assert measured["chains"].tokens == local
    assert measured["chains"].star_s <= measured["petals"].star_s


@pytest.fixture(scope="module")
def second(tools: Any, model: Path, measured: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The swarm with our placement."""
    from launcher import swarm

    with swarm(tmp_path_factory.mktemp("second"), model, tools.RTT_S, tools.BLOCK_S) as made:
        for name in tools.SIZES:
            made.start(name, *tools.words(measured["plan"], name))
        made.wait(*tools.SIZES)
        yield made


def test_the_state_is_read_without_weights(tools: Any, measured: dict[str, Any], second: Any, tmp_path: Path) -> None:
    """`placement petals status` on the live swarm: spans, speeds, round trips near the emulated ones."""
    import launcher

    from placement.cli import run
    from placement.readers.swarm import read_swarm

    out = tmp_path / "swarm.yaml"
    words = ["--peers", second.first, "--prefix", launcher.PREFIX, "--blocks", "8", "--out", str(out)]
    assert run(["petals", "status", *words]) == 0
    swarm = read_swarm(out)
    spans = {name: (int(a), int(b)) for name, a, b in zip(swarm.names, swarm.starts, swarm.stops, strict=True)}
    assert spans == measured["plan"]
    for j, name in enumerate(swarm.names):
        assert swarm.block_s[j] == pytest.approx(tools.BLOCK_S[name] + 0.001, rel=1e-3)
        assert swarm.rtt_s[-1, j] >= tools.RTT_S[name]["client"]
    assert run(["petals", "advise", str(out)]) == 0


def test_tokens_with_our_placement(tools: Any, local: list[int], second: Any) -> None:
    """Petals' own routing on it."""
    found = tools.measure(second, tools.client(second))
    ROWS.append(found.row("our placement, Petals' route"))
    assert found.tokens == local


def test_tokens_with_both_and_after_a_server_is_killed(
    tools: Any, local: list[int], measured: Any, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A server of the chain dies after some tokens; the session goes on, on others, with the same tokens."""
    import torch

    from placement.petals import install

    put = install(replay=True)
    try:
        model = tools.client(second)
        found = tools.measure(second, model)
        ROWS.append(found.row("our placement, our chains"))
        assert found.tokens == local
        assert found.star_s <= measured["petals"].star_s
        lost = found.chain[-1][0]
        with torch.inference_mode(), model.inference_session(max_length=64) as session:
            for k in range(tools.TOKENS):
                given = torch.tensor([tools.PROMPT]) if k == 0 else None
                model.generate(
                    given, max_new_tokens=1, do_sample=False, eos_token_id=-1, pad_token_id=0, session=session
                )
                if k == 5:
                    used = {part.span.peer_id.to_base58() for part in session._server_sessions}
                    assert second.peer_ids[lost] in used
                    second.kill(lost)
            after = {part.span.peer_id.to_base58() for part in session._server_sessions}
            assert session.output_ids[0].tolist() == local
        assert second.peer_ids[lost] not in after
        assert "own routing takes over" not in caplog.text
        logging.getLogger("placement.petals").info("table:\n%s", "\n".join([tools.HEAD, *ROWS]))
        print("\n" + "\n".join([tools.HEAD, *ROWS]))  # noqa: T201
    finally:
        put.undo()


def test_servers_that_choose_by_our_rule(
    tools: Any, model: Path, local: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Servers of four blocks place themselves; one is lost for good, another one moves to its blocks, alone."""
    from launcher import swarm

    with swarm(tmp_path_factory.mktemp("rules"), model, tools.RTT_S, tools.BLOCK_S) as made:
        for name in ("b", "c", "a"):
            made.start(name, "--our-rules", "--num_blocks", "4", "--mean_balance_check_period", "4")
            made.wait(name)
        found = tools.measure(made, tools.client(made))
        assert found.tokens == local
        made.kill("c")  # b and c were first, so each of them holds what the other one does not
        mover = made.wait_any(("a", "b"), b"Swarm is imbalanced")
        made.wait_any((mover,), b"Started", 2)
        other = "b" if mover == "a" else "a"
        again = tools.measure(made, tools.client(made))
        assert again.tokens == local
        assert {name for name, _, _ in again.chain} == {"a", "b"}
        assert b"Swarm is imbalanced" not in (made.folder / f"{other}.log").read_bytes()
        print("\n" + "\n".join([tools.HEAD, found.row("our rule in servers"), again.row("after a loss and a move")]))  # noqa: T201
