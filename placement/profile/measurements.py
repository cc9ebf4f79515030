"""Measurements of other runs as rows of a CSV: what ran where, under which runtime, and how fast it was.

Each row is a whole question (a cluster as in cluster.yaml, a model, a split) and one or two figures. The project's own
rows are facts from publications (benchmarks/measurements); a user's rows calibrate a runtime for the user's machines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from objectives.pipeline.terms import step_s, ttft_s
from objectives.spans import Span

from ..catalog.runtimes import runtime_at, stored_format
from ..costs.build import build_tables
from ..costs.runtimes import RuntimeCosts, class_of, runtime_costs
from ..errors import InputError
from ..files import load_yaml, read_text
from ..files.entries import Entry, ensure_different, parse, printable
from ..plan.compare import parse_spans
from ..question.request import Request
from ..question.workload import Workload
from ..readers.cluster.read import read_request

MOST_TOKENS = 10_000_000


def _blank(value: object) -> object:
    """Read an empty field of a CSV as none."""
    return None if value in ("", None) else value


Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
Rate = Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(printable)]


class Measurement(Entry):
    """One row. Rates are in tokens/s, lengths in tokens."""

    id: Text
    source: Text = Field(description="title or address; rows of one source are left out together")
    date: str = Field(default="", description="of the run or its publication, year or year-month: tells the release")
    runtime: Text = Field(description="as in `runtime` of a cluster file")
    cluster: Text = Field(description="YAML on one line: nodes, network and client of a cluster file")
    model: Text
    weights: Text = Field(description="number format or quantization")
    split: Text = Field(description="node=start:stop, comma between")
    prompt_tokens: Tokens = Field(default=1, description="context before the generation that was timed")
    output_tokens: Tokens = Field(default=128, description="tokens generated")
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1, description="sequences in one batch")
    tokens_per_s: Annotated[Rate | None, BeforeValidator(_blank)] = Field(default=None, description="all together")
    timed_prompt_tokens: Annotated[Tokens | None, BeforeValidator(_blank)] = None
    prompt_tokens_per_s: Annotated[Rate | None, BeforeValidator(_blank)] = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A row that is ready to be predicted.

    Attributes
    ----------
    row : Measurement
    request : Request
        Model and cluster; the workload is that of the generation.
    spans : tuple of Span
    costs : RuntimeCosts
        Of the row's runtime.
    """

    row: Measurement
    request: Request
    spans: tuple[Span, ...]
    costs: RuntimeCosts

    @property
    def kind(self) -> str:
        """Whether more than one device works ("multi") or not ("single")."""
        several = len(self.spans) > 1 or any(node.tensor_parallel > 1 for node in self.request.cluster.nodes)
        return "multi" if several else "single"

    @property
    def device_class(self) -> str:
        """Class of the slowest memory among the devices: what the figures hang on."""
        used = {span.node for span in self.spans}
        nodes = [node for k, node in enumerate(self.request.cluster.nodes) if k in used]
        return class_of(min(nodes, key=lambda node: node.memory_bandwidth_bytes_per_s / node.tensor_parallel))

    def predict(self, costs: RuntimeCosts | None = None) -> dict[str, float]:
        """Predicted figures of those that were measured: "generation" and "prompt" in tokens/s.

        Parameters
        ----------
        costs : RuntimeCosts, optional
            Instead of the runtime's own: what a fit tries.

        Returns
        -------
        dict of str to float
        """
        row, found, costs = self.row, {}, costs or self.costs
        if row.tokens_per_s is not None:
            work = Workload(row.prompt_tokens, row.output_tokens, row.concurrency)
            sizes = sorted({1, row.concurrency})
            tables = build_tables(replace(self.request, workload=work), costs, sizes, streams=False)
            found["generation"] = row.concurrency / step_s(tables, self.spans, len(tables.batches) - 1)
        if row.prompt_tokens_per_s is not None and row.timed_prompt_tokens is not None:
            alone = replace(self.request, workload=Workload(row.timed_prompt_tokens, 1, 1))
            tables = build_tables(alone, costs, streams=False)
            found["prompt"] = row.timed_prompt_tokens / ttft_s(tables, self.spans)
        return found

    @property
    def measured(self) -> dict[str, float]:
        """The measured figures, by the names of `predict`."""
        figures = {"generation": self.row.tokens_per_s, "prompt": self.row.prompt_tokens_per_s}
        return {name: value for name, value in figures.items() if value is not None}


def read_measurements(path: str | Path) -> list[Case]:
    """Read a CSV of measurements.

    Parameters
    ----------
    path : str or Path
        The first line names the columns: the fields of `Measurement`.

    Returns
    -------
    list of Case

    Raises
    ------
    InputError
        One line: file, line, column, and what was expected.
    """
    return [case_of(row, f"{path}: line {number}") for number, row in enumerate(read_rows(path), 2)]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a CSV file as mappings from its first line's names, at least one; the file is in errors."""
    try:
        table = csv.DictReader(read_text(path).splitlines())
        ensure_different(table.fieldnames or (), str(path), "column")
        rows = list(table)
    except csv.Error as error:
        raise InputError(f"expected a CSV file ({error})", str(path)) from None
    if not rows:
        raise InputError("expected a line of column names and at least one measurement", str(path))
    for number, row in enumerate(rows, 2):
        if None in row:  # where DictReader keeps what has no name
            raise InputError(f"expected {len(row) - 1} columns, got more", f"{path}: line {number}")
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def case_of(data: Mapping[str, Any], where: str) -> Case:
    """Return one row as a case; `where` is the place for error messages."""
    row = parse(Measurement, dict(data), where)
    try:
        request = _question(row.cluster, row.model, row.weights, row.runtime)
    except InputError as error:
        raise error.under(where) from None
    return case_in(row, request, where)


def case_in(row: Measurement, request: Request, where: str) -> Case:
    """Return a row whose question is given; `where` is the place for error messages."""
    try:
        return Case(row, request, _spans(row.split, request), runtime_costs(runtime_at(row.runtime, row.date)))
    except InputError as error:
        raise error.under(where) from None


@lru_cache(maxsize=512)
def _question(cluster: str, model: str, weights: str, runtime: str) -> Request:
    try:
        data = load_yaml(cluster)
    except InputError as error:
        raise error.under("cluster") from None
    if not isinstance(data, dict):
        raise InputError("expected YAML on one line, such as {nodes: [{name: gpu, device: rtx-3090}]}", "cluster")
    return read_request({**data, "model": model, "quantization": stored_format(runtime, weights)})


def _spans(text: str, request: Request) -> tuple[Span, ...]:
    try:
        placed = parse_spans(text)
        found = [Span(request.cluster.index(span.node), span.start, span.stop) for span in placed]
    except InputError as error:
        raise InputError(error.detail, "split") from None
    ends = [0, *(span.stop for span in found)]
    if [span.start for span in found] != ends[:-1] or ends[-1] != request.model.n_blocks:
        raise InputError(f"expected spans from block 0 to {request.model.n_blocks} without a gap", "split")
    return tuple(found)


def sources(cases: Iterable[Case]) -> list[str]:
    """Sources of the cases, each once, in order."""
    return list(dict.fromkeys(case.row.source for case in cases))


def without(cases: Sequence[Case], source: str) -> list[Case]:
    """The cases of all other sources."""
    return [case for case in cases if case.row.source != source]
