"""Fleets, swarms, cases in Helix's format and runs: what is read, and every mistake with its file, key and value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from placement.commands.schema import Kind, schema_of
from placement.errors import InfeasibleError, InputError
from placement.profile.calibrate import read_runs
from placement.readers.fleet import fleet_of, read_fleet
from placement.readers.helix import load_helix, read_helix
from placement.readers.swarm import read_swarm, swarm_of
from tests.objectives.replicated.cases import make_case

Data = dict[str, Any]


def fleet() -> Data:
    """Two servers."""
    server = {"memory_gb": 20.0, "tau_c_s": 0.3, "tau_p_s": 0.1}
    return {
        "num_blocks": 12,
        "block_gb": 1,
        "cache_gb_per_block_job": 0.1,
        "lambda_per_s": 0.05,
        "servers": [{"id": 0, **server}, {"id": "b", **server}],
        "seed": 7,
    }


def swarm() -> Data:
    """Two servers at two sites."""
    speed = {"ms_per_block": 2, "tokens_per_s": 5.5}
    servers = [
        {"name": "a", "site": "x", "blocks": "0:4", **speed},
        {"name": "b", "site": "y", "blocks": "2:8", **speed},
    ]
    return {"blocks": 8, "client": {"site": "x"}, "servers": servers, "rtt_ms": {"x": {"y": 20}}}


def case() -> Data:
    """Eight nodes."""
    return make_case(0)


def run_line() -> Data:
    """One run of two nodes."""
    spans = [{"node": "a", "start": 0, "stop": 3}, {"node": "b", "start": 3, "stop": 6}]
    return {
        "placement": spans,
        "measured": {"time_per_token_s": 0.05},
        "blocks": [{**span, "phase": "decode", "batch": 1, "seconds": 0.02} for span in spans],
        "prompt_tokens": [8],
        "output_tokens": 4,
    }


# Kind: a good document, its reader from a file, and the file's name.
FILES: dict[str, tuple[Callable[[], Data], Callable[[Path], object], str]] = {
    "fleet": (fleet, read_fleet, "fleet.json"),
    "swarm": (swarm, read_swarm, "swarm.yaml"),
    "helix": (case, load_helix, "case.json"),
    "runs": (run_line, read_runs, "runs.jsonl"),
}
HUGE = 10**60
# Kind, key path, value that is put there (None: the key is taken away), what the line says.
BAD: list[tuple[str, str, object, str]] = [
    ("fleet", "num_blocks", None, "num_blocks: this key is missing"),
    ("fleet", "num_blocks", 10_000_000, "num_blocks: expected a whole number of at most 10000, got 10000000"),
    ("fleet", "num_blocks", True, "num_blocks: expected a whole number, got True"),
    ("fleet", "num_blocks", 1.5, "num_blocks: expected a whole number, got 1.5"),
    ("fleet", "num_blocks", HUGE, "num_blocks: expected a number of at most 32 digits"),
    ("fleet", "servers", [], "servers: expected at least 1 of them, got []"),
    ("fleet", "servers", {"a": 1}, "servers: expected a list, got {'a': 1}"),
    ("fleet", "servers.0", 3, "servers[0]: expected a mapping, got 3"),
    ("fleet", "servers.0.memory_gb", 1e300, "servers[0].memory_gb: expected a number of at most 9e+06, got 1e+300"),
    ("fleet", "servers.0.memory_gb", "20", "servers[0].memory_gb: expected a number, got '20'"),
    ("fleet", "servers.0.memory_gb", None, "servers[0].memory_gb: this key is missing"),
    ("fleet", "servers.0.tau_p_s", 0, "servers[0].tau_p_s: expected a number above 0, got 0"),
    ("fleet", "servers.0.tau_c_s", -1, "servers[0].tau_c_s: expected a number of at least 0, got -1"),
    ("fleet", "servers.0.taup_s", 1, "servers[0]: unknown key 'taup_s'; did you mean 'tau_p_s'?"),
    ("fleet", "servers.1.id", 0, "servers[1]: the id '0' is used twice ([0] too)"),
    ("fleet", "servers.1.id", "\x1b]0;owned\x07", "servers[1].id: expected text without control characters, got"),
    ("fleet", "lambda_per_s", float("nan"), "lambda_per_s: expected a finite number, got nan"),
    ("fleet", "lambda", 1, "unknown key 'lambda'; did you mean 'lambda_per_s'?"),
    ("swarm", "blocks", 2**64, "blocks: expected a whole number of at most 10000"),
    ("swarm", "block", 8, "unknown key 'block'; did you mean 'blocks'?"),
    ("swarm", "servers.0.blocks", "0:9", "servers[0].blocks: expected a span within 0:8, got '0:9'"),
    ("swarm", "servers.0.blocks", "4:4", "servers[0].blocks: expected a span such as '0:8', its end"),
    ("swarm", "servers.0.blocks", [0, 4], "servers[0].blocks: expected text (quote it), got [0, 4]"),
    ("swarm", "servers.0.blocks", "0" * 5000 + ":4", "servers[0].blocks: expected at most 2000 characters"),
    ("swarm", "servers.0.ms_per_block", 0, "servers[0].ms_per_block: expected a number above 0, got 0"),
    ("swarm", "servers.0.ms_per_block", ".inf", "servers[0].ms_per_block: expected a number, got '.inf'"),
    ("swarm", "servers.0.survival", 1.5, "servers[0].survival: expected a number of at most 1, got 1.5"),
    ("swarm", "servers.0.count", 3, "servers[0]: unknown key 'count'"),
    ("swarm", "servers.0.name", "client", "servers[0].name: the name 'client' is taken"),
    ("swarm", "servers.1.name", "a", "servers[1]: the name 'a' is used twice ([0] too)"),
    ("swarm", "rtt_ms", {}, "rtt_ms: the round trip between a (site x) and b (site y) is missing"),
    ("swarm", "rtt_ms.x", 3, "rtt_ms.x: expected a mapping, got 3"),
    ("swarm", "rtt_ms.x.y", -1, "rtt_ms.x.y: expected a number of at least 0, got -1"),
    ("swarm", "rtt_ms.y", {"x": 30}, "rtt_ms.y.x: the round trip is given twice, as 20 and 30 ms"),
    ("swarm", "client", 3, "client: expected a mapping, got 3"),
    ("swarm", "petals", {"load_bytes_per_s": 0}, "petals.load_bytes_per_s: expected a number above 0, got 0"),
    ("helix", "model.num_layers", float("inf"), "model.num_layers: expected a whole number"),
    ("helix", "model.num_layers", HUGE, "model.num_layers: expected a number of at most 32 digits"),
    ("helix", "node_types", {}, "node_types: expected at least 1 of them"),
    ("helix", "nodes.3.type", "T9", "nodes[3].type: there is no node type 'T9'; did you mean"),
    ("helix", "nodes.3.typ", "T9", "nodes[3]: unknown key 'typ'; did you mean 'type'?"),
    ("helix", "nodes", {"a": 1}, "nodes: expected a list, got {'a': 1}"),
    ("helix", "links.bandwidth", [[1.0]], "links.bandwidth: expected 8 rows of 8 numbers"),
    ("helix", "links.bandwidth.0.0", "x", "links.bandwidth[0][0]: expected a number, got 'x'"),
    ("helix", "links.source_latency", [1.0], "links.source_latency: expected one number, or one for each of"),
    ("helix", "links.source_latency", "x", "links.source_latency: expected a number, got 'x'"),
    ("helix", "coordinator.nic_in", 0, "coordinator.nic_in: expected a number above 0, got 0"),
    ("helix", "node_types.T0.throughput", [], "node_types.T0.throughput: expected the rate with 1, 2, ... layers"),
    ("helix", "node_types.T0.throughput", {}, "node_types.T0.throughput: expected a list, got {}"),
    ("helix", "node_types.T0.decode_ms_per_layer", [[0, 0]], "node_types.T0.decode_ms_per_layer: expected points in"),
    ("helix", "node_types.T0.decode_ms_per_layer", [[0]], "node_types.T0.decode_ms_per_layer[0]: expected at least 2"),
    ("helix", "workload.cache_fill", 80, "workload.cache_fill: expected a number of at most 1, got 80"),
    ("helix", "workload.cache_fill", 0, "workload.cache_fill: expected a number above 0, got 0"),
    ("helix", "workload.length_product", 0, "workload.length_product: expected a number of at least 0.75, got 0"),
    ("helix", "workload.length_product", "1", "workload.length_product: expected a number, got '1'"),
    ("runs", "measured", 3, "measured: expected a mapping, got 3"),
    ("runs", "measured.time_per_token_s", float("inf"), "measured.time_per_token_s: expected a"),
    ("runs", "blocks.0.start", -3, "blocks[0].start: expected a whole number of at least 0, got -3"),
    ("runs", "blocks.0.phase", "decod", "blocks[0].phase: expected 'decode' or 'prefill', got 'decod'; did"),
    ("runs", "blocks.0.seconds", 0, "blocks[0].seconds: expected a number above 0, got 0"),
    ("runs", "placement.0.stop", 0, "placement[0].stop: expected a whole number of at least 1, got 0"),
    ("runs", "placement.1.start", 6, "placement[1]: expected start below stop, got 6 and 6"),
    ("runs", "prompt_tokens", "8", "prompt_tokens: expected a list, got '8'"),
    ("runs", "placment", [], "unknown key 'placment'; did you mean 'placement'?"),
]


def put(data: Any, path: str, value: object) -> Any:
    """Change one place of a document; None takes the key away."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = data
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(("kind", "path", "value", "line"), BAD)
def test_a_mistake_is_one_line(kind: str, path: str, value: object, line: str, tmp_path: Path) -> None:
    """The file, the key path, what was expected and what was found."""
    make, read, name = FILES[kind]
    data = put(make(), path, value)
    file = tmp_path / name
    file.write_text(yaml.safe_dump(data) if name.endswith("yaml") else json.dumps(data))
    with pytest.raises(InputError) as caught:
        read(file)
    message = str(caught.value)
    place = f"{file}: line 1: " if kind == "runs" else f"{file}: "
    assert message.startswith(f"{place}{line}")
    assert message.isprintable()


@pytest.mark.parametrize("kind", ["fleet", "swarm", "helix"])
@pytest.mark.parametrize("text", ["[" * 100_000, "", "[1]", "\x1b[31m", "a: &a [*a]", "{"])
def test_what_is_no_such_file_is_one_line(kind: str, text: str, tmp_path: Path) -> None:
    """Depth, nothing, a list, escape sequences, loops: refused by all readers alike."""
    for name in ("file.json", "file.yaml"):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            FILES[kind][1](path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()


def test_what_is_read_is_what_stands_there(tmp_path: Path) -> None:
    """Sizes in bytes, times in seconds, links both ways; JSON and YAML are one document."""
    found = fleet_of(fleet())
    assert found.names == ("0", "b")
    assert found.memory_bytes.tolist() == [20 * 10**9] * 2
    assert (found.block_bytes, found.cache_bytes, found.arrivals_per_s) == (10**9, 10**8, 0.05)
    one = swarm_of(swarm())
    assert one.rtt_s.tolist() == [[0.0, 0.02, 0.001], [0.02, 0.0, 0.02], [0.001, 0.02, 0.0]]
    assert one.block_s.tolist() == [0.002, 0.002]
    assert (one.starts.tolist(), one.stops.tolist()) == ([0, 2], [4, 8])
    for name, write in (("swarm.yaml", yaml.safe_dump), ("swarm.json", json.dumps)):
        (tmp_path / name).write_text(write(swarm()))
        assert np.array_equal(read_swarm(tmp_path / name).rtt_s, one.rtt_s)
    tables = read_helix(case()).tables
    assert tables.bandwidth_bytes_per_s.shape == (9, 9)
    assert tables.latency_s[8, :8].tolist() == [0.01] * 8


def test_how_full_caches_are_is_said() -> None:
    """What a case leaves to Helix's own rules is named in the notes, what it says itself is not called assumed."""
    data = case()
    (note,) = read_helix(data).notes
    assert note.startswith("requests fill 80% of the caches of the fullest block and reserve 562 tokens each")
    assert note.endswith("assumed, as Helix serves: workload.cache_fill and workload.length_product")
    data["workload"] |= {"cache_fill": 1.0, "length_product": 1.0}
    found = read_helix(data)
    (note,) = found.notes
    assert note.endswith("100% of the caches of the fullest block and reserve 500 tokens each in the mean")
    assert np.array_equal(found.tables.request_room, found.tables.kv_tokens / 500.0)


def test_round_trips_are_looked_up_by_name_first() -> None:
    """A pair of names wins over their sites, and a site's own round trip over `within_ms`."""
    data = swarm()
    data["rtt_ms"] = {"x": {"y": 20, "x": 3}, "a": {"b": 7}}
    assert swarm_of(data).rtt_s.tolist() == [[0.0, 0.007, 0.003], [0.007, 0.0, 0.02], [0.003, 0.02, 0.0]]


def test_a_block_of_nobody_is_infeasible() -> None:
    """That is no mistake of the file."""
    with pytest.raises(InfeasibleError, match="block 8 is held by nobody"):
        swarm_of(swarm() | {"blocks": 9})


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_schema(kind: Kind) -> None:
    """`placement schema KIND` prints a closed JSON schema that names every key of a good document."""
    schema = schema_of(kind)
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    if kind.value in FILES:
        assert set(FILES[kind.value][0]()) <= set(schema["properties"])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(HUGE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["fleet", "swarm", "helix"]), st.randoms(use_true_random=False), ANYTHING)
def test_any_value_anywhere_is_read_or_refused(kind: str, random: Any, value: object) -> None:
    """A good document with one value exchanged: a question, or one clear error; never anything else."""
    place: Any = (data := FILES[kind][0]())
    while True:
        key = random.choice(range(len(place)) if isinstance(place, list) else list(place))
        if not isinstance(place[key], dict | list) or not place[key] or random.random() < 0.2:
            place[key] = value
            break
        place = place[key]
    readers: dict[str, Callable[..., object]] = {"fleet": fleet_of, "swarm": swarm_of, "helix": read_helix}
    try:
        readers[kind](data)
    except (InputError, InfeasibleError) as error:
        line = str(error)
    else:
        line = "it was read"
    assert line.replace("\n", "").isprintable()
    assert len(line) < 1000


def test_caches_too_small_to_be_counted() -> None:
    """Tables by number of sessions have bounds: a cache that fits 10^10 times is refused by its key."""
    fleet_of(fleet() | {"cache_gb_per_block_job": 1e-5})
    with pytest.raises(InputError, match="cache_gb_per_block_job: expected at least 3"):
        fleet_of(fleet() | {"cache_gb_per_block_job": 1e-9})
