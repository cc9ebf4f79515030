"""What a message between stages takes under a runtime: the link, the software on both sides, and what goes along."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..question.alike import kinds_of_nodes, one_of_each
from ..question.cluster import Cluster
from ..question.model import Model
from .rates import pass_overhead_s
from .runtimes import RuntimeCosts

FloatArray = npt.NDArray[np.float64]
TOKEN_ID_BYTES = 4.0
LOGIT_BYTES = 4.0
NETWORK_LATENCY_S = 20e-6
"""Links with at least this latency are networks: PCIe and NVLink take 4 to 10 us, the fastest Ethernet 25 us."""
NETWORK_BYTES_PER_S = 3.2e9
"""Links below this bandwidth are networks: four lanes of PCIe 3 have it."""
BESIDE_LATENCY_S, BESIDE_BYTES_PER_S = 60e-6, 5e9
"""A client with a faster link than this sits in the node's own process: nothing crosses a network."""


def vocabulary(model: Model) -> float:
    """Entries of the vocabulary, from the operations of the head (2 x hidden x vocabulary); 0 without a head."""
    head = model.blocks[-1]
    hidden_bytes = model.blocks[-2].activation_bytes_per_token if model.n_blocks > 1 else 0.0
    if not head.last_token_only or hidden_bytes <= 0:
        return 0.0
    return head.flops_per_token / hidden_bytes  # activations have 2 bytes per value


def cut_bytes(model: Model, costs: RuntimeCosts) -> FloatArray:
    """Bytes across every cut for one token of one sequence, (L + 1,); the last goes back to the client."""
    hops = costs.hops
    out = np.array([block.activation_bytes_per_token for block in model.blocks]) * hops.width
    first = max(out[0], model.input_bytes_per_token) if hops.embeds_at_client else model.input_bytes_per_token
    back = LOGIT_BYTES * vocabulary(model) if hops.returns_logits else 0.0
    return np.concatenate([[first], out[:-1], [max(back, TOKEN_ID_BYTES)]])


def arrival_s(cluster: Cluster, model: Model, costs: RuntimeCosts) -> FloatArray:
    """Latency until blocks begin.

    Every message that comes to a node starts a pass there; a remote stage is also sent what it shall compute.

    Parameters
    ----------
    cluster : Cluster
    model : Model
    costs : RuntimeCosts

    Returns
    -------
    array (N + 1, N + 1)
        Seconds, one way; the client is the last row and column.
    """
    latency, hops = np.array(cluster.latency_s), costs.hops
    bandwidth = np.array(cluster.bandwidth_bytes_per_s)
    network = (latency >= NETWORK_LATENCY_S) | (bandwidth < NETWORK_BYTES_PER_S)
    beside = (latency <= BESIDE_LATENCY_S) & (bandwidth >= BESIDE_BYTES_PER_S)
    network[-1, :], network[:, -1] = ~beside[-1, :], ~beside[:, -1]
    extra = np.where(network, hops.between_s, hops.within_s)
    extra[-1, :] = np.where(network[-1, :], hops.between_s, 0.0)
    extra[:, -1] = 0.0  # what returns is counted by its bytes
    extra[:, :-1][:, [node.pass_overhead_s > 0 for node in cluster.nodes]] = 0.0  # measured with the pass
    if hops.graph_bytes:
        # The graph of a stage is that of an even share of the blocks: the tables know no spans.
        blocks = model.n_blocks / max(1, min(cluster.n_nodes, model.n_blocks))
        sent = np.where(network & (bandwidth > 0), hops.graph_bytes * blocks / np.maximum(bandwidth, 1.0), 0.0)
        extra[:, :-1] += sent[:, :-1]
    latency += extra
    kinds = kinds_of_nodes(cluster.nodes)
    wakes = [pass_overhead_s(node, costs) for node in one_of_each(cluster.nodes, kinds)]
    latency[:, :-1] += np.array(wakes)[kinds]
    np.fill_diagonal(latency, np.diag(cluster.latency_s))
    return latency


def prompt_overlap(prompt_tokens: int, costs: RuntimeCosts) -> float:
    """Part of a prompt's seconds that stages spend at the same time: (K - 1)/K of K chunks, as far as it is reached."""
    if not costs.hops.chunk_tokens:
        return 0.0
    chunks = -(-prompt_tokens // costs.hops.chunk_tokens)
    return costs.hops.overlap * (chunks - 1) / chunks
