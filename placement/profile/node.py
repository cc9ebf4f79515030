"""`placement profile`: one device as a node entry of cluster.yaml, with measured tables and what they depend on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ..catalog.presets import models
from ..errors import InputError, printable
from ..files import write_atomic
from ..question.cluster import Node
from ..question.model import Model
from ..question.workload import Workload
from ..readers.models.read import read_model
from ..run.gguf_to_folder import checkpoint_folder
from .hardware import Hardware, Peaks, detect, measure_peaks
from .measure import Sample, kinds_of, measure_blocks
from .pauses import PAUSES, Rest
from .roofline_fit import Roofline, fit


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """A measured node.

    Attributes
    ----------
    node : Node
        With decode tables by micro-batch and prefill seconds per block, at the workload's lengths.
    hardware : Hardware
    peaks : Peaks
    roofline : Roofline
        Fitted to all points but those of lookups.
    samples : tuple of Sample
    model : Model
    workload : Workload
    dtype : str
    rest : Rest or None
        What went before every pass.
    """

    node: Node
    hardware: Hardware
    peaks: Peaks
    roofline: Roofline
    samples: tuple[Sample, ...]
    model: Model
    workload: Workload
    dtype: str
    rest: Rest | None = None

    def entry(self) -> dict[str, Any]:
        """Return the entry of `nodes` in cluster.yaml, as plain data."""
        node, names = self.node, [block.name for block in self.model.blocks]
        assert len(names) == len(node.prefill_s_per_block)
        return {
            "name": node.name,
            "memory": f"{node.memory_bytes / 2**20:.0f} MiB",
            "compute": {self.dtype: f"{self.peaks.flops_per_s.get(self.dtype, 0.0) / 1e12:.6g} TFLOP/s"},
            "memory_bandwidth": f"{self.peaks.bandwidth_bytes_per_s / 1e9:.5g} GB/s",
            "efficiency": {
                "compute": round(node.compute_efficiency, 4),
                "bandwidth": round(node.bandwidth_efficiency, 4),
            },
            "overhead": f"{node.overhead_s * 1e6:.4g} us",
            "pass_overhead": f"{node.pass_overhead_s * 1e6:.4g} us",
            "decode_table": {size: [float(f"{s:.5g}") for s in row] for size, row in node.decode_table.items()},
            "prefill_seconds_per_block": [float(f"{s:.5g}") for s in node.prefill_s_per_block],
        }

    def to_yaml(self) -> str:
        """Return the entry as YAML; conditions and quality of the fit are comments."""
        line = self.roofline
        facts = {
            "device": f"{self.hardware.name} ({self.hardware.device})",
            **self.hardware.conditions,
            "model": f"{self.model.name}, {self.dtype}",
            "workload": f"prompt {self.workload.prompt_tokens}, output {self.workload.output_tokens} tokens",
            "passes": "in a row" if self.rest is None else f"each {self.rest}",
            "roofline": f"{line.flops_per_s / 1e12:.4g} TFLOP/s, {line.bytes_per_s / 1e9:.4g} GB/s, "
            f"{line.overhead_s * 1e6:.3g} us per block",
            "fit": f"median error {line.median_error:.1%}, worst {line.worst_error:.1%} of {len(self.samples)} points",
            "spread": f"median {np.median([s.spread for s in self.samples]):.1%} between repeats",
        }
        head = "".join(f"# {printable(f'{key}: {value}')}\n" for key, value in facts.items())
        return head + yaml.safe_dump({"nodes": [self.entry()]}, sort_keys=False, default_flow_style=None, width=120)

    def save(self, path: str | Path) -> None:
        """Write the YAML file."""
        write_atomic(Path(path), self.to_yaml())


def profile_node(
    model: Any,
    *,
    device: str = "cpu",
    name: str = "",
    dtype: str = "",
    workload: Workload | None = None,
    batches: Sequence[int] = (1, 2, 4, 8),
    budget_s: float = 25.0,
    threads: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    rest: Rest | None = PAUSES,
) -> NodeProfile:
    """Measure a device with the blocks of a model.

    Parameters
    ----------
    model : str or Path
        Preset, checkpoint folder or config.json (a .gguf is converted first).
    device : str
        "cpu", "cuda:N" or "mps".
    name : str
        Of the node; by default the device's.
    dtype : str
        Number format; by default the model's own.
    workload : Workload, optional
        Decode is measured at its mean context, prefill at its prompt length.
    budget_s : float
        Seconds for the blocks.
    threads : int
        CPU threads; 0 leaves them.
    clock : callable
        See `measure_blocks`.
    rest : Rest or None
        Before every pass, as in a pipeline; None measures passes in a row.

    Raises
    ------
    InputError
        The device is not there, or the measurement would not fit into its free memory.
    """
    work = workload or Workload()
    before = torch.get_num_threads()
    try:
        if threads:
            torch.set_num_threads(threads)
        source, blocks = model_and_source(model, dtype)
        number = dtype or (blocks.weights if hasattr(torch, blocks.weights) else blocks.compute_dtype)
        hardware = detect(device)
        prompts = sorted({max(1, work.prompt_tokens // 4), work.prompt_tokens})
        samples = measure_blocks(
            source,
            blocks,
            hardware,
            dtype=number,
            batches=batches,
            contexts=(int(work.mean_context_tokens),),
            prompts=prompts,
            budget_s=budget_s,
            clock=clock,
            rest=rest,
        )
        peaks = measure_peaks(hardware)
    finally:
        torch.set_num_threads(before)
    starts, _ = kinds_of(blocks)
    streaming = [sample for sample in samples if not blocks.blocks[starts[sample.kind]].lookup]
    line = fit(streaming or samples)
    node = node_of(name or device.replace(":", "-"), blocks, work, number, hardware, peaks, line, samples)
    return NodeProfile(node, hardware, peaks, line, tuple(samples), blocks, work, number, rest)


def node_of(
    name: str,
    model: Model,
    workload: Workload,
    dtype: str,
    hardware: Hardware,
    peaks: Peaks,
    line: Roofline,
    samples: Sequence[Sample],
) -> Node:
    """Put measured seconds of kinds into tables of blocks."""
    _, kinds = kinds_of(model)
    decode: dict[int, dict[int, float]] = {}
    prefill: dict[int, float] = {}
    for sample in samples:
        if sample.phase == "decode":
            decode.setdefault(sample.batch, {})[sample.kind] = sample.seconds
        elif sample.tokens == workload.prompt_tokens:
            prefill[sample.kind] = sample.seconds
    # Layers pass positions and masks on, lookups do not: the larger figure is that of a stage.
    once = max((sample.pass_s for sample in samples if sample.batch == 1), default=0.0)
    peak = peaks.flops_per_s.get(dtype, line.flops_per_s)
    return Node(
        name=name,
        memory_bytes=hardware.free_bytes,
        compute_flops_per_s={dtype: peak},
        memory_bandwidth_bytes_per_s=peaks.bandwidth_bytes_per_s,
        compute_efficiency=min(1.0, line.flops_per_s / peak),
        bandwidth_efficiency=min(1.0, line.bytes_per_s / peaks.bandwidth_bytes_per_s),
        overhead_s=line.overhead_s,
        pass_overhead_s=once,
        decode_table={size: tuple(row[kind] for kind in kinds) for size, row in decode.items()},
        prefill_s_per_block=tuple(prefill[kind] for kind in kinds),
    )


def model_and_source(model: Any, dtype: str = "") -> tuple[Any, Model]:
    """Return where the configuration is, and the model as blocks in the format that will be measured."""
    key = str(model).strip().lower()
    if key in models():
        return models()[key].config, read_model(key, weights=dtype or "bfloat16")
    path = Path(os.path.expanduser(str(model)))
    if path.suffix.lower() == ".gguf":
        path = checkpoint_folder(path)
    if not path.exists():
        return path, read_model(str(model))  # says what is wrong with the name
    blocks = read_model(path, weights=dtype or "bfloat16")
    if path.is_file() and path.suffix != ".json":
        raise InputError("expected a preset, a checkpoint folder, a config.json or a .gguf file", str(path))
    return path, blocks
