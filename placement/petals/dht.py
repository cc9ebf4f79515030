"""The state of a swarm from its DHT: a bare client, no weights. Needs Petals' environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InputError, PlacementError
from .client import view_of
from .names import name, release
from .view import View

PING_S = 3.0


def read_view(peers: Sequence[str], prefix: str, n_blocks: int) -> View:
    """Servers that hold blocks of a model, and the round trip from here to each of them.

    Parameters
    ----------
    peers : sequence of str
        Addresses such as /ip4/10.0.0.5/tcp/31330/p2p/Qm...
    prefix : str
        `dht_prefix` of the model.
    """
    version = release()
    dht_class = name(version, "hivemind.dht", "DHT")
    read = name(version, "petals.utils.dht", "get_remote_module_infos")
    spans_of = name(version, "petals.utils.dht", "compute_spans")
    least = name(version, "petals.data_structures", "ServerState").JOINING
    aggregator = name(version, "petals.utils.ping", "PingAggregator")
    try:
        dht = dht_class(initial_peers=list(peers), client_mode=True, start=True)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:200]
        raise PlacementError(f"no peer of the swarm answers at {', '.join(peers)} ({reason})") from None
    try:
        infos: list[Any] = read(dht, [f"{prefix}.{block}" for block in range(n_blocks)], latest=True)
        spans = list(spans_of(infos, min_state=least).values())
        if not spans:
            raise InputError(f"no server announces blocks of '{prefix}' (0 to {n_blocks - 1})", "--prefix")
        pings = aggregator(dht)
        pings.ping([span.peer_id for span in spans], wait_timeout=PING_S)
        return view_of(spans, pings.to_dict(), n_blocks)
    finally:
        dht.shutdown()
