"""A Petals server with emulated distance and speed: ``python server.py NAME WORLD.json [arguments of run_server]``.

WORLD.json has `peers` (peer id to name), `rtt_s` (name to name to seconds; whoever is no server is "client") and
`block_s` (name to seconds that one block takes for one token, beyond what the tiny block really takes).
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import shim  # noqa: F401  (first of all)
from hivemind.dht.protocol import DHTProtocol
from petals.cli import run_server
from petals.server import server as petals_server
from petals.server.handler import TransformerConnectionHandler

LASTING_S = 20.0  # for which our rule waits with a move here; ten minutes elsewhere


class World:
    """Delays of one server to whoever calls."""

    def __init__(self, name: str, data: dict[str, Any]) -> None:
        self.name, self.peers, self.block_s = name, data["peers"], float(data["block_s"][name])
        self.rtt_s = data["rtt_s"][name]

    def to(self, peer: Any) -> float:
        """Round trip in s to a peer."""
        return float(self.rtt_s[self.peers.get(str(peer.to_base58()), "client")])


def emulate(world: World) -> None:
    """Put the delays around pings and inference steps."""
    handler = TransformerConnectionHandler
    ping, inference, pushed = DHTProtocol.rpc_ping, handler.rpc_inference, handler.rpc_push  # their hints are read

    @functools.wraps(ping)
    async def rpc_ping(self: Any, request: Any, context: Any) -> Any:
        await asyncio.sleep(world.to(context.remote_id))
        return await ping(self, request, context)

    @functools.wraps(pushed)
    async def rpc_push(self: Any, request: Any, context: Any) -> Any:
        await asyncio.sleep(world.to(context.remote_id) / 2)
        return await pushed(self, request, context)

    @functools.wraps(inference)
    async def rpc_inference(self: Any, requests: Any, context: Any) -> AsyncIterator[Any]:
        half, blocks = world.to(context.remote_id) / 2, 1

        async def late() -> AsyncIterator[Any]:
            nonlocal blocks
            async for request in requests:
                blocks = len(request.uid.split()) if request.uid else blocks
                await asyncio.sleep(half)
                yield request

        async for answer in inference(self, late(), context):
            await asyncio.sleep(half + blocks * world.block_s)
            yield answer

    DHTProtocol.rpc_ping = rpc_ping
    handler.rpc_inference, handler.rpc_push = rpc_inference, rpc_push


def speed(world: World) -> None:
    """Announce the emulated speed, as the speed test of a real server would."""

    def measured(*_: Any, num_blocks: int, **__: Any) -> dict[str, float]:
        rps = 1.0 / (world.block_s + 0.001)
        forward = 20.0 * rps
        return {
            "throughput": forward / ((num_blocks + 1) / 2),
            "inference_rps": rps,
            "forward_rps": forward,
            "network_rps": 1e4,
        }

    petals_server.get_server_throughput = measured


def main() -> None:
    """Run."""
    name, path = sys.argv[1:3]
    world = World(name, json.loads(Path(path).read_text()))
    emulate(world)
    speed(world)
    if "--our-rules" in sys.argv:
        sys.argv.remove("--our-rules")
        from placement.petals import install

        rules = install(client=False, server=True).rules
        assert rules is not None
        rules.rule = replace(rules.rule, lasting_s=LASTING_S)
    sys.argv = ["run_server", *sys.argv[3:]]
    run_server.main()


if __name__ == "__main__":
    main()
