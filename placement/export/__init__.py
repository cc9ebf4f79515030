"""One plan in the words of the runtimes that people use, and their splits as plans.

The one list of runtimes: it feeds the command line, the tests, the examples and the docs. A new runtime is one file and
one line here; other packages register theirs under the entry point group ``placement.exporters``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from ..plugins import attribute, from_plugin, names

if TYPE_CHECKING:
    from .base import Runtime


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a runtime's exporter lives and what it writes; modules are imported when it is made.

    Attributes
    ----------
    path : str
        ``module:Class``, the module relative to this package when it begins with a dot.
    summary : str
        What it writes, for people.
    """

    path: str
    summary: str

    def make(self) -> Runtime:
        """Import and make the exporter."""
        return cast("Runtime", attribute(self.path, __name__)())


GROUP = "placement.exporters"
RUNTIMES: Mapping[str, Entry] = MappingProxyType(
    {
        "accelerate": Entry(".accelerate:Accelerate", "device_map (JSON)"),
        "vllm": Entry(".vllm:Vllm", "VLLM_PP_LAYER_PARTITION and a command"),
        "sglang": Entry(".sglang:Sglang", "SGLANG_PP_LAYER_PARTITION and a command per node"),
        "llama.cpp": Entry(".llama_cpp:LlamaCpp", "--rpc, --device, --tensor-split, -ot"),
        "petals": Entry(".petals:Petals", "--block_indices per server"),
        "torch": Entry(".torch:Torch", "split_spec, and torchrun lines for our executor"),
        "torchtitan": Entry(".torchtitan:Torchtitan", "module_fqns_per_model_part"),
        "deepspeed": Entry(".deepspeed:Deepspeed", "a PipelineModule with these parts"),
        "megatron": Entry(".megatron:Megatron", "--pipeline-model-parallel-layout"),
        "prima.cpp": Entry(".prima_cpp:PrimaCpp", "-lw per rank"),
        "exo": Entry(".exo:Exo", "shard assignments (JSON)"),
        "parallax": Entry(".parallax:Parallax", "--start-layer and --end-layer per worker"),
        "distributed-llama": Entry(".distributed_llama:DistributedLlama", "nothing: it cannot hold a layer placement"),
    }
)


def runtime_names() -> list[str]:
    """Names of all runtimes that a plan can be written for."""
    return names(GROUP, RUNTIMES)


def make_runtime(name: str) -> Runtime:
    """Make the exporter of a runtime; raise `InputError` with the nearest name for an unknown one."""
    if name in RUNTIMES:
        return RUNTIMES[name].make()
    return cast("Runtime", from_plugin(GROUP, RUNTIMES, name, "runtime")())
