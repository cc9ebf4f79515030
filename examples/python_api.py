"""A plan from Python: a cluster as a mapping (the keys of a cluster file), a path, a Cluster or a networkx graph."""

from placement import optimize

cluster = {
    "nodes": [{"name": "old", "device": "rtx-3060-12gb"}, {"name": "new", "device": "rtx-4070"}],
    "network": {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "0.2 ms"}}},
}
result = optimize("llama-3.1-8b", cluster, workload={"concurrency": 4}, objective="throughput", time_limit=3)
for span in result.plan.placement:
    print(f"{span.node}: blocks {span.start} to {span.stop - 1}")
print(f"{result.plan.figures.tokens_per_s:.0f} tokens/s, {result.plan.bottleneck.where} limits it")
print(f"gap to the proven bound: {result.gap}; stopped because {result.stopped_by.value}")
