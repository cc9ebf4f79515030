"""What `optimize` and the commands accept, turned into a question of one kind and a wish."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError, nearest, shown
from ..files import read_document
from ..plan.compare import Neighbour
from ..plan.plan import PlacedSpan, Plan
from ..plugins import load, plugins
from ..question.cluster import Cluster
from ..question.goodput import ALONE, GOODPUT, GROUND, Goodput
from ..question.request import Request
from ..question.workload import Workload
from ..readers.cluster.graph import from_graph
from ..readers.models.read import read_model
from ..readers.overrides import apply_overrides
from ..readers.schema.file import ClusterFile
from . import kind_named, kind_of_document, kind_of_question
from .base import CustomObjective, Kind, Task, Wish

KEYS = frozenset(ClusterFile.model_fields)
FILE_KEYS = {"--runtime": "runtime", "--edges": "edges", "--rate": "workload.rate"}  # options that win over a key


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its kind, what is wanted of it, and the file that it was read from; empty where it was none."""

    kind: Kind
    question: Any
    wish: Wish
    source: str = ""

    def tasks(self, running: Plan | None = None) -> tuple[Task, ...]:
        """The question as problems to be searched; those of goodput are made of other wishes."""
        if self.wish.goodput is not None:
            raise InputError("goodput is simulated, and no search of its own", self.wish.goodput.key)
        return self.kind.tasks(self.question, self.wish, running)

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The plan to answer with, of the tasks' plans."""
        return self.kind.settled(best, answers, running)

    def neighbours(self, plan: Plan, running: Plan | None = None) -> tuple[Neighbour, ...]:
        """Plans that somebody might have expected instead of the one found."""
        return self.kind.neighbours(self.question, self.wish, plan, running)

    @property
    def copies(self) -> int | None:
        """How many pipelines side by side are asked for; 0: as many as are best, None: nobody says."""
        return self.question.copies if isinstance(self.question, Request) else 1

    def pictured(self, plan: Plan) -> Plan:
        """The plan with what its page draws beside it."""
        return replace(plan, picture=self.kind.picture(self.question, plan))

    def judge(self, placement: Sequence[PlacedSpan]) -> tuple[Plan, tuple[str, ...]]:
        """A layout that somebody has as a plan with its figures, and the rules that it breaks."""
        if self.wish.goodput is not None:
            found = "a layout is not judged by goodput: `placement simulate` has what it serves"
            raise InputError(found, self.wish.goodput.key)
        return self.kind.judge(self.question, self.wish, placement)


def ask(
    model: Any,
    source: Any,
    *,
    workload: Workload | Mapping[str, Any] | None = None,
    objective: Any = None,
    limits: Mapping[str, float] | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] = MappingProxyType({}),
) -> Asked:
    """Turn what `optimize` accepts into a question.

    Parameters
    ----------
    model, source, workload, objective, limits
        As `optimize` has them; `source` is its `cluster`.
    overrides : sequence of str
        ``key.path[0]=value`` for files and mappings, each value read as YAML.
    options : mapping of str to object
        Options of a command by name, None where they were not given. Those that stand for a key of the file become
        overrides; those that say nothing to the file's kind are refused.

    Raises
    ------
    InputError
        One line that names what was wrong.
    """
    kind, question = question_of(model, source, overrides, options)
    file = str(source) if isinstance(source, str | Path) else ""
    if workload is not None:
        question = _with_workload(question, workload)
    least, limits = _least_goodput(question, limits)
    if objective == GOODPUT or (objective is None and isinstance(question, Request) and question.goodput):
        if least is not None:
            raise InputError("goodput is the objective: expected a limit on it beside another one", f"limits.{GOODPUT}")
        _ensure_simulated(kind, question, "objective")
        return Asked(kind, question, _with_goodput(kind.wish(question, GROUND, limits), question, None), file)
    if isinstance(objective, str | Sequence | Mapping) and GOODPUT in _names(objective):
        raise InputError(ALONE, "objective")
    spec, custom = _objective(objective, kind)
    wish = kind.wish(question, spec, limits)
    if custom is not None:
        if "custom" not in kind.can:
            raise InputError(f"a function as objective is for pipelines; this asks for {kind.name}", "objective")
        wish = wish.by(custom)
    if least is None:
        return Asked(kind, _rate_noted(question, wish), wish, file)
    _ensure_simulated(kind, question, f"limits.{GOODPUT}")
    return Asked(kind, question, _with_goodput(wish, question, least), file)


def question_of(
    model: Any,
    source: Any,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] = MappingProxyType({}),
) -> tuple[Kind, Any]:
    """The kind and the question of a file, a mapping or a Python object; parameters as for `ask`."""
    if isinstance(source, str | Path | Mapping):
        where, folder = ("cluster", Path()) if isinstance(source, Mapping) else (str(source), Path(source).parent)
        data = dict(source) if isinstance(source, Mapping) else read_document(source)
        data = apply_overrides(data, overrides)
        kind = kind_of_document(data)
        given = {option: value for option, value in {"--model": model, **options}.items() if value is not None}
        for option in given:
            if option not in kind.options:
                raise InputError(f"does not apply: the file asks for {kind.name}", f"{where}: {option}")
        data = apply_overrides(
            data, [f"{FILE_KEYS[option]}={given[option]}" for option in FILE_KEYS if option in given]
        )
        return kind, kind.read(data, where, folder, model)
    if isinstance(source, Request):
        request = source if model is None else replace(source, model=read_model(model))
        return kind_named(request.kind), request
    found = kind_of_question(source)
    if found is not None:
        if model is not None:
            raise InputError(f"a model does not apply to {found.name}: the question says what a block needs", "model")
        return found, source
    return kind_named("pipeline"), _request(model, source)


def _request(model: Any, cluster: Any) -> Request:
    if not isinstance(cluster, Cluster) and not hasattr(cluster, "adjacency"):
        raise InputError(
            f"expected a path, a mapping, a Cluster, a networkx graph or a question, got {type(cluster).__name__}",
            "cluster",
        )
    if model is None:
        raise InputError("expected a model: a preset name, a path, a Model or a torch module, got None", "model")
    if isinstance(cluster, Cluster):
        return Request(read_model(model), cluster)
    return Request(read_model(model), from_graph(cluster))


def _least_goodput(
    question: Any, limits: Mapping[str, float] | None
) -> tuple[float | None, Mapping[str, float] | None]:
    """Requests/s that must be served within limits, of the argument or of the question; and the other limits."""
    if limits is None or GOODPUT not in limits:
        return (question.least_goodput_per_s if isinstance(question, Request) else None), limits
    least = limits[GOODPUT]
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 < least < math.inf:
        raise InputError(f"expected requests/s above 0, got {shown(least)}", f"limits.{GOODPUT}")
    return float(least), {name: limit for name, limit in limits.items() if name != GOODPUT}


def _ensure_simulated(kind: Kind, question: Any, key: str) -> None:
    """Refuse goodput of what cannot be simulated; `key` is where a file asks for it."""
    if "simulate" not in kind.can or not isinstance(question, Request):
        what = "a case given by tables" if "simulate" in kind.can else kind.name
        raise InputError(f"goodput is simulated, which {what} cannot be: there is no model's pass", key)
    if question.choices is not None:
        raise InputError("goodput leaves no context, concurrency or format open: state it", "workload")


def _with_goodput(wish: Wish, question: Request, least_per_s: float | None) -> Wish:
    """A wish with the goodput that the question's rate and limits ask for; at least so much beside its objective."""
    wanted = Goodput.of(question.workload, wish.objective.limits, least_per_s)
    if least_per_s is not None and (wish.custom is not None or wish.objective.pareto):
        found = "goodput is a limit beside one objective or a mix: expected no front and no function"
        raise InputError(found, "objective")
    return replace(wish, goodput=wanted)


def _rate_noted(question: Any, wish: Wish) -> Any:
    """The question, with a note where it states a rate that its objective does not ask for."""
    if not isinstance(question, Request) or question.workload.rate_per_s is None:
        return question
    note = f"workload.rate says nothing to the objective {wish.name}: it is for goodput"
    return replace(question, cluster=replace(question.cluster, notes=(*question.cluster.notes, note)))


def _names(objective: str | Sequence[str] | Mapping[str, float]) -> list[str]:
    """The names in an objective."""
    return [str(name).strip() for name in (objective.split(",") if isinstance(objective, str) else objective)]


def _objective(objective: Any, kind: Kind) -> tuple[Any, CustomObjective | None]:
    """The objective's name, list or weights, or the plain function that stands for it."""
    if callable(objective):
        return None, objective
    if isinstance(objective, str) and objective not in kind.terms.names and "custom" in kind.can:
        point = plugins("placement.objectives", kind.terms.names).get(objective)
        if point is not None:
            return None, load(point)
    return objective, None


def _with_workload(question: Any, workload: Workload | Mapping[str, Any]) -> Any:
    if not isinstance(question, Request):
        raise InputError("a workload does not apply here: the file says what arrives", "workload")
    return replace(question, workload=workload if isinstance(workload, Workload) else _workload(workload))


def _workload(data: Mapping[str, Any]) -> Workload:
    known = tuple(Workload.__slots__)
    for name in data:
        if name not in known:
            raise InputError(f"unknown key{nearest(name, known)}", f"workload.{name}")
    return Workload(**data)
