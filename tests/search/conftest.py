"""Which examples of the contract every solver keeps each time; the others are kept with the slow tests."""

from __future__ import annotations

import pytest

QUICK = {
    "three nodes",
    "tied embeddings",
    "forbidden cuts",
    "pinned",
    "throughput",
    "mix with a limit",
    "custom",
    "replicated, flow",
    "replicated, two holders",
    "sessions, response",
    "routes, latency",
}
LOOPS = {"genetic", "tabu", "pso", "tempering"}
"""Searches whose loops numba compiles for each kind, like annealing's: that one is tried on all kinds each time."""
OTHER_KINDS = ("replicated", "sessions", "routes", "custom")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rest of the contract's examples as slow, before marks are chosen by."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters is None or "test_solver_contract" not in item.nodeid:
            continue
        example, name = parameters.params["example"], parameters.params["name"]
        in_python = example == "custom" and name != "annealing"
        if example not in QUICK or in_python or (name in LOOPS and example.startswith(OTHER_KINDS)):
            item.add_marker(pytest.mark.slow)
