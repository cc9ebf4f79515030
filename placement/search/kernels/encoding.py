"""The four functions that an encoding gives to the search loops.

A loop is written once, in plain Python, against these names. Compiled, each call is bound to the kernel that was
registered for the type of its data (`provide`); uncompiled (a custom objective in plain Python), it goes to the method
of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload


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
    return _PROVIDED.get((name, getattr(getattr(data, "instance_class", None), "__name__", "")))


# numba matches signatures with the implementations below, so these carry no annotations.
@overload(evaluate)
def _evaluate(genome, data):
    call = _implementation("evaluate", data)
    return call and (lambda genome, data: call(genome, data))  # noqa: PLW0108 (numba wants a function, not a kernel)


@overload(neighbour)
def _neighbour(genome, data, rng, out):
    call = _implementation("neighbour", data)
    return call and (lambda genome, data, rng, out: call(genome, data, rng, out))  # noqa: PLW0108 (numba wants a function, not a kernel)


@overload(crossover)
def _crossover(first, second, data, rng, out):
    call = _implementation("crossover", data)
    return call and (lambda first, second, data, rng, out: call(first, second, data, rng, out))  # noqa: PLW0108 (numba wants a function, not a kernel)


@overload(from_keys)
def _from_keys(keys, data, out):
    call = _implementation("from_keys", data)
    return call and (lambda keys, data, out: call(keys, data, out))  # noqa: PLW0108 (numba wants a function, not a kernel)
