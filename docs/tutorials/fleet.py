# %% [markdown]
# # A fleet whose sessions reserve caches
#
# Sessions arrive and stay; each reserves a cache slot for every block that it uses on a server. More blocks on a server mean fewer
# slots: spans, chains and their capacities are chosen together.

# %%
from placement import optimize

fleet = {
    "num_blocks": 24,
    "block_gb": 1.4,
    "cache_gb_per_block_job": 0.12,
    "lambda_per_s": 0.2,
    "servers": [
        {
            "id": f"server-{k}",
            "memory_gb": 24.0 if k % 3 else 40.0,
            "tau_c_s": 0.2 + 0.02 * k,
            "tau_p_s": 0.04 + 0.01 * (k % 4),
        }
        for k in range(9)
    ],
}
plan = optimize(None, fleet, objective="rate", time_limit=3).plan
for chain in plan.chains:
    print(f"{chain.capacity:3d} sessions of {chain.seconds:.2f} s: {' > '.join(chain.nodes)}")
print(f"{plan.figures.rate_per_s:.3g} sessions/s; no placement serves more than {plan.figures.rate_bound_per_s:.3g}")
