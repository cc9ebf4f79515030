# %% [markdown]
# # One PC, a mixture of experts
#
# A card of 24 GB and 64 GB of main memory for a model of 120 billion parameters, most of which are experts that a token
# rarely needs. Layers need not lie in one piece: experts may stay in main memory, where the processor computes them.

# %%
from pathlib import Path

import yaml

import placement
from placement import export_plan, optimize

ROOT = Path(placement.__file__).parents[1]
question = yaml.safe_load((ROOT / "examples" / "one_pc.yaml").read_text(encoding="utf-8"))
plan = optimize(None, {**question, "runtime": "llama.cpp"}, time_limit=3).plan
for span in plan.placement:
    away = f", their {span.away} on {span.home}" if span.away else ""
    print(f"{span.node}: blocks {span.start} to {span.stop - 1}{away}")
print(f"{plan.figures.tokens_per_s:.1f} tokens/s; searched: {plan.space}")

# %% [markdown]
# `runtime: llama.cpp` made a plan that llama.cpp can hold: tensors of experts are moved by a pattern.

# %%
print(export_plan(plan, "llama.cpp", model="gpt-oss-120b.gguf", at={"gpu": "CUDA0", "cpu": "CPU"}).text)
