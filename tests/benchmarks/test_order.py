"""The order of machines within a model: what is a pair, what is a repeat, and the ceiling that repeats set."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fidelity.order import ceiling, pairs_within_models, repeats, tau_within_models, wrong_pairs
from placement.profile.measurements import case_of
from placement.profile.rates_errors import Residual


def row(name: str, device: str, measured: float, predicted: float, **changes: object) -> Residual:
    """Llama 8B on one device."""
    data = {
        "id": name,
        "source": name,
        "date": "2026-09",
        "runtime": "llama.cpp",
        "cluster": f"{{nodes: [{{name: {name}, device: {device}}}]}}",
        "model": "llama-3.1-8b",
        "weights": "q4_k_m",
        "split": f"{name}=0:34",
        "tokens_per_s": measured,
        **changes,
    }
    return Residual(case_of(data, name), "generation", measured, predicted)


FAST, SLOW = row("a", "rtx-4090", 150.0, 140.0), row("b", "rtx-3060-12gb", 60.0, 70.0)
AGAIN = row("c", "rtx-4090", 120.0, 140.0)
DEVICES = ("rtx-3060-12gb", "rtx-4070", "rtx-4080", "rtx-3090", "rtx-4090")
RATES = (60.0, 80.0, 85.0, 90.0, 150.0)


def test_the_same_machine_twice_is_a_repeat() -> None:
    """Two people's figures of one machine and release are no pair; under another release they are."""
    assert pairs_within_models([FAST, AGAIN]) == []
    assert repeats([FAST, AGAIN, SLOW]) == pytest.approx([np.log(150 / 120)])
    older = row("d", "rtx-4090", 120.0, 130.0, date="2024-01")
    assert pairs_within_models([FAST, older]) == [(FAST, older)]
    assert not len(repeats([FAST, older]))


def test_tau_counts_ties_as_half() -> None:
    """1 in order, -1 the other way round, 0 where both are predicted alike."""
    assert tau_within_models([FAST, SLOW]) == 1.0
    assert tau_within_models([FAST, row("b", "rtx-3060-12gb", 60.0, 140.0)]) == 0.0
    upside = [FAST, row("b", "rtx-3060-12gb", 60.0, 141.0)]
    assert tau_within_models(upside) == -1.0
    assert list(wrong_pairs(upside)) == ["generation: a 150 (predicted 140) > b 60 (predicted 141), measured x2.50"]
    assert np.isnan(tau_within_models([FAST, SLOW], apart=3.0))


def test_the_ceiling_falls_with_the_noise() -> None:
    """Without noise a perfect predictor has tau 1; with more of it, less; and the seed decides."""
    rows = [row(f"n{k}", device, rate, 1.0) for k, (device, rate) in enumerate(zip(DEVICES, RATES, strict=True))]
    found = [float(ceiling(rows, np.array([noise]), np.random.default_rng(3)).mean()) for noise in (0.0, 0.1, 0.5)]
    assert found[0] == 1.0
    assert found[0] > found[1] > found[2] > 0.0
    assert found[1] == float(ceiling(rows, np.array([0.1]), np.random.default_rng(3)).mean())
