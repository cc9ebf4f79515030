"""Good documents, one or two of each kind, small enough to be answered at once."""

from __future__ import annotations

from typing import Any

from placement.export import RUNTIMES

Document = dict[str, Any]

CLUSTER: Document = {
    "model": {
        "name": "tiny",
        "blocks": [
            {"name": "embed", "weights": "100 MiB", "activation_per_token": "8 KiB"},
            {
                "name": "layer",
                "repeat": 6,
                "weights": "400 MiB",
                "kv_per_token": "4 KiB",
                "activation_per_token": "8 KiB",
            },
            {"name": "head", "weights": "100 MiB"},
        ],
        "ties": [{"blocks": ["embed", "head"], "shared": "50 MiB", "copies": True}],
    },
    "workload": {"prompt_tokens": 64, "output_tokens": 32, "concurrency": 2},
    "objective": {"latency": 1.0, "throughput": 0.1},
    "limits": {"ttft": "60 s", "price": "9 $/h"},
    "nodes": [
        {"name": "a", "memory": "2 GiB", "decode_seconds_per_block": 0.01, "prefill_seconds_per_block": 0.05},
        {"name": "b", "memory": "2 GiB", "device": "rtx-4090", "region": "x", "price": "1 $/h", "power": "300 W"},
        {"name": "c", "memory": "1 GiB", "compute": "10 TFLOP/s", "memory_bandwidth": "100 GB/s", "count": 2},
    ],
    "network": {
        "within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}},
        "default": {"bandwidth": "100 Mbit/s", "latency": "20 ms"},
        "links": [{"nodes": ["a", "b"], "bandwidth": "10 Gbit/s", "latency": "0.1 ms"}],
    },
    "pins": {"head": "a"},
    "exclude": ["c-1"],
    "max_nodes": 3,
}
REPLICATED: Document = {
    **{key: CLUSTER[key] for key in ("model", "nodes", "network")},
    "placement": "replicated",
    "workload": {"prompt_tokens": 64, "output_tokens": 32},
    "objective": "flow",
    "min_replicas": 1,
    "edges": "partial",
}
COPIES: Document = {
    **{key: CLUSTER[key] for key in ("model", "nodes", "network")},
    "workload": {"prompt_tokens": 64, "output_tokens": 32, "concurrency": 4},
    "objective": "throughput",
    "copies": "auto",
}
# What leaves something open, and what is answered by simulating: many questions behind one.
CHOICES: Document = {
    **{key: CLUSTER[key] for key in ("nodes", "network")},
    "model": "llama-3.2-1b",
    "quantization": ["q8_0", "q4_k_m", "q2_k"],
    "workload": {"context": "max", "output_tokens": 32, "concurrency": "max"},
    "objective": "latency",
}
GOODPUT: Document = {
    **{key: CLUSTER[key] for key in ("model", "nodes", "network")},
    "workload": {"prompt_tokens": 64, "output_tokens": 4, "concurrency": 2, "rate": "2/s"},
    "objective": "goodput",
    "limits": {"ttft": "5 s", "time_per_token": "1 s"},
}
OFFERS: Document = {
    "nodes": [
        {"name": "more", "device": "rtx-4090", "price": "1 $/h", "count": 2},
        {"name": "big", "memory": "80 GiB", "compute": "300 TFLOP/s", "memory_bandwidth": "2 TB/s", "price": "3 $/h"},
    ]
}
_SERVER = {"memory_gb": 20.0, "tau_c_s": 0.3, "tau_p_s": 0.1}
FLEET: Document = {
    "num_blocks": 6,
    "block_gb": 1.0,
    "cache_gb_per_block_job": 0.1,
    "lambda_per_s": 0.05,
    "servers": [{"id": 0, **_SERVER}, {"id": "b", **_SERVER}, {"id": "c", **_SERVER}],
}
_SPEED = {"ms_per_block": 2.0, "tokens_per_s": 5.5}
SWARM: Document = {
    "blocks": 8,
    "client": {"site": "x"},
    "servers": [
        {"name": "a", "site": "x", "blocks": "0:4", **_SPEED},
        {"name": "b", "site": "y", "blocks": "2:8", **_SPEED},
        {"name": "c", "site": "y", "blocks": "4:8", "ms_per_block": 1.0, "tokens_per_s": 9.0},
    ],
    "rtt_ms": {"x": {"y": 20}},
}
_ROW = [100.0, 90.0, 80.0]
HELIX: Document = {
    "model": {"num_layers": 4, "token_bytes": 2, "activation_bytes": 1000, "layer_bytes": 1e6},
    "node_types": {"fast": {"max_layers": 3, "throughput": _ROW, "nic_in": 1e8, "nic_out": 1e8}},
    "nodes": [{"type": "fast", "id": "a"}, {"type": "fast", "id": "b"}, {"type": "fast", "id": "c", "region": "x"}],
    "links": {
        "bandwidth": [[0, 1e8, 1e8], [1e8, 0, 1e8], [1e8, 1e8, 0]],
        "latency": [[0, 0.01, 0.01], [0.01, 0, 0.01], [0.01, 0.01, 0]],
        "source_bandwidth": 1e8,
        "source_latency": 0.01,
        "sink_bandwidth": [1e8, 1e8, 1e8],
        "sink_latency": 0.01,
    },
    "coordinator": {"nic_in": 1e8, "nic_out": 1e8},
    "workload": {"mean_prompt_tokens": 64, "mean_output_tokens": 16, "cache_fill": 0.9, "length_product": 1.1},
}
_SPANS = [{"node": "a", "start": 0, "stop": 4}, {"node": "b", "start": 4, "stop": 8}]
RUN: Document = {
    "placement": _SPANS,
    "measured": {"time_per_token_s": 0.1},
    "blocks": [{**span, "phase": "decode", "batch": 1, "seconds": 0.04} for span in _SPANS],
    "prompt_tokens": [8, 9],
    "output_tokens": 4,
}
CONFIG: Document = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
}
INDEX: Document = {
    "metadata": {"total_size": 1_000_000},
    "weight_map": {"model.layers.0.mlp.up_proj.weight": "a.safetensors", "lm_head.weight": "b.safetensors"},
}
# What `whatif --json` and `simulate --json` write, as far as a page reads it.
WHATIF: Document = {
    "changes": [
        {
            "change": "without b",
            "status": "solved",
            "why": "",
            "gain": -0.1,
            "extra_per_hour": -1.0,
            "per_dollar": 0.1,
            "shown": "9 tokens/s",
            "gain_shown": "-10%",
            "per_dollar_shown": "",
        }
    ]
}
_DELAYS = {"mean": 0.2, "p50": 0.2, "p90": 0.25, "p99": 0.3}
SERVED: Document = {
    "runs": [
        {"rate_per_s": rate, "figures": {"ttft_s": _DELAYS, "time_per_token_s": _DELAYS, "goodput_per_s": rate}}
        for rate in (1.0, 2.0)
    ]
}
TRACES = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68059,374,44\n2023-11-16 18:15:50.995,396,109\n",
    '{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}\n'
    '{"timestamp": 1500, "input_length": 1024, "output_length": 7, "hash_ids": [1, 4]}\n',
    "arrival_s,prompt_tokens,output_tokens\n0,64,8\n0.5,32,16\n",
    "64 8\n32 16\n",
)
# A split of the cluster above in the words of each runtime that reads one, for its nodes a and b.
SPLITS = {
    "accelerate": '{"model.embed_tokens": "a", "model.layers": "b", "model.norm": "b", "lm_head": "b"}',
    "vllm": 'export VLLM_PP_LAYER_PARTITION="3,3"',
    "sglang": 'export SGLANG_PP_LAYER_PARTITION="3,3"',
    "llama.cpp": "llama-server --rpc a:50052,b:50052 -ngl 999 -ts 3,4 -ot 'blk\\.(1)\\.=RPC0[b:50052]'",
    "petals": "--block_indices 0:3\n--block_indices 3:6",
    "torch": 'split_spec = {"model.layers.3": SplitPoint.BEGINNING}',
    "deepspeed": "self.parts = [0, 4, 8]",
    "megatron": '--pipeline-model-parallel-layout "Et*3|t*3L"',
    "torchtitan": """module_fqns_per_model_part = [
  ["tok_embeddings", "layers.0", "layers.1", "layers.2"], ["layers.3", "layers.4", "layers.5", "norm", "output"],
]""",
    "parallax": "--start-layer 0 --end-layer 3\n--start-layer 3 --end-layer 6",
    "prima.cpp": '-lw "3,3"',
    "exo": '[{"startLayer": 0, "endLayer": 3, "deviceRank": 0}, {"startLayer": 3, "endLayer": 6, "deviceRank": 1}]',
}
RUNTIME_NAMES = tuple(name for name in RUNTIMES if name in SPLITS)
