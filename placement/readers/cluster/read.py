"""cluster.yaml as a request: the model, the nodes and their links, the workload, the objective, the constraints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from objectives.combine import PIPELINE, REPLICATED, Objective
from placement.catalog.runtimes import files_of, spelt, stored_format
from placement.errors import InputError, nearest
from placement.files import read_document
from placement.files.entries import MAX_BLOCKS, parse
from placement.quantities import whole_number
from placement.question.goodput import GOODPUT, GROUND
from placement.question.model import Model
from placement.question.request import Choices, Constraints, Request
from placement.question.workload import Workload

from ..models.quantization import QUANTIZATIONS
from ..models.read import read_model
from ..overrides import apply_overrides
from ..schema.extras import Extras
from ..schema.file import ClusterFile
from ..schema.model import InlineModel
from ..schema.nodes import NodeEntry
from .extras import draft_of, with_extras
from .inline import inline_model
from .links import connect
from .nodes import expand, is_main_memory

KEYS = ("model", "nodes")
_OWN_KEYS = ("model", "quantization", "kv_dtype")  # errors of a model that are at keys of the cluster file


def read_request(
    source: Path | str | Mapping[str, Any], *, overrides: Sequence[str] = (), model: object | None = None
) -> Request:
    """Read a cluster file.

    Parameters
    ----------
    source : Path, str or mapping
        A YAML or JSON file, or its content.
    overrides : sequence of str
        ``key.path[0]=value``, each value read as YAML; they win over the file.
    model : optional
        A `Model`, or what `read_model` accepts; it wins over the file's own.

    Returns
    -------
    Request

    Raises
    ------
    InputError
        One clear line for each mistake: the file, the key path, the value.
    """
    if isinstance(source, Mapping):
        where, folder, data = "cluster", Path(), dict(source)
    else:
        where, folder, data = str(source), Path(source).parent, read_document(source, expect=KEYS)
    return request_of(apply_overrides(data, overrides), where, folder, model)


def request_of(data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Request:
    """The request of a document that was read already.

    Parameters
    ----------
    data : mapping
        Overrides applied.
    where : str
        The file, for errors.
    folder : Path
        Where relative paths in it begin.
    model : optional
        As for `read_request`.
    """
    entry = parse(ClusterFile, data, where)
    entry = entry.model_copy(update={"runtime": spelt(entry.runtime)}) if entry.runtime else entry
    try:
        return _request(entry, folder, model)
    except InputError as error:
        raise error.under(where) from None


def _request(entry: ClusterFile, folder: Path, model: object | None) -> Request:
    models = _models(entry, folder, model)
    if entry.placement == "replicated" and entry.extras != Extras():
        raise InputError("a draft and a tower go with one chain: expected placement: pipeline", "extras")
    draft = draft_of(entry.extras.draft, models[0], folder)
    models = [with_extras(one, entry.extras, draft) for one in models]
    built, workload = models[0], _workload(entry)
    notes: list[str] = []
    nodes, groups = expand(_with_degrees(entry), n_blocks=built.n_blocks, notes=notes)
    names = {group.name: [nodes[index].name for index in group.members] for group in groups}
    notes += _beyond(built, workload)
    constraints = _constraints(entry, built, names)
    cluster = connect(nodes, groups, entry.network, entry.client, notes, constraints.exclude)
    return Request(
        model=built,
        cluster=cluster,
        workload=workload,
        objective=_objective(entry),
        constraints=constraints,
        kind=entry.placement,
        min_replicas=entry.min_replicas,
        max_stages=entry.max_stages,
        edges=entry.edges,
        runtime=entry.runtime or "",
        server_push=entry.server_push,
        copies=entry.copies,
        goodput=entry.objective == GOODPUT,
        least_goodput_per_s=entry.limits.goodput,
        choices=_choices(entry, models),
        across_hosts=entry.across_hosts,
        draft=draft,
    )


def _workload(entry: ClusterFile) -> Workload:
    """The workload; what is left open has its least value."""
    work = entry.workload
    prompt = work.prompt_tokens
    if work.context:
        if "prompt_tokens" in work.model_fields_set:
            raise InputError("expected context or prompt_tokens, got both", "workload.context")
        prompt = work.context - work.output_tokens
        if prompt < 1:
            raise InputError(
                f"expected more than the {work.output_tokens} output tokens, got {work.context}", "workload.context"
            )
    return Workload(prompt, work.output_tokens, work.concurrency or 1, work.rate)


def _beyond(model: Model, work: Workload) -> list[str]:
    """A note of a context that the model was not made for."""
    if not model.longest_context or work.context_tokens <= model.longest_context:
        return []
    told = f"{work.context_tokens:,} tokens of prompt and output are more than the {model.longest_context:,} that"
    return [f"workload: {told} {model.name} was made for; runtimes refuse them until its positions are scaled"]


def _choices(entry: ClusterFile, models: Sequence[Model]) -> Choices | None:
    several = tuple(models) if len(models) > 1 else ()
    found = Choices(several, entry.workload.context == 0, entry.workload.concurrency == 0)
    return found if found != Choices() else None


def _models(entry: ClusterFile, folder: Path, given: object | None) -> list[Model]:
    """The model in each of the formats that the file allows."""
    if entry.quantization is None or len(entry.quantization) == 1 or isinstance(given, Model):
        return [_model(entry, folder, given)]
    single = ([name] for name in entry.quantization)
    return [_model(entry.model_copy(update={"quantization": name}), folder, given) for name in single]


def _model(entry: ClusterFile, folder: Path, given: object | None) -> Model:
    if entry.quantization is not None and entry.dtype is not None:
        raise InputError("expected quantization or dtype, got both", "quantization")
    if isinstance(given, Model):
        return given
    spec = entry.model if given is None else given
    if spec is None:
        raise InputError("this key is missing: a catalog preset, a path, or blocks inline", "model")
    named = entry.quantization[0] if entry.quantization else entry.dtype
    weights = stored_format(entry.runtime or "", named) if named else None
    if isinstance(spec, InlineModel):
        return inline_model(spec, weights)
    if given is None and isinstance(spec, str):
        beside = folder / spec  # a path in a file is relative to that file
        spec = str(beside) if os.path.exists(beside) else spec  # of any text, however long
    options = {"weights": weights, "kv_dtype": entry.kv_dtype}
    try:
        built = read_model(spec, **{key: value for key, value in options.items() if value is not None})
    except InputError as error:
        raise (error if error.where in _OWN_KEYS else error.under("model")) from None
    built = replace(built, notes=(*built.notes, *_no_such_files(entry.runtime or "", built.weights)))
    if weights != named:
        built = replace(built, notes=(*built.notes, f"files of {entry.runtime} hold {named} models as {weights}"))
    if built.n_blocks > MAX_BLOCKS:
        raise InputError(f"expected at most {MAX_BLOCKS} blocks, got {built.n_blocks}", "model")
    return built


def _no_such_files(runtime: str, weights: str) -> list[str]:
    """A note where a runtime loads files of one kind, and weights are planned in a format that none of them has."""
    known = QUANTIZATIONS.get(weights)
    if files_of(runtime) != "GGUF" or known is None or known.in_gguf:
        return []
    return [f"{runtime} loads GGUF files, which hold no weights in {weights}: name a format of theirs (q8_0, q4_k_m)"]


def _with_degrees(entry: ClusterFile) -> list[NodeEntry]:
    """The node entries; those that say nothing of tensor parallelism as the file says, which is auto by default.

    A number is of cards: a processor with the main memory of its host stays one.
    """
    stated = entry.tensor_parallel or 0
    return [
        node
        if node.tensor_parallel is not None
        else node.model_copy(update={"tensor_parallel": 1 if stated and is_main_memory(node) else stated})
        for node in entry.nodes
    ]


def _objective(entry: ClusterFile) -> Objective:
    replicated = entry.placement == "replicated"
    terms = REPLICATED if replicated else PIPELINE
    spec = GROUND if entry.objective == GOODPUT else entry.objective
    spec = spec or ("served" if replicated else "latency" if entry.workload.concurrency else "throughput")
    for name in [part.strip() for part in spec.split(",")] if isinstance(spec, str) else spec:
        if name not in terms.names and name not in terms.aliases:
            kind = "pipelines" if replicated else "replicated placements"
            raise InputError(f"'{name}' is an objective of {kind} (known here: {', '.join(terms.names)})", "objective")
    try:
        return Objective.of(spec, entry.limits.by_term(terms), terms)
    except ValueError as error:
        raise InputError(str(error), "objective") from None


def _constraints(entry: ClusterFile, model: Model, groups: Mapping[str, Sequence[str]]) -> Constraints:
    """Check the names in pins, include and exclude; the name of an entry with `count` stands for all its nodes."""
    nodes = {name for members in groups.values() for name in members}
    exclude = tuple(dict.fromkeys(_names(entry.exclude, groups, nodes, "exclude")))
    include = tuple(dict.fromkeys(_names(entry.include, groups, nodes, "include")))
    for name in include:
        if name in exclude:
            raise InputError(f"node '{name}' is in exclude too", "include")
    if nodes <= set(exclude):
        raise InputError("expected at least one node that is not excluded", "exclude")
    if entry.max_nodes is not None and entry.max_nodes < len(include):
        raise InputError(
            f"expected at least {len(include)}, the number of nodes in include, got {entry.max_nodes}", "max_nodes"
        )
    pins: dict[str | int, str] = {}
    numbers: dict[int, str] = {}
    for block, node in entry.pins.items():
        where = f"pins.{block}"
        index = _block_index(model, block, where)
        if node not in nodes:
            raise InputError(f"there is no node '{node}'{_node_hint(node, groups, nodes)}", where)
        if node in exclude:
            raise InputError(f"node '{node}' is in exclude", where)
        if numbers.setdefault(index, node) != node:
            raise InputError(f"block {index} is pinned to '{numbers[index]}' too", where)
        pins[model.blocks[index].name] = node
    return Constraints(pins, include, exclude, entry.max_nodes, entry.contiguous)


def _block_index(model: Model, block: str | int, where: str) -> int:
    names = {item.name: index for index, item in enumerate(model.blocks)}
    if block in names:
        return names[block]
    number = block if isinstance(block, int) else whole_number(block)
    if number is not None and 0 <= number < model.n_blocks:
        return number
    hint = nearest(str(block), names)
    raise InputError(f"the model has no block '{block}' (it has {model.n_blocks}){hint}", where)


def _names(given: Iterable[str], groups: Mapping[str, Sequence[str]], nodes: set[str], where: str) -> list[str]:
    found: list[str] = []
    for number, name in enumerate(given):
        if name not in nodes and name not in groups:
            raise InputError(f"there is no node '{name}'{_node_hint(name, groups, nodes)}", f"{where}[{number}]")
        found.extend([name] if name in nodes else groups[name])
    return found


def _node_hint(name: str, groups: Mapping[str, Sequence[str]], nodes: Iterable[str]) -> str:
    if name in groups:
        return f": it stands for {len(groups[name])} nodes, '{groups[name][0]}' to '{groups[name][-1]}'"
    return nearest(name, nodes)
