"""The frozen arrays behind replicated placements, where every block may be held by many nodes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReplicatedTables:
    """What replicated placements of one model on one cluster cost; N nodes, L blocks, at most K blocks on a node.

    The client is the last row and column of the link tables.

    Attributes
    ----------
    n_blocks : int
        Number of blocks L.
    rate : array (N, K)
        Tokens/s of a node that holds k + 1 blocks, each token crossing all of them; 0 where so many do not fit.
        It need not fall with k.
    kv_tokens : array (N, K)
        Context tokens for which a node that holds k + 1 blocks has room, in each of its blocks.
    nic_in, nic_out : array (N,)
        Bytes/s of a node's network card.
    client_in, client_out : float
        Bytes/s of the client's network card.
    bandwidth_bytes_per_s, latency_s : array (N + 1, N + 1)
        Links; bandwidth 0 means no link.
    token_bytes, activation_bytes : float
        Bytes per token between client and node, and what the output of a block adds between nodes.
    partial : bool
        Edge rule. False (exact): the next span starts where this one ends. True: it may also have started earlier.
    prompt_at, prompt_s : array (P,), (N, P)
        Prompt tokens in a batch, ascending from 0, and seconds of one block for such a batch.
    decode_at, decode_s : array (D,), (N, D)
        Sequences in a batch, ascending from 0, and seconds of one block for one decode step of such a batch.
    prompt_tokens, output_tokens : float
        Mean tokens per request.
    concurrency : float
        Requests that want to be in flight; infinite: as many as the caches hold.
    availability : array (N,)
        Probability that a node is up.
    price_per_hour : array (N,)
        $/h of a used node.
    block_bytes : array (L,)
        Bytes of weights per block, what moving it costs.
    running : int array (N, 2)
        Start and stop of the running placement; equal where a node holds nothing.
    min_replicas : int
        Holders that every block needs.
    max_stages : int
        Most nodes that a chain may have.
    must : int array (M, 2), optional
        Nodes and the block that each of them must hold; block -1: any.
    max_nodes : int
        Most nodes in use; 0 when free.
    cache_fill : float
        Part of the caches that a stream fills, above 0 and at most 1: whoever lets requests in may keep some back.
    length_product : float
        Mean of a request's prompt times output tokens, over the product of both means; 1 where they are independent.
        Requests with long outputs stay long, so that those in flight have longer prompts where it is above 1.
    """

    n_blocks: int
    rate: FloatArray
    kv_tokens: FloatArray
    nic_in: FloatArray
    nic_out: FloatArray
    client_in: float
    client_out: float
    bandwidth_bytes_per_s: FloatArray
    latency_s: FloatArray
    token_bytes: float
    activation_bytes: float
    partial: bool
    prompt_at: FloatArray
    prompt_s: FloatArray
    decode_at: FloatArray
    decode_s: FloatArray
    prompt_tokens: float
    output_tokens: float
    concurrency: float
    availability: FloatArray
    price_per_hour: FloatArray
    block_bytes: FloatArray
    running: IntArray
    min_replicas: int
    max_stages: int
    must: IntArray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    max_nodes: int = 0
    cache_fill: float = 1.0
    length_product: float = 1.0

    def __post_init__(self) -> None:
        n, k = self.rate.shape
        shapes = {
            "kv_tokens": (n, k),
            "nic_in": (n,),
            "nic_out": (n,),
            "bandwidth_bytes_per_s": (n + 1, n + 1),
            "latency_s": (n + 1, n + 1),
            "prompt_s": (n, len(self.prompt_at)),
            "decode_s": (n, len(self.decode_at)),
            "availability": (n,),
            "price_per_hour": (n,),
            "block_bytes": (self.n_blocks,),
            "running": (n, 2),
            "must": (len(self.must), 2),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"Expected {name} of shape {shape}, got {found}.")
        for item in fields(self):
            array = getattr(self, item.name)
            if isinstance(array, np.ndarray):
                if not np.isfinite(array).all():
                    raise ValueError(f"Expected finite numbers in {item.name}.")
                if item.name != "must" and (array < 0).any():
                    raise ValueError(f"Expected {item.name} >= 0 everywhere, got {array.min()}.")
                array.setflags(write=False)
        if k < 1 or k > self.n_blocks:
            raise ValueError(f"Expected rates for 1 to {self.n_blocks} blocks, got {k} columns.")
        if not 0.0 < self.cache_fill <= 1.0:
            raise ValueError(f"Expected cache_fill above 0 and at most 1, got {self.cache_fill}.")
        if not 0.0 < self.length_product < np.inf:
            raise ValueError(f"Expected length_product above 0, got {self.length_product}.")

    @property
    def n_nodes(self) -> int:
        """Number of nodes N."""
        return int(self.rate.shape[0])

    @property
    def client(self) -> int:
        """Row and column of the client in the link tables."""
        return self.n_nodes

    @property
    def cache_tokens_per_request(self) -> float:
        """Tokens of cache that a request in flight reserves in each block, in the mean over those in flight.

        A request is in flight for about as long as it has output tokens, so that its prompt counts by them.
        """
        return self.length_product * self.prompt_tokens + self.output_tokens

    @property
    def request_room(self) -> FloatArray:
        """Requests for which a node that holds k + 1 blocks has room in the part of its caches in use, array (N, K)."""
        room: FloatArray = self.cache_fill * self.kv_tokens / self.cache_tokens_per_request
        return room

    @property
    def most_blocks(self) -> IntArray:
        """Most blocks that each node can hold, array (N,)."""
        columns = np.arange(1, self.rate.shape[1] + 1)
        most: IntArray = (columns * (self.rate > 0)).max(axis=1)
        return most

    def through_client(self) -> ReplicatedTables:
        """The same where nodes reach each other through the client only: a hop is the way there and the way from there.

        A chain then takes a round trip to the client for each of its nodes, a star; rates add up as resistances do.
        """
        n = self.n_nodes
        up, down = self.bandwidth_bytes_per_s[:n, n][:, None], self.bandwidth_bytes_per_s[n, :n][None, :]
        both = (up > 0) & (down > 0)
        rate = np.where(both, up * down / np.where(both, up + down, 1.0), 0.0)
        bandwidth, latency = self.bandwidth_bytes_per_s.copy(), self.latency_s.copy()
        bandwidth[:n, :n] = rate
        latency[:n, :n] = np.where(both, self.latency_s[:n, n][:, None] + self.latency_s[n, :n][None, :], 0.0)
        np.fill_diagonal(bandwidth, self.bandwidth_bytes_per_s.diagonal())
        np.fill_diagonal(latency, self.latency_s.diagonal())
        return replace(self, bandwidth_bytes_per_s=bandwidth, latency_s=latency)
