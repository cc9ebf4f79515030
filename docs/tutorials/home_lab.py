# %% [markdown]
# # A home lab
#
# A tower with two cards, a Mac, and a box in another place: where does a model of 70 billion parameters go? The file is
# `examples/home_lab.yaml`; `placement solve examples/home_lab.yaml` is the same as what follows.

# %%
from pathlib import Path

import placement
from placement import judge, optimize
from placement.plan.compare import parse_spans

ROOT = Path(placement.__file__).parents[1]
LAB = ROOT / "examples" / "home_lab.yaml"
result = optimize(None, LAB, time_limit=2)
plan = result.plan
for span in plan.placement:
    print(f"{span.node}: blocks {span.start} to {span.stop - 1}")
print(f"{plan.figures.tokens_per_s:.1f} tokens/s; gap to the proven bound {result.gap}")

# %% [markdown]
# The Mac stays idle although it could hold all of it: the two cards together are faster, and the plan is proven best. Is that
# so? `judge` gives the figures of any split that one has in mind.

# %%
alone, broken = judge(None, LAB, parse_spans("mac=0:82"))
print(f"on the Mac alone: {alone.figures.tokens_per_s:.1f} tokens/s", *broken)

# %% [markdown]
# What limits the plan is named, and so is how far each figure may be off: 9 of 10 predictions lie within the interval.

# %%
low, high = plan.intervals["tokens_per_s"]
print(
    f"{plan.bottleneck.where} is busy {1e3 * plan.bottleneck.seconds:.1f} ms per micro-batch; {low:.0f} to {high:.0f} tokens/s"
)

# %% [markdown]
# `placement report plan.json --html report.html` draws it, `placement whatif examples/home_lab.yaml` says what would help.
