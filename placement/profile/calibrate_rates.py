"""`placement calibrate` on rates: what a few measured rates say about the machines of a cluster file.

Unknowns are one factor each for the bandwidth and the compute of all devices of one kind, and for what a pass takes
once on them, hop included. Few runs decide little: every factor is drawn to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from ..costs.rates import efficiencies, pass_overhead_s
from ..costs.runtimes import GENERIC, RuntimeCosts
from ..errors import InputError, shown
from ..files import read_document
from ..files.entries import parse
from ..question.cluster import Cluster, Node
from ..question.request import Request
from .bench_outputs import Row, read_outputs
from .measurements import Case, Measurement, case_in, read_rows

FloatArray = npt.NDArray[np.float64]
LOSS_SCALE, PRIOR_SCALE = 0.1, 1.0
LEAST_PASS_S = 20e-6


@dataclass(frozen=True, slots=True)
class RateCalibration:
    """A calibrated cluster.

    Attributes
    ----------
    cluster : Cluster
        With efficiencies and overheads of its own.
    factors : mapping of str to tuple of float
        By node: what its bandwidth, its compute and its time per pass were multiplied with.
    before, after : tuple of float
        Relative error of every rate: as the cluster was, and with the corrections.
    """

    cluster: Cluster
    factors: Mapping[str, tuple[float, float, float]]
    before: tuple[float, ...]
    after: tuple[float, ...]


def read_rates(path: str | Path, request: Request, split: str = "") -> list[Case]:
    """Read a CSV of measurements or a benchmark's output, on the cluster of a request.

    Parameters
    ----------
    path : str or Path
        Columns that a row leaves empty are the request's (cluster, model, weights, runtime); an empty split is the
        whole model on the only node, or `split`.
    request : Request
    split : str
        node=start:stop, comma between.

    Raises
    ------
    InputError
        One line: file, line, column, and what was expected.
    """
    rows: list[Row] = read_rows(path) if Path(path).suffix.lower() == ".csv" else read_outputs(path)
    return [_case(row, request, split, f"{path}: line {number}") for number, row in enumerate(rows, 2)]


def _case(row: Row, request: Request, split: str, where: str) -> Case:
    nodes = request.cluster.nodes
    whole = f"{nodes[0].name}=0:{request.model.n_blocks}" if len(nodes) == 1 else ""
    usual = {
        "id": where,
        "source": "own",
        "runtime": request.runtime or request.costs or GENERIC,
        "split": split or whole,
        "cluster": "own",
        "model": request.model.name,
        "weights": request.model.weights,
    }
    given = {key: value for key, value in row.items() if key and value not in ("", None)}
    for key in ("cluster", "model", "weights"):
        if key in given and given[key] != usual[key]:
            found = f"expected nothing (what the cluster file says), got {shown(given[key])}"
            raise InputError(found, f"{where}.{key}")
    entry = parse(Measurement, usual | given, where)
    if not entry.split:
        raise InputError("expected a split, node=start:stop: the cluster has several nodes", f"{where}.split")
    return case_in(entry, request, where)


def calibrate_rates(request: Request, cases: Sequence[Case]) -> RateCalibration:
    """Correct the nodes and links of a request by measured rates.

    Parameters
    ----------
    request : Request
    cases : sequence of Case
        From `read_rates`.

    Returns
    -------
    RateCalibration

    Raises
    ------
    InputError
        scipy is not installed, or a node that was used has measured tables, which need no correction.
    """
    system = System(cases)
    x = system.solve()
    factors = {node.name: system.factors(x, node) for node in request.cluster.nodes if _figures(node) in system.kinds}
    cluster = system.corrected(x, request, cases[0].costs).cluster
    return RateCalibration(cluster, factors, system.errors(np.zeros(system.size)), system.errors(x))


class System:
    """Rates as a function of the logarithms of the factors: bandwidth, compute and pass of every kind of node.

    The cases may be of several questions (models, splits) on machines of the same kinds.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        used = [case.request.cluster.nodes[span.node] for case in cases for span in case.spans]
        for node in used:
            if node.decode_table or node.decode_s_per_block:
                why = "has measured tables: calibrate them by runs of `placement run`"
                raise InputError(why, f"node {node.name}")
        self.kinds = {kind: number for number, kind in enumerate(dict.fromkeys(_figures(node) for node in used))}
        self.size = 3 * len(self.kinds)

    def solve(self) -> FloatArray:
        """The logarithms of the factors, (3 * kinds,)."""
        try:
            from scipy.optimize import least_squares
        except ImportError:
            raise InputError("fitting needs scipy: pip install 'llm-placement[bench]'") from None
        first = np.zeros(self.size)
        return np.asarray(
            least_squares(self.residuals, first, bounds=(-3.0, 3.0), loss="soft_l1", f_scale=LOSS_SCALE).x
        )

    def factors(self, x: FloatArray, node: Node) -> tuple[float, float, float]:
        """Factors of bandwidth, compute and pass of a node."""
        bandwidth, compute, once = np.exp(x[3 * self.kinds[_figures(node)] :][:3]).tolist()
        return bandwidth, compute, once

    def corrected(self, x: FloatArray, request: Request, costs: RuntimeCosts) -> Request:
        """The question with the corrections in its nodes."""
        nodes = tuple(
            corrected(node, request, costs, self.factors(x, node)) if _figures(node) in self.kinds else node
            for node in request.cluster.nodes
        )
        return replace(request, cluster=replace(request.cluster, nodes=nodes))

    def errors(self, x: FloatArray) -> tuple[float, ...]:
        """Relative errors of all rates."""
        return tuple(abs(math.exp(value) - 1.0) for value in self.logs(x))

    def logs(self, x: FloatArray) -> list[float]:
        """Logarithms of predicted over measured rates."""
        found = []
        for case in self.cases:
            predicted = replace(case, request=self.corrected(x, case.request, case.costs)).predict()
            found += [math.log(predicted[name] / value) for name, value in case.measured.items()]
        return found

    def residuals(self, x: FloatArray) -> FloatArray:
        """What least squares minimise: errors, and the pull of every unknown to 0."""
        return np.array([*self.logs(x), *(LOSS_SCALE * x / PRIOR_SCALE)])


def _figures(node: Node) -> tuple[object, ...]:
    """What makes two nodes of one kind: their entry of the file, and the figures of their device."""
    rates = tuple(sorted(node.compute_flops_per_s.items()))
    entry = node.name.rpartition("-")[0] or node.name
    return (
        entry,
        node.device,
        node.memory_bandwidth_bytes_per_s,
        rates,
        node.bandwidth_efficiency,
        node.compute_efficiency,
        node.overhead_s,
        node.pass_overhead_s,
    )


def corrected(node: Node, request: Request, costs: RuntimeCosts, factors: tuple[float, float, float]) -> Node:
    """Return the node with efficiencies of its own: those that it has under the runtime, times the factors.

    Parameters
    ----------
    node : Node
    request : Request
        Its model's number format decides which compute counts.
    costs : RuntimeCosts
    factors : tuple of float
        Of bandwidth, compute and pass. An efficiency ends at 1.

    Returns
    -------
    Node
    """
    bandwidth, compute, overhead_s = efficiencies(node, request.model, costs)
    once = node.pass_overhead_s or pass_overhead_s(node, costs) + max(costs.hops.within_s, costs.hops.between_s)
    return replace(
        node,
        bandwidth_efficiency=min(1.0, bandwidth * factors[0]),
        compute_efficiency=min(1.0, compute * factors[1]),
        overhead_s=overhead_s,
        pass_overhead_s=max(once, LEAST_PASS_S) * factors[2],
    )


def rates_yaml(path: str | Path, result: RateCalibration) -> str:
    """Return the cluster file with the corrections; nodes of one entry get those of the first of them that ran."""
    document = read_document(path)
    nodes = {node.name: node for node in result.cluster.nodes}
    for entry in document["nodes"]:
        names = [name for name in nodes if name == entry["name"] or name.rpartition("-")[0] == entry["name"]]
        ran = [name for name in names if name in result.factors]
        if ran:
            node = nodes[ran[0]]
            entry["efficiency"] = {
                "compute": round(node.compute_efficiency, 4),
                "bandwidth": round(node.bandwidth_efficiency, 4),
            }
            entry["overhead"] = f"{node.overhead_s * 1e6:.6g} us"
            entry["pass_overhead"] = f"{node.pass_overhead_s * 1e6:.6g} us"
    before, after = (float(np.median(errors)) for errors in (result.before, result.after))
    head = f"# calibrated on {len(result.before)} rates: median error {before:.1%} before, {after:.1%} after\n"
    return head + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120)
