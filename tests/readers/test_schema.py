"""The schema: what it accepts, what it fills in, and its JSON form."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.combine import PIPELINE, REPLICATED, TERMS
from placement.errors import InputError
from placement.files.document import key_path
from placement.files.entries import json_schema, parse
from placement.readers.schema.file import ClusterFile

NODE = {"name": "a", "device": "t4"}


def test_defaults() -> None:
    """A model and one node are enough."""
    entry = parse(ClusterFile, {"model": "x", "nodes": [NODE]}, "f")
    assert entry.workload.concurrency == 1
    assert entry.objective is None  # latency, or served where replicated: the reader knows
    assert entry.contiguous
    assert entry.placement == "pipeline"
    assert entry.limits.by_term(PIPELINE) == {}


def test_limits_are_kept_by_term() -> None:
    """Limits have units, and two words for one term keep the tighter one."""
    limits = {"ttft": "2 s", "time_per_token": "100 ms", "latency": "80 ms", "price": "3 $/h"}
    limits |= {"throughput": "50 tokens/s", "energy": "5 J/token", "request_time": "1 min"}
    entry = parse(ClusterFile, {"model": "x", "nodes": [NODE], "limits": limits}, "f")
    expected = {"ttft": 2.0, "latency": 0.08, "price": 3.0, "throughput": 50.0, "energy": 5.0, "request_time": 60.0}
    assert entry.limits.by_term(PIPELINE) == pytest.approx(expected)
    entry = parse(
        ClusterFile, {"model": "x", "nodes": [NODE], "limits": {"flow": "9 tokens/s", "served": "5 tokens/s"}}, "f"
    )
    assert entry.limits.by_term(REPLICATED) == {"flow": 9.0, "throughput": 5.0}
    with pytest.raises(InputError, match=r"limits\.served: this is a limit of replicated placements"):
        entry.limits.by_term(PIPELINE)


@pytest.mark.parametrize("spec", ["throughput", "ttft,price", ["latency", "price"], {"latency": 1, "price": 0.5}])
def test_objectives_in_all_forms(spec: object) -> None:
    """One name, several, or weights."""
    assert parse(ClusterFile, {"model": "x", "nodes": [NODE], "objective": spec}, "f").objective == spec


def test_short_forms() -> None:
    """One number or name where a mapping is allowed too."""
    node = {**NODE, "compute": "4 TFLOP/s", "efficiency": 0.5, "interconnect": "nvlink-3"}
    network = {"within": {"default": "ethernet-10g"}, "default": {"link": "wifi-6", "latency": "5 ms"}}
    entry = parse(ClusterFile, {"model": "x", "nodes": [node], "network": network}, "f")
    assert entry.nodes[0].compute == {"any": 4e12}
    assert entry.nodes[0].efficiency is not None
    assert entry.nodes[0].efficiency.bandwidth == 0.5
    assert entry.nodes[0].interconnect is not None
    assert entry.nodes[0].interconnect.link == "nvlink-3"
    assert entry.network.default is not None
    assert entry.network.default.latency == 0.005


def test_measured_tables() -> None:
    """Sizes of a decode table may be text, as JSON has it; values are numbers, lists or texts with a unit."""
    node = {"name": "a", "memory": "1 GiB", "decode_table": {"1": 0.01, 4: [0.01, 0.02], 8: "20 ms"}}
    entry = parse(ClusterFile, {"model": "x", "nodes": [node]}, "f")
    assert entry.nodes[0].decode_table == {1: (0.01,), 4: (0.01, 0.02), 8: (0.02,)}


def test_json_schema_names_every_key() -> None:
    """`placement schema` prints a document with all keys, closed against others."""
    schema = json_schema(ClusterFile, "cluster.yaml")
    json.dumps(schema)
    assert set(schema["properties"]) == set(ClusterFile.model_fields)
    assert schema["additionalProperties"] is False
    for name in ("NodeEntry", "BlockEntry", "LinkEntry", "Between", "Pair", "Limits", "TieEntry", "InlineModel"):
        assert schema["$defs"][name]["additionalProperties"] is False
    assert schema["$defs"]["NodeEntry"]["properties"]["name"]["type"] == "string"


def test_every_term_is_an_objective() -> None:
    """The schema and the objectives agree on the names."""
    for term in (*TERMS, *REPLICATED.names, *REPLICATED.aliases):
        parse(ClusterFile, {"model": "x", "nodes": [NODE], "objective": term}, "f")


def test_key_paths() -> None:
    """Paths read as people write them; tags of unions are not shown."""
    assert key_path(("nodes", 2, "memory")) == "nodes[2].memory"
    assert key_path(("model", "<mapping>", "blocks", 0)) == "model.blocks[0]"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def message(data: dict[str, object]) -> str:
    """Return the error of some data, or what an error would begin with when there is none."""
    try:
        parse(ClusterFile, data, "f")
    except InputError as error:
        return str(error)
    return "f: nodes[0]"


@given(st.dictionaries(st.sampled_from(sorted(ClusterFile.model_fields)) | st.text(max_size=5), _VALUES, max_size=5))
def test_any_data_is_read_or_refused(data: dict[str, object]) -> None:
    """Whatever the data, there is a request or an InputError, never another exception."""
    assert message({"nodes": [NODE], **data}).startswith("f")


@given(_VALUES, st.sampled_from(["memory", "compute", "efficiency", "interconnect", "decode_table", "count", "name"]))
def test_any_node_is_read_or_refused(value: object, key: str) -> None:
    """The same for the keys of a node."""
    assert message({"model": "x", "nodes": [{**NODE, key: value}]}).startswith("f: nodes[0]")


def test_reading_imports_nothing_heavy() -> None:
    """The reader is imported without pint, networkx, numba and torch."""
    code = "import sys, placement.readers.cluster.read, placement.readers.cluster.graph\n"
    code += "print([name for name in ('pint', 'networkx', 'numba', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
