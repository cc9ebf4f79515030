# %% [markdown]
# # What users will feel
#
# A plan's figures are those of a steady stream. Requests come when they come: `placement simulate` serves them pass by pass under the
# policy of a runtime, and tells the time to the first token, the time per token, and how many were served within limits.

# %%
import numpy as np

from placement import optimize, read_request
from placement.question.requests import Requests
from placement.simulate.serving import Load, simulate

CLUSTER = {
    "model": "llama-3.2-1b",
    "workload": {"prompt_tokens": 256, "output_tokens": 64, "concurrency": 16},
    "nodes": [{"name": "card", "device": "rtx-3060-12gb"}],
}
request = read_request(CLUSTER)
plan = optimize(None, request, objective="throughput", time_limit=1).plan
rng = np.random.default_rng(0)
for rate in (1.0, 4.0, 8.0):
    number = 60
    requests = Requests(
        np.cumsum(rng.exponential(1.0 / rate, number)),
        np.full(number, request.workload.prompt_tokens),
        np.full(number, request.workload.output_tokens),
    )
    figures = simulate(plan, request, requests, policy="vllm", load=Load()).figures
    print(
        f"{rate:4.1f}/s: first token {1e3 * figures.ttft_s.p99:7.1f} ms for 99 of 100, {figures.output_tokens_per_s:6.1f} tokens/s"
    )

# %% [markdown]
# On the command line: `placement simulate plan.json cluster.yaml --rate 1/s,4/s,8/s --json`; with its output, `placement report PLAN.JSON
# --simulated RUNS.JSON` draws the curves.
