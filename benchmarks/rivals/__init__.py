"""Planners and optimizers of others, on the same instances and scored by the same objective.

They need the extra `bench`: ``pip install -e '.[bench]'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Rival:
    """Where a rival lives.

    Attributes
    ----------
    path : str
        ``module:Class`` within this package.
    package : str
        The package that it needs; empty for none.
    random : bool
        True when it draws random numbers.
    """

    path: str
    package: str
    summary: str
    random: bool = False

    def make(self) -> Any:
        """Import and make it."""
        module, name = self.path.split(":")
        return getattr(import_module(module, __name__), name)()


RIVALS: dict[str, Rival] = {
    "accelerate-balanced": Rival(
        ".device_maps:Balanced", "accelerate", "infer_auto_device_map with balanced budgets (Hugging Face accelerate)"
    ),
    "accelerate-sequential": Rival(
        ".device_maps:Sequential", "accelerate", "infer_auto_device_map with all memory, device by device"
    ),
    "deepspeed": Rival(".deepspeed:Partition", "", "partition_balanced over the blocks' bytes (DeepSpeed), anew"),
    "pymoo-ga": Rival(".keys:PymooGA", "pymoo", "genetic algorithm of pymoo on order keys and shares", True),
    "pymoo-keys": Rival(".keys:PymooKeys", "pymoo", "the same on random keys, given our decoder", True),
    "pymoo-nsga2": Rival(
        ".keys:PymooNSGA2", "pymoo", "NSGA-II of pymoo on order keys and shares; one objective or several", True
    ),
    "cp-sat": Rival(".cpsat:CpSat", "ortools", "CP-SAT of OR-tools: a circuit of nodes, one worker; proves, too", True),
    "scipy-de": Rival(".keys:DifferentialEvolution", "scipy", "differential evolution of SciPy", True),
    "scipy-annealing": Rival(".keys:DualAnnealing", "scipy", "dual annealing of SciPy", True),
}
