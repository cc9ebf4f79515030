"""A `RemoteSequenceManager` whose chains are ours."""

from __future__ import annotations

import logging
import math
from typing import Any

from ..errors import InfeasibleError
from .chooser import Chooser
from .view import Server, View

log = logging.getLogger("placement.petals")
MOST_PINGED = 64  # servers whose round trip is measured in one update, beside those that Petals pings
HOOKS = (
    "_update",
    "_make_sequence_with_min_latency",
    "on_request_failure",
    "on_request_success",
    "get_request_metadata",
)


def view_of(spans: list[Any], rtt_s: dict[Any, float], n_blocks: int) -> View:
    """What Petals knows, in our words; peers are named as in the DHT, in base 58."""
    servers = []
    for span in sorted(spans, key=lambda span: str(span.peer_id.to_base58())):
        info = span.server_info
        servers.append(
            Server(
                span.peer_id.to_base58(),
                int(span.start),
                int(span.end),
                float(info.throughput),
                info.inference_rps,
                info.cache_tokens_left,
                dict(info.next_pings or {}),
                info.state.name.lower(),
                info.public_name or "",
                info.version or "",
            )
        )
    return View(n_blocks, tuple(servers), {peer.to_base58(): float(seconds) for peer, seconds in rtt_s.items()})


def manager_class(base: Any, missing_error: Any, span_info: Any, preference: float) -> Any:
    """Make the subclass of a release's own manager.

    Parameters
    ----------
    base : type
        `RemoteSequenceManager`.
    missing_error, span_info : type
        `MissingBlocksError`, `RemoteSpanInfo`.
    """

    class PlannedSequenceManager(base):  # type: ignore[misc]
        """Chains from the Pareto archive; Petals' own choice where there is none, with the reason in the log."""

        def __init__(self, *words: Any, **named: Any) -> None:
            self.chooser = Chooser(preference)
            self._peers: dict[str, Any] = {}
            self._trying: Any = None
            super().__init__(*words, **named)
            self.chooser.ban_s = max(self.chooser.ban_s, float(self.config.ban_timeout))

        def _update(self) -> None:
            super()._update()
            self.ping_others()
            self.learn()
            self.chooser.search()

        def ping_others(self) -> None:
            """Measure the way to servers that Petals left out; it pings three or six of them."""
            known = self.ping_aggregator.to_dict()
            with self.lock_changes:
                peers = [span.peer_id for span in self.state.sequence_info.spans_by_priority]
            unknown = [peer for peer in peers if peer not in known][:MOST_PINGED]
            if unknown:
                self.ping_aggregator.ping(unknown, wait_timeout=self.config.ping_timeout)

        def learn(self) -> None:
            """Hand the state of the swarm over to the chooser."""
            with self.lock_changes:
                spans = list(self.state.sequence_info.spans_by_priority)
            self._peers = {span.peer_id.to_base58(): (span.peer_id, span.server_info) for span in spans}
            self.chooser.learn(view_of(spans, self.ping_aggregator.to_dict(), len(self)))

        def _make_sequence_with_min_latency(
            self, start_index: int, end_index: int, *, cache_tokens_needed: int | None
        ) -> list[Any]:
            if start_index == end_index:
                return []
            self._trying = None
            try:
                if self.chooser.view is None:
                    self.learn()
                stages = self.chooser.chain(start_index, end_index, cache_tokens_needed)
                peers = [self._peers[name] for name, _, _ in stages]
            except InfeasibleError as error:
                log.warning("no chain from block %d to %d: %s", start_index, end_index, error)
                self.update(wait=False)
                raise missing_error(list(range(start_index, end_index))) from error
            except Exception as error:
                log.warning("Petals' own routing takes over: %s: %s", type(error).__name__, error)
                found: list[Any] = super()._make_sequence_with_min_latency(
                    start_index, end_index, cache_tokens_needed=cache_tokens_needed
                )
                return found
            return [
                span_info(peer, start, stop, info) for (peer, info), (_, start, stop) in zip(peers, stages, strict=True)
            ]

        def get_request_metadata(self, protocol: str, *words: Any, **named: Any) -> Any:
            # The session names a server here just before it calls it: whoever fails before a session stands is known.
            if protocol == "rpc_inference" and named.get("peer_id") is not None:
                self._trying = named["peer_id"]
            return super().get_request_metadata(protocol, *words, **named)

        def on_request_failure(self, peer_id: Any) -> None:
            blamed = peer_id if peer_id is not None else self._trying
            self._trying = None
            if blamed is not None:
                self.chooser.failed(blamed.to_base58())
            super().on_request_failure(blamed)

        def on_request_success(self, peer_id: Any) -> None:
            self._trying = None
            self.chooser.succeeded(peer_id.to_base58())
            super().on_request_success(peer_id)

        def session_changed(self, key: int, spans: list[Any]) -> None:
            """A session has new servers."""
            self.chooser.opened(key, tuple((span.peer_id.to_base58(), span.start, span.end) for span in spans))

        def session_closed(self, key: int) -> None:
            """A session is over."""
            self.chooser.closed(key)

        def observed(self, span: Any, seconds: float) -> None:
            """A step of one token took `seconds` at the server of a span."""
            if math.isfinite(seconds):
                self.chooser.observed(span.peer_id.to_base58(), span.end - span.start, seconds, first=span.start == 0)

    return PlannedSequenceManager
