"""Cases of which a few are run each time and the rest with the slow tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def some_quick(cases: Sequence[Any], quick: int) -> list[Any]:
    """The cases of a parametrized test, all but the first ones marked slow.

    Parameters
    ----------
    cases : sequence
    quick : int
        How many are run by default.
    """
    return [*cases[:quick], *(pytest.param(case, marks=pytest.mark.slow) for case in cases[quick:])]
