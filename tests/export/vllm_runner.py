"""Runs in vLLM's own environment: load a folder, generate greedily, and say which layers every worker holds.

Usage: python vllm_runner.py FOLDER STAGES DEGREE TOKENS; the environment is the exporter's. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

PROMPT = [3, 17, 42, 99, 7, 256, 11]


def held(model: Any) -> list[int]:
    """First layer, layer after the last, and what is really there."""
    inner = model.model
    real = [k for k, layer in enumerate(inner.layers) if type(layer).__name__ != "PPMissingLayer"]
    return [inner.start_layer, inner.end_layer, *real]


def divided(model: Any) -> list[int]:
    """Columns of the FFN and heads of the cache that a worker has, in its first layer."""
    inner = model.model
    layer = inner.layers[inner.start_layer]
    return [layer.mlp.down_proj.input_size_per_partition, layer.self_attn.num_kv_heads]


def main() -> None:
    """Run."""
    import vllm_runner  # workers find the function by the module's name, which __main__ is not
    from vllm import LLM, SamplingParams

    folder, stages, degree, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    llm = LLM(
        model=folder,
        skip_tokenizer_init=True,
        dtype="float32",
        pipeline_parallel_size=stages,
        tensor_parallel_size=degree,
        enforce_eager=False,
        distributed_executor_backend="mp",
        max_model_len=256,
        seed=0,
    )
    sampling = SamplingParams(temperature=0.0, max_tokens=tokens, detokenize=False, ignore_eos=True)
    outputs = llm.generate([{"prompt_token_ids": PROMPT}], sampling)
    found = {
        "tokens": list(outputs[0].outputs[0].token_ids),
        "workers": llm.apply_model(vllm_runner.held),
        "shares": llm.apply_model(vllm_runner.divided),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
