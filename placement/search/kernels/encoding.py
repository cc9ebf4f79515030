"""The four functions that an encoding gives to the search loops.

A loop is written once, in plain Python, against these names. Compiled, each call is bound to the kernel that was
registered for the type of its data (`provide`); uncompiled (a custom objective in plain Python), it goes to the method
of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from objectives.jit import OPTIONS


def evaluate(genome: Any, data: Any) -> tuple[float, float]:
    """Return (cost, violation) of a genome."""
    result: tuple[float, float] = data.evaluate(genome)
    return result


def neighbour(genome: Any, data: Any, rng: Any, out: Any) -> None:
    """Write a genome one small move away into `out`."""
    data.neighbour(genome, rng, out)


def crossover(first: Any, second: Any, data: Any, rng: Any, out: Any) -> None:
    """Write a genome made of two parents into `out`."""
    data.crossover(first, second, rng, out)


def from_keys(keys: Any, data: Any, out: Any) -> None:
    """Write the genome that real-valued random keys stand for into `out`."""
    data.from_keys(keys, out)


_PROVIDED: dict[tuple[str, str], Callable[..., Any]] = {}


def provide(data_type: type, **kernels: Callable[..., Any]) -> None:
    """Register compiled kernels (by the names above) for one data type, a NamedTuple."""
    for name, function in kernels.items():
        _PROVIDED[(name, data_type.__name__)] = function


def _implementation(name: str, data: Any) -> Callable[..., Any] | None:
    found = _PROVIDED.get((name, getattr(getattr(data, "instance_class", None), "__name__", "")))
    return found and getattr(found, "py_func", found)  # its source: a call of the kernel would compile one more copy


# numba matches signatures with the implementations below, so these carry no annotations.
@overload(evaluate, strict=False, jit_options=OPTIONS)
def _evaluate(genome, data):
    return _implementation("evaluate", data)


@overload(neighbour, strict=False, jit_options=OPTIONS)
def _neighbour(genome, data, rng, out):
    return _implementation("neighbour", data)


@overload(crossover, strict=False, jit_options=OPTIONS)
def _crossover(first, second, data, rng, out):
    return _implementation("crossover", data)


@overload(from_keys, strict=False, jit_options=OPTIONS)
def _from_keys(keys, data, out):
    return _implementation("from_keys", data)
