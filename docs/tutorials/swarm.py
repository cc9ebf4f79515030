# %% [markdown]
# # A swarm that stands already
#
# Servers of a swarm hold what they hold, each with a time per block, a rate and a distance. Which way should my client go? No way is
# best in everything: the answer is a front, and it is exact.

# %%
from pathlib import Path

import placement
from placement import optimize

ROOT = Path(placement.__file__).parents[1]
plan = optimize(None, ROOT / "examples" / "petals_swarm.yaml", time_limit=2).plan
for point in plan.pareto:
    way = " > ".join(span.node for span in point.placement)
    print(f"{1e3 * point.values['latency']:6.1f} ms per token, {point.values['throughput']:5.1f} tokens/s: {way}")

# %% [markdown]
# With one objective and a limit there is one chain. Names of objectives and limits are those of `placement schema swarm`.

# %%
quick = optimize(None, ROOT / "examples" / "petals_swarm.yaml", objective="latency", limits={"throughput": 10.0}).plan
print(" > ".join(span.node for span in quick.placement), f"{1e3 * quick.figures.time_per_token_s:.1f} ms")
