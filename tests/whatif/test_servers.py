"""Changed fleets and swarms: each change is a question of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from placement.cli import run
from placement.errors import InputError
from placement.readers.swarm import swarm_of
from placement.whatif.changes import not_asked, own, usual
from placement.whatif.servers import MOST_SERVERS, label

ROOT = Path(__file__).parents[2]
FLEET: dict[str, Any] = {
    "num_blocks": 6,
    "block_gb": 1.0,
    "cache_gb_per_block_job": 0.1,
    "lambda_per_s": 0.05,
    "servers": [
        {"memory_gb": 8.0, "tau_c_s": 0.5, "tau_p_s": 0.1},
        {"memory_gb": 8.0, "tau_c_s": 0.5, "tau_p_s": 0.1},
        {"id": "large", "memory_gb": 20.0, "tau_c_s": 0.8, "tau_p_s": 0.2},
    ],
}


def swarm() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "petals_swarm.yaml").read_text(encoding="utf-8"))
    return data


def test_alike_servers_are_one_kind() -> None:
    """Two servers that differ in nothing but their names are taken once; the names of the others stay."""
    changes = {change.what: change.document for change in usual(FLEET)}
    assert [what for what in changes if what.startswith("one")] == [
        "one more 0",
        "one more large",
        "one less 0",
        "one less large",
    ]
    assert [label(changes["one less 0"], k) for k in range(2)] == ["1", "large"]
    assert [label(changes["one more large"], k) for k in range(4)] == ["0", "1", "large", "large-2"]
    assert not_asked(FLEET) == ""


def test_a_twin_stands_at_the_site_of_the_one_it_is_like() -> None:
    """The round trips of a twin are those of the other; within its site `within_ms` holds."""
    data = {
        "blocks": 4,
        "servers": [
            {"name": "a", "blocks": "0:4", "ms_per_block": 1.0, "tokens_per_s": 5},
            {"name": "b", "blocks": "0:4", "ms_per_block": 2.0, "tokens_per_s": 5},
        ],
        "rtt_ms": {"client": {"a": 10, "b": 20}, "a": {"b": 15}},
    }
    swarm = swarm_of(own(data, ["a*2"], [], []).document)
    assert swarm.names == ("a", "b", "a-2", "a-3")
    for twin in (2, 3):
        assert swarm.rtt_s[twin, 0] == 1e-3
        assert swarm.rtt_s[twin, 1] == swarm.rtt_s[0, 1] == 15e-3
        assert swarm.rtt_s[twin, -1] == swarm.rtt_s[0, -1] == 10e-3


def test_many_kinds_are_named() -> None:
    """Of forty unlike servers some are taken in turn, first and last among them; a note counts the others."""
    many = {**FLEET, "servers": [{"memory_gb": 8.0 + k, "tau_c_s": 0.5, "tau_p_s": 0.1} for k in range(40)]}
    more = [change.what for change in usual(many) if change.what.startswith("one more")]
    assert len(more) == MOST_SERVERS
    assert more[0] == "one more 0"
    assert more[-1] == "one more 39"
    assert not_asked(many).startswith("32 more kinds of servers")


def test_unknown_servers_are_named() -> None:
    """Names that are not there, counts that are none, and the last server."""
    with pytest.raises(InputError, match="there is no server 'larg'; did you mean 'large'"):
        own(FLEET, [], ["larg"], [])
    with pytest.raises(InputError, match=r"NAME\*COUNT"):
        own(FLEET, ["large*0"], [], [])
    with pytest.raises(InputError, match="a server to be left"):
        own({**FLEET, "servers": FLEET["servers"][2:]}, [], ["large"], [])


@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A fleet and a swarm: more servers never serve less, less never more; a front asks for an objective."""
    monkeypatch.chdir(tmp_path)
    Path("fleet.json").write_text(json.dumps(FLEET))
    assert run(["whatif", "fleet.json", "--objective", "rate", "--time-limit", "6", "--json"]) == 0
    rows = {row["change"]: row for row in json.loads(capsys.readouterr().out)["changes"]}
    assert rows["one more large"]["gain"] > 0
    assert rows["one less large"]["gain"] is None or rows["one less large"]["gain"] < 0
    Path("swarm.json").write_text(json.dumps(swarm()))
    assert run(["whatif", "swarm.json", "--time-limit", "4"]) == 1
    assert "give --objective" in capsys.readouterr().err
    words = ["whatif", "swarm.json", "--objective", "latency", "--remove", "tok-h100", "--json", "--time-limit", "2"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"][0]["change"] == "without tok-h100"
    assert told["changes"][0]["gain"] <= 0
