"""Published choices between layers, tensor splits and parts in main memory under llama.cpp: which is named.

    python -m benchmarks.plan_space.decisions

Facts (decode tokens/s, speculation off): the tables of the repository sudoingX/qwen38-mtp (two cards), the retest in
unsloth pull request 9872 (i5-12400F, two channels, RTX 6000 Ada of which part is free, n_ctx 32,768), an ollama issue
(RTX 5080), llmfit's community table (RTX 2080, i9-10900X). Frequencies of memory are guesses where nobody says them:
94 GB in two channels are modules of 48 GB, which are DDR5, and the processor takes 4800 MT/s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from placement.kinds.pipeline.imported import import_split
from placement.plan.plan import Plan
from placement.readers.cluster.read import read_request


@dataclass(frozen=True, slots=True)
class Case:
    """Alternatives on one machine: a split of llama.cpp and the measured tokens/s of each."""

    name: str
    cluster: dict[str, Any]
    nodes: tuple[str, ...]
    alternatives: dict[str, tuple[str, float]]


def cards(first: str, second: str, link: dict[str, str]) -> dict[str, Any]:
    """Two cards of one PC."""
    nodes = [{"name": "one", "device": first, "host": "pc"}, {"name": "two", "device": second, "host": "pc"}]
    return {"model": "qwen3.8-27b", "quantization": "q4_k_m", "nodes": nodes, "network": {"default": link}}


def desktop(model: str, card: str, memory: str, rate: str, cores: int, prompt: int, **more: Any) -> dict[str, Any]:
    """A card before the main memory of a PC; `memory` is what is free on it, cores run at 4 GHz."""
    gpu = {"name": "gpu", "device": card, "host": "pc", "memory": memory}
    cpu = {
        "name": "cpu",
        "host": "pc",
        "main_memory": True,
        "memory": "90 GiB",
        "memory_bandwidth": rate,
        "cores": cores,
        "compute": {"float32": f"{32 * 4 * cores} GFLOP/s"},
    }
    work = {"prompt_tokens": prompt, "output_tokens": 128}
    return {"model": model, "quantization": "q4_k_m", "workload": work, "nodes": [gpu, cpu], **more}


def spilled(model: str, free_mib: int, on_card: int, away: int, prompt: int, ffn: float, fit: float) -> Case:
    """FFN of some layers in main memory with all of the cache on the card, against whole layers by --fit."""
    cluster = desktop(model, "rtx-6000-ada", f"{free_mib} MiB", "76.8 GB/s", 6, prompt)
    pattern = "|".join(map(str, range(away)))
    return Case(
        f"{model}, {prompt} tokens",
        cluster,
        ("cpu", "gpu"),
        {
            "FFN spilled": (rf"-ngl 99 -ot 'blk\.({pattern})\.ffn_(up|down|gate)\.=CPU'", ffn),
            "whole layers": (f"-ngl {on_card + 1}", fit),
        },
    )


X8 = {"bandwidth": "6.4 GB/s", "latency": "10 us"}
RISER = {"bandwidth": "0.45 GB/s", "latency": "10 us"}
CASES = (
    Case(
        "2 x RTX 5060 Ti, PCIe 3 x8",
        cards("rtx-5060-ti-16gb", "rtx-5060-ti-16gb", X8),
        ("one", "two"),
        {"layer split": ("-ngl 99 -ts 1,1", 22.1), "tensor split": ("-sm tensor -ngl 99 -ts 1,1", 37.1)},
    ),
    Case(
        "RTX 5060 Ti + RTX 2070 on a x1 riser",
        cards("rtx-5060-ti-16gb", "rtx-2070", RISER),
        ("one", "two"),
        {"layer split": ("-ngl 99 -ts 2,1", 19.7), "tensor split": ("-sm tensor -ngl 99 -ts 5,2", 25.5)},
    ),
    spilled("llama-3.3-70b", 38_016, 58, 38, 2_339, 2.19, 2.43),
    spilled("llama-3.3-70b", 38_016, 58, 38, 16_202, 2.23, 0.92),
    spilled("qwen3-32b", 18_560, 33, 55, 8_039, 3.08, 2.24),
    Case(
        "RTX 5080, Qwen3.5-35B-A3B",
        desktop("qwen3.5-35b-a3b", "rtx-5080", "15 GiB", "80 GB/s", 8, 512),
        ("cpu", "gpu"),
        {"all on the CPU": ("-ngl 0", 14.6), "experts in memory": ("-ngl 99 --cpu-moe", 36.5)},
    ),
)
RATES = (
    Case(
        "RTX 2080, Qwen3-30B-A3B",
        desktop("qwen3-30b-a3b", "rtx-2080", "7.5 GiB", "94 GB/s", 10, 512),
        ("gpu",),
        {"--n-cpu-moe 36": ("-ngl 99 --n-cpu-moe 36", 36.7)},
    ),
    Case(
        "RTX 2080, gpt-oss-20b",
        desktop("gpt-oss-20b", "rtx-2080", "7.5 GiB", "94 GB/s", 10, 512) | {"quantization": "mxfp4"},
        ("gpu",),
        {"--n-cpu-moe 12": ("-ngl 99 --n-cpu-moe 12", 36.4)},
    ),
    Case(
        "RTX 2080, gemma-2-9b",
        desktop("gemma-2-9b", "rtx-2080", "7.5 GiB", "94 GB/s", 10, 512),
        ("cpu", "gpu"),
        {"-ngl 36": ("-ngl 36", 23.7)},
    ),
    Case(
        "2 x RTX 5060 Ti, 16k",
        cards("rtx-5060-ti-16gb", "rtx-5060-ti-16gb", X8)
        | {"workload": {"prompt_tokens": 16_255, "output_tokens": 64}},
        ("one", "two"),
        {"tensor split": ("-sm tensor -ngl 99 -ts 1,1", 34.53)},
    ),
    Case(
        "2 x RTX 5060 Ti, 65k",
        cards("rtx-5060-ti-16gb", "rtx-5060-ti-16gb", X8)
        | {"workload": {"prompt_tokens": 64_891, "output_tokens": 64}},
        ("one", "two"),
        {"tensor split": ("-sm tensor -ngl 99 -ts 1,1", 28.73)},
    ),
    Case(
        "RTX 3080 Ti + RTX 3060 Ti",
        cards("rtx-3080-ti", "rtx-3060-ti", {"bandwidth": "12 GB/s", "latency": "10 us"}) | {"quantization": "iq3_xxs"},
        ("one", "two"),
        {"tensor split": ("-sm tensor -ngl 99 -ts 11,9", 39.4)},
    ),
)


def judged(case: Case, split: str) -> Plan:
    """The plan that a split is, under the costs of llama.cpp."""
    request = replace(read_request(case.cluster), runtime="", costs="llama.cpp")
    return import_split(split, "llama.cpp", request, nodes=case.nodes if "-ngl 99" not in split else on_cards(case))[0]


def on_cards(case: Case) -> tuple[str, ...]:
    """The nodes of a case that are cards."""
    return tuple(node for node in case.nodes if node != "cpu")


def main() -> None:
    """Print measured and predicted rates, and how often the better alternative is named."""
    right, errors = 0, []
    for case in (*CASES, *RATES):
        measured = {name: rate for name, (_, rate) in case.alternatives.items()}
        predicted = {
            name: 1.0 / judged(case, split).figures.time_per_token_s for name, (split, _) in case.alternatives.items()
        }
        errors += [abs(predicted[name] / rate - 1) for name, rate in measured.items()]
        best, named = max(measured, key=measured.__getitem__), max(predicted, key=predicted.__getitem__)
        right += best == named and len(measured) > 1
        told = "; ".join(f"{name} {measured[name]:.3g}, predicted {predicted[name]:.3g}" for name in measured)
        regret = "" if len(measured) < 2 else f" | {named}, regret {measured[best] - measured[named]:.2f} tokens/s"
        print(f"| {case.name} | {told}{regret} |")
    errors.sort()
    print(f"{right} of {len(CASES)} named right; median error {errors[len(errors) // 2]:.0%} of {len(errors)} rates")


if __name__ == "__main__":
    main()
