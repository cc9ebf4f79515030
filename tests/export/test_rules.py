"""Every exported text means the plan by the runtime's own rule, and reads back as the same spans."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.errors import InputError
from placement.export import RUNTIMES, make_runtime
from placement.export.base import Source, Target, merged
from placement.plan.plan import PlacedSpan
from tests.sampled import some_quick

from .plans import SHAPES, owners, plan_of, random_plan
from .rules import RULES

HOLDERS = [name for name in RUNTIMES if name != "distributed-llama"]


def test_every_runtime_has_a_rule() -> None:
    """No exporter is without an independent reading of its text."""
    assert set(RULES) == set(HOLDERS)


@pytest.mark.parametrize("plans", some_quick([100, 1000], 1))
@pytest.mark.parametrize("name", HOLDERS)
def test_the_rule_gives_the_plan(name: str, plans: int) -> None:
    """Of so many random plans that a runtime can hold, every block is where the plan has it."""
    runtime, rng, held, tried = make_runtime(name), np.random.default_rng(5), 0, 0
    while held < plans:
        tried += 1
        plan = random_plan(rng, SHAPES[tried % len(SHAPES)])
        if runtime.check(plan):
            continue
        held += 1
        exported = runtime.write(plan, Target("org/model"))
        assert RULES[name](exported.text, exported.nodes, plan.n_blocks - 2) == owners(plan), exported.text
    assert held > tried / 12, "the exporter refuses nearly everything"


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("spans", [[(0, 3)], [(3, 8)], [(0, 3), (5, 8)], [(3, 7)]], ids=str)
def test_a_plan_that_leaves_blocks_out_is_refused(name: str, spans: list[tuple[int, int]]) -> None:
    """The head, the embedding, layers between: the first block that no node holds is named."""
    plan = plan_of([PlacedSpan(node, *span) for node, span in zip("ab", spans, strict=False)], 6)
    first = plan.block_names[next(k for k in range(8) if not any(start <= k < stop for start, stop in spans))]
    assert f"the plan gives block {first} to no node" in make_runtime(name).check(plan)


@pytest.mark.parametrize("name", HOLDERS)
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
def test_import_undoes_export(name: str, seed: int, shape: str) -> None:
    """What was exported reads back as the same spans, with and without the nodes beside it; or it is refused."""
    runtime, plan = make_runtime(name), random_plan(np.random.default_rng(seed), shape)
    if runtime.check(plan):
        return
    exported = runtime.write(plan, Target("org/model"))
    n_layers = plan.n_blocks - 2
    assert merged(runtime.read(Source(exported.text, n_layers, exported.nodes))) == merged(plan.placement)
    known = tuple(node.name for node in plan.nodes)
    assert merged(runtime.read(Source(exported.text, n_layers, known=known))) == merged(plan.placement)


@pytest.mark.parametrize("name", RUNTIMES)
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("[]{}(),.:=|*Etm-\"' 0123456789abtsngloRPC\n"), max_size=40))
def test_nonsense_is_one_line(name: str, text: str) -> None:
    """Whatever stands in a split, the reader answers with spans or an `InputError`."""
    with suppress(InputError):
        spans = make_runtime(name).read(Source(text, 8, ("a", "b")))
        assert all(0 <= span.start < span.stop <= 10 for span in spans)
