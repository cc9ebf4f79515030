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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rest of the contract's examples as slow, before marks are chosen by."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        example = parameters.params.get("example") if parameters is not None else None
        if "test_solver_contract" in item.nodeid and example not in QUICK:
            item.add_marker(pytest.mark.slow)
