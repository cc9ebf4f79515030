# %% [markdown]
# # A mixed cluster under vLLM
#
# Ten cards of three kinds. Under a named runtime, costs are those that were measured for it, and only plans that it can hold
# are made: vLLM wants tensor parallel groups of one size in all stages.

# %%
from pathlib import Path

import placement
from placement import export_plan, optimize, read_request
from placement.kinds.asked import ask

ROOT = Path(placement.__file__).parents[1]
FILE = ROOT / "examples" / "mixed_cluster.yaml"
free = optimize(None, FILE, time_limit=3).plan
asked = ask(None, FILE, options={"--runtime": "vllm"})
bound = optimize(None, asked.question, time_limit=3).plan
for name, plan in (("any runtime", free), ("vllm", bound)):
    split = ", ".join(f"{span.node} {span.start}:{span.stop}" for span in plan.placement)
    print(f"{name}: {plan.figures.tokens_per_s:.0f} tokens/s; {split}")

# %% [markdown]
# The commands, one for each host that takes part:

# %%
print(export_plan(bound, "vllm", request=read_request(FILE)).text)
