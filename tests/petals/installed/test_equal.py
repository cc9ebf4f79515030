"""Our copy of Petals' rules against the installed package: equal to the last bit on random swarms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from objectives.petals.routing import CLIENT, Seen, petals_route
from objectives.petals.rules import (
    GIB,
    announced,
    best_start,
    block_size,
    cache_size,
    most_blocks,
    throughputs,
    verdict,
)

pytestmark = [pytest.mark.petals, pytest.mark.usefixtures("shim")]
BATCHES, BATCH = 10, 30


def peers(count: int) -> list[Any]:
    """Peer ids in Petals' order."""
    from hivemind import PeerID

    return sorted(PeerID(b"\x12\x20" + bytes([k // 256, k % 256] * 16)) for k in range(count))


def drawn(seed: int) -> tuple[int, list[tuple[int, int]], list[float]]:
    """A swarm: blocks, spans, announced throughputs; every third one of few distinct values, for ties."""
    rng = np.random.default_rng(seed)
    n_blocks, count = int(rng.integers(6, 41)), int(rng.integers(2, 15))
    sizes = rng.integers(1, max(2, n_blocks // 2), count)
    starts = [int(rng.integers(0, n_blocks - size + 1)) for size in sizes]
    speeds = rng.choice([1.0, 2.0, 0.1], count) if seed % 3 == 0 else rng.uniform(0.1, 300, count)
    if seed % 2:  # a whole swarm more often than chance gives
        sizes[0], starts[0] = n_blocks, 0
    spans = [(a, a + int(size)) for a, size in zip(starts, sizes, strict=True)]
    return n_blocks, spans, [float(speed) for speed in speeds]


def infos(n_blocks: int, spans: list[tuple[int, int]], servers: list[Any], ids: list[Any]) -> list[Any]:
    """What Petals reads from the DHT."""
    from petals.data_structures import RemoteModuleInfo

    return [
        RemoteModuleInfo(
            f"_x.{b}",
            {ids[j]: servers[j] for j, (a, e) in enumerate(spans) if a <= b < e},
        )
        for b in range(n_blocks)
    ]


def announcements(spans: list[tuple[int, int]], speeds: list[float], **more: Any) -> list[Any]:
    """Petals' own records of servers."""
    from petals.data_structures import ServerInfo, ServerState

    return [
        ServerInfo(ServerState.ONLINE, speed, start_block=a, end_block=b, **{k: v[j] for k, v in more.items()})
        for j, ((a, b), speed) in enumerate(zip(spans, speeds, strict=True))
    ]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_greedy_choice_and_verdicts(batch: int) -> None:
    """Blocks of a server that joins, for three sizes; whether each server would move, with the same shuffles."""
    for seed in range(BATCH * batch, BATCH * (batch + 1)):
        check_rules(seed)


def check_rules(seed: int) -> None:
    """One swarm."""
    from petals.server.block_selection import choose_best_blocks, should_choose_other_blocks

    n_blocks, spans, speeds = drawn(seed)
    ids = peers(len(spans))
    total = throughputs(spans, speeds, n_blocks)
    for size in {1, max(1, n_blocks // 3), n_blocks}:
        found = choose_best_blocks(size, infos(n_blocks, spans, announcements(spans, speeds), ids))
        assert found[0] == best_start(total, size)
        assert found == list(range(found[0], found[0] + size))
    for j in range(len(spans)):
        quality = (0.75, 0.95, 0.0)[j % 3]
        np.random.seed(seed)  # noqa: NPY002  (Petals draws from the global one)
        theirs = should_choose_other_blocks(ids[j], infos(n_blocks, spans, announcements(spans, speeds), ids), quality)
        shuffle = np.random.RandomState(seed).shuffle
        assert verdict(spans, speeds, j, n_blocks, shuffle, quality).moves == theirs


@pytest.mark.parametrize("batch", range(BATCHES))
def test_routes_and_their_cost(batch: int) -> None:
    """Chains for the whole model and for part of it; unknown, infinite and known round trips, caches that are full."""
    for seed in range(BATCH * batch, BATCH * (batch + 1)):
        check_routes(seed)


def check_routes(seed: int) -> None:
    """One swarm."""
    import dijkstar
    from petals.client.routing.sequence_info import RemoteSequenceInfo
    from petals.client.routing.sequence_manager import RemoteSequenceManager, SequenceManagerState

    n_blocks, spans, speeds = drawn(2 * seed + 1)
    rng, ids = np.random.default_rng(seed), peers(len(spans))
    count = len(spans)
    rtt = {
        (i, j): float("inf") if i == CLIENT and rng.random() < 0.05 else float(rng.uniform(0.001, 0.3))
        for i in range(CLIENT, count)
        for j in range(count)
        if i != j and rng.random() < 0.7
    }
    rps = [None if rng.random() < 0.1 else float(rng.uniform(20, 600)) for _ in spans]
    cache = [None if rng.random() < 0.2 else int(rng.integers(0, 20_000)) for _ in spans]
    pings = [{ids[j].to_base58(): rtt[i, j] for j in range(count) if (i, j) in rtt} for i in range(count)]
    servers = announcements(spans, speeds, inference_rps=rps, cache_tokens_left=cache, next_pings=pings)
    manager = RemoteSequenceManager.__new__(RemoteSequenceManager)
    info = RemoteSequenceInfo.make_empty(tuple(f"_x.{b}" for b in range(n_blocks)))
    info.update_(infos(n_blocks, spans, servers, ids))
    manager.state = SequenceManagerState(sequence_info=info)
    client = {ids[j]: rtt[CLIENT, j] for j in range(count) if (CLIENT, j) in rtt}
    manager.ping_aggregator = SimpleNamespace(to_dict=lambda: client)
    from threading import Lock

    manager.lock_changes = Lock()
    seen = Seen(spans, rps, rtt, cache)
    for start, stop in ((0, n_blocks), (n_blocks // 3, n_blocks - 1), (n_blocks // 2, n_blocks // 2 + 1)):
        tokens = int(rng.integers(1, 200))
        graph = manager._build_inference_graph(start, stop, cache_tokens_needed=tokens)
        cost, stages = petals_route(seen, start, stop, tokens)
        assert cost == pytest.approx(dijkstar.find_path(graph, "start", "end").total_cost, rel=1e-12)
        theirs = manager._make_sequence_with_min_latency(start, stop, cache_tokens_needed=tokens)
        assert [(ids.index(span.peer_id), span.start, span.end) for span in theirs] == list(stages)


@pytest.mark.parametrize(
    ("memory", "hidden", "heads", "groups"), [(24, 4096, 32, 1), (80, 8192, 64, 8), (11, 5120, 40, 1)]
)
@pytest.mark.parametrize("quantization", ["none", "int8", "nf4"])
def test_span_lengths(
    memory: int, hidden: int, heads: int, groups: int, quantization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that a GPU server takes by itself."""
    import torch
    from petals.models.llama.config import DistributedLlamaConfig
    from petals.server.block_utils import get_block_size
    from petals.server.server import Server
    from petals.utils.convert_block import QuantType

    config = DistributedLlamaConfig(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads // groups,
        num_hidden_layers=80,
        intermediate_size=2 * hidden,
    )
    properties = SimpleNamespace(total_memory=memory * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    server = Server.__new__(Server)
    server.device, server.tensor_parallel_devices = torch.device("cuda:0"), (torch.device("cuda:0"),)
    server.block_config, server.torch_dtype = config, torch.float16
    server.quant_type, server.adapters = QuantType[quantization.upper()], ()
    cache = cache_size(hidden, groups, 2)
    server._cache_bytes_per_block = cache
    params = hidden * hidden * (2 + 2 // groups if groups == 1 else 2) + 2 * hidden * hidden // groups * (groups > 1)
    params += 3 * hidden * 2 * hidden + 2 * hidden
    block = block_size(params, 2, quantization)
    assert block == get_block_size(config, "memory", dtype=torch.float16, quant_type=server.quant_type)
    assert most_blocks(memory * GIB, hidden, block, cache, n_blocks=80) == server._choose_num_blocks()


def test_announced_throughput(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller of computing and network, the network a fifth behind a relay."""
    from petals.server import throughput

    measured = {"inference_rps": 200.0, "forward_rps": 4000.0, "network_rps": 900.0}
    monkeypatch.setattr(throughput, "measure_throughput_info", lambda *_, **__: dict(measured))
    monkeypatch.setattr(throughput, "get_device_name", lambda _: "x")
    import torch
    from petals.models.llama.config import DistributedLlamaConfig
    from petals.utils.convert_block import QuantType

    for size in (1, 4, 20):
        for relayed in (False, True):
            found = throughput.get_server_throughput(
                "m",
                DistributedLlamaConfig(),
                torch.device("cpu"),
                torch.float32,
                num_blocks=size,
                quant_type=QuantType.NONE,
                tensor_parallel_devices=(torch.device("cpu"),),
                reachable_via_relay=relayed,
                cache_dir=str(tmp_path / f"{size}{relayed}"),
            )
            assert found["throughput"] == announced(4000.0, 900.0, size, relayed=relayed)
