"""Plan which blocks of a large language model run on which of my machines.

>>> import placement
>>> result = placement.optimize("llama-3.1-8b", "cluster.yaml")  # doctest: +SKIP
>>> result.plan.placement, result.gap  # doctest: +SKIP

Names are imported when they are used, so `import placement` is cheap.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import InfeasibleError, InputError, NotFoundError, PlacementError
from .plan.plan import VERSION, PlacedSpan, Plan
from .plugins import exporter

if TYPE_CHECKING:
    from objectives.combine import Objective
    from objectives.routes.swarm import Swarm
    from objectives.sessions.chains import Fleet

    from .export.api import export_plan
    from .kinds.pipeline.imported import import_split
    from .kinds.pipeline.replan import replan
    from .optimize import Result, judge, optimize
    from .question.case import ReplicatedCase
    from .question.cluster import Cluster, Node
    from .question.model import Block, Model, Tie
    from .question.request import Constraints, Request
    from .question.workload import Workload
    from .readers.cluster.read import read_request
    from .readers.models.read import read_model
    from .run.launcher import run_plan
    from .search.problem import Problem
    from .search.solver import Proposal, Solver
    from .search.stop import Progress

__version__ = VERSION

_HOMES = {
    "Block": ".question.model:Block",
    "Cluster": ".question.cluster:Cluster",
    "Constraints": ".question.request:Constraints",
    "Fleet": "objectives.sessions.chains:Fleet",
    "Model": ".question.model:Model",
    "Node": ".question.cluster:Node",
    "Objective": "objectives.combine:Objective",
    "Problem": ".search.problem:Problem",
    "Progress": ".search.stop:Progress",
    "Proposal": ".search.solver:Proposal",
    "ReplicatedCase": ".question.case:ReplicatedCase",
    "Request": ".question.request:Request",
    "Result": ".optimize:Result",
    "Solver": ".search.solver:Solver",
    "Swarm": "objectives.routes.swarm:Swarm",
    "Tie": ".question.model:Tie",
    "Workload": ".question.workload:Workload",
    "export_plan": ".export.api:export_plan",
    "import_split": ".kinds.pipeline.imported:import_split",
    "judge": ".optimize:judge",
    "optimize": ".optimize:optimize",
    "read_model": ".readers.models.read:read_model",
    "read_request": ".readers.cluster.read:read_request",
    "replan": ".kinds.pipeline.replan:replan",
    "run_plan": ".run.launcher:run_plan",
}

__all__ = [
    "Block",
    "Cluster",
    "Constraints",
    "Fleet",
    "InfeasibleError",
    "InputError",
    "Model",
    "Node",
    "NotFoundError",
    "Objective",
    "PlacedSpan",
    "PlacementError",
    "Plan",
    "Problem",
    "Progress",
    "Proposal",
    "ReplicatedCase",
    "Request",
    "Result",
    "Solver",
    "Swarm",
    "Tie",
    "Workload",
    "__version__",
    "export_plan",
    "import_split",
    "judge",
    "optimize",
    "read_model",
    "read_request",
    "replan",
    "run_plan",
]


class _Package(ModuleType):
    """The package: its `optimize` is the function, also once the module of that name has been imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "optimize" and isinstance(value, ModuleType):
            value = value.optimize
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


__getattr__ = exporter(_HOMES, __name__)


def __dir__() -> list[str]:
    """Names for completion."""
    return __all__
