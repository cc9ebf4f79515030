"""What the page of chains through a swarm draws."""

from __future__ import annotations

from itertools import pairwise

from objectives.routes.swarm import Shape, Swarm
from placement.plan.picture import Line, Picture, Place, StageTime
from placement.plan.plan import Plan
from placement.question.cluster import CLIENT

MOST_HOPS = 200


def picture_of(swarm: Swarm, shape: Shape, plan: Plan) -> Picture:
    """Servers and the round trips that chains use; the stages are those of the first chain."""
    index = {name: j for j, name in enumerate(swarm.names)}
    pairs: dict[tuple[str, str], None] = {}
    for chain in plan.chains:
        way = (CLIENT, *chain.nodes, CLIENT)
        steps = [(CLIENT, name) for name in chain.nodes] if shape == "star" else pairwise(way)
        pairs.update(dict.fromkeys(steps))
    client = swarm.n_servers
    at = {**index, CLIENT: client}
    enter, leave = swarm.enter_s(shape), swarm.leave_s(shape)
    stages, before = [], client
    for span in plan.placement:
        j = index[span.node]
        stages.append(
            StageTime(span.node, float(swarm.block_s[j]) * (span.stop - span.start), hop_s=float(enter[before, j]))
        )
        before = j
    return Picture(
        tuple(Place(name) for name in swarm.names),
        tuple(Line(a, b, float(swarm.rtt_s[at[a], at[b]]) / 2.0) for a, b in list(pairs)[:MOST_HOPS]),
        (*stages, StageTime(CLIENT, 0.0, hop_s=float(leave[before]))),
        work="one token on the first chain",
    )
