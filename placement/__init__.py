"""Plan which blocks of a large language model run on which of my machines.

>>> import placement
>>> result = placement.optimize("llama-3.1-8b", "cluster.yaml")  # doctest: +SKIP
>>> result.plan.placement, result.gap  # doctest: +SKIP
"""

from .errors import InfeasibleError, InputError, NotFoundError, PlacementError
from .optimize import Result, optimize
from .plan.plan import VERSION, Plan
from .question.cluster import Cluster, Node
from .question.model import Block, Model, Tie
from .question.request import Constraints, Request
from .question.workload import Workload

__version__ = VERSION

__all__ = [
    "Block",
    "Cluster",
    "Constraints",
    "InfeasibleError",
    "InputError",
    "Model",
    "Node",
    "NotFoundError",
    "PlacementError",
    "Plan",
    "Request",
    "Result",
    "Tie",
    "Workload",
    "__version__",
    "optimize",
]
