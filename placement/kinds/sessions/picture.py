"""What the page of a fleet draws."""

from __future__ import annotations

from objectives.sessions.chains import Fleet
from placement.plan.picture import Picture, Place, StageTime
from placement.plan.plan import Plan


def picture_of(fleet: Fleet, plan: Plan) -> Picture:
    """Servers with weights and reserved caches; the stages are those of the first chain."""
    index = {name: j for j, name in enumerate(fleet.names)}
    held = {span.node: span.stop - span.start for span in plan.placement}
    caches = dict.fromkeys(fleet.names, 0.0)
    for chain in plan.chains:
        for name, blocks in zip(chain.nodes, chain.blocks, strict=False):
            caches[name] = caches.get(name, 0.0) + float(fleet.cache_bytes * blocks * (chain.capacity or 0))
    places = tuple(
        Place(
            name,
            weights_bytes=float(fleet.block_bytes * held.get(name, 0)),
            cache_bytes=caches[name],
            memory_bytes=float(memory),
        )
        for name, memory in zip(fleet.names, fleet.memory_bytes, strict=True)
    )
    first = plan.chains[:1]
    stages = tuple(
        StageTime(name, float(fleet.block_s[index[name]] * blocks), hop_s=float(fleet.session_s[index[name]]))
        for chain in first
        for name, blocks in zip(chain.nodes, chain.blocks, strict=False)
        if name in index
    )
    return Picture(
        places,
        stages=stages,
        work="a session on the fastest chain",
        block_bytes=(float(fleet.block_bytes),) * fleet.n_blocks,
    )
