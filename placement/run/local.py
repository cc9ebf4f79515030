"""One host, several devices: a plan becomes a device map of accelerate, for as long as a `with` lasts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..plan.plan import Plan
from .architecture import Architecture, block_names, find
from .chains import pipeline_of
from .job import check_plan

_ATTRIBUTES = ("hf_device_map", "to", "cuda", "npu", "xpu", "mlu", "sdaa", "musa", "_hf_hook")


@contextlib.contextmanager
def execute(
    plan: Plan,
    model: nn.Module,
    *,
    devices: Mapping[str, str] | None = None,
    offload_dir: str | None = None,
) -> Iterator[Any]:
    """Run a model in this process with its blocks where the plan says.

    Parameters
    ----------
    plan : Plan
        A pipeline; any block-to-node map, contiguous or not.
    model : nn.Module
        A causal language model of transformers, in memory.
    devices : mapping of str to str, optional
        Node to "cpu", "disk" or a torch device. By default nodes whose names are devices ("cuda:0", "cpu", "disk")
        stand for themselves.
    offload_dir : str, optional
        Folder for the weights on "disk"; a temporary one by default.

    Yields
    ------
    nn.Module
        The same model, with hooks; leaving the `with` takes them off and puts every parameter back.
    """
    from accelerate import dispatch_model
    from accelerate.hooks import remove_hook_from_submodules

    arch = find(model)
    check_plan(plan, arch.n_blocks, block_names(arch.n_blocks))
    placed = device_map(plan, arch, model, devices)
    before = {name: tensor.device for name, tensor in _tensors(model)}
    if any(device.type == "meta" for device in before.values()):
        raise InputError("expected a model in memory, its parameters are on the meta device", "model")
    tied = _shared(model)
    # With a GPU as the main device, accelerate would copy the blocks on "cpu" to it at every step; a plan means that
    # the CPU computes them. Blocks on "disk" are computed by the main device.
    others = [device for device in placed.values() if device not in ("cpu", "disk")]
    main = "cpu" if "cpu" in placed.values() or not others else others[0]
    with contextlib.ExitStack() as stack:
        folder = offload_dir
        if folder is None and "disk" in placed.values():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="placement-offload-"))
        kept = {name: model.__dict__[name] for name in _ATTRIBUTES if name in model.__dict__}
        if tied and placed[_name(model, arch.embed)] != placed[_name(model, arch.head)]:
            # Tied matrices on two devices are two copies, until the end of the `with`.
            copy = model.get_parameter(f"{_name(model, arch.head)}.weight").detach().clone()
            arch.head.weight = nn.Parameter(copy, requires_grad=False)
        try:
            dispatch_model(model, placed, main_device=main, offload_dir=folder, force_hooks=True)
            yield model
        finally:
            # Hooks hold the offloaded weights: taking them off brings those back, then devices are compared.
            remove_hook_from_submodules(model)
            _restore(model, before, tied, kept)


def device_map(
    plan: Plan, arch: Architecture, model: nn.Module, devices: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the device map of accelerate: every module with parameters, by name, and its device."""
    owner = {block: span.node for span in pipeline_of(plan) for block in range(span.start, span.stop)}
    names = {id(module): name for name, module in model.named_modules()}
    placed = {
        names[id(module)]: _device(owner[block], devices)
        for block in range(arch.n_blocks)
        for module in arch.modules(block)
    }
    if arch.rotary is not None:
        placed[names[id(arch.rotary)]] = _device(owner[1], devices)
    drop = f"{arch.prefix}.drop"
    if drop in names.values():
        placed[drop] = _device(owner[0], devices)
    return placed


def _device(node: str, devices: Mapping[str, str] | None) -> str:
    name = (devices or {}).get(node, node)
    if name == "disk":
        return name
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"node '{node}' is no device: name one in `devices`, such as {{'{node}': 'cuda:0'}}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"this machine has {torch.cuda.device_count()} CUDA devices, the plan wants {name}", node)
    return "cuda:0" if name == "cuda" else name


def _name(model: nn.Module, module: nn.Module) -> str:
    return next(str(name) for name, other in model.named_modules() if other is module)


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _shared(model: nn.Module) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _restore(
    model: nn.Module, before: Mapping[str, torch.device], tied: list[list[str]], kept: Mapping[str, Any]
) -> None:
    """Put every tensor back on its device, share again what was shared, and take off what dispatching left."""
    for name, tensor in list(_tensors(model)):
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        if tensor.device != before[name]:
            if leaf in module._parameters:
                module._parameters[leaf] = nn.Parameter(tensor.data.to(before[name]), tensor.requires_grad)
            else:
                module._buffers[leaf] = tensor.to(before[name])
    for names in tied:
        first = model.get_parameter(names[0])
        for name in names[1:]:
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._parameters[leaf] = first
    for name in _ATTRIBUTES:
        model.__dict__.pop(name, None)
    model.__dict__.update(kept)
