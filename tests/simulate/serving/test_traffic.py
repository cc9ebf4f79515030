"""Generators: their moments are those that they state, and the same seed gives the same requests."""

from __future__ import annotations

import numpy as np
import pytest

from placement.errors import InputError
from placement.simulate.traffic import LENGTHS, Arrivals, Prefixes, lengths_named, make_requests, paired_lengths

PUBLISHED = {"sharegpt": (161, 338), "alpaca": (19.31, 58.45), "chat": (1155, 211), "code": (2048, 28)}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_have_their_moments(name: str) -> None:
    """Mean and standard deviation of 200,000 draws are the stated ones within five standard errors."""
    rng = np.random.default_rng(0)
    for _, lengths in LENGTHS[name]:
        for law in (lengths.prompt, lengths.output):
            drawn = law.draw(rng, 200_000)
            mean, deviation = law.moments()
            assert drawn.mean() == pytest.approx(mean, abs=5.0 * deviation / 200_000**0.5 + 1e-9)
            assert drawn.std() == pytest.approx(deviation, rel=0.05)
            assert drawn.min() >= law.least
            assert drawn.max() <= law.most


@pytest.mark.parametrize("name", PUBLISHED)
def test_means_are_the_published_ones(name: str) -> None:
    """Within 2% of the means that the papers report."""
    ((_, lengths),) = LENGTHS[name]
    found = (lengths.prompt.moments()[0], lengths.output.moments()[0])
    assert found == pytest.approx(PUBLISHED[name], rel=0.02)


@pytest.mark.parametrize("burstiness", [0.5, 1.0, 3.0])
def test_gaps_vary_as_asked(burstiness: float) -> None:
    """Mean gap and coefficient of variation of a gamma stream."""
    times = Arrivals(4.0, burstiness).draw(np.random.default_rng(1), 100_000)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.25, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(burstiness, rel=0.05)
    assert (gaps >= 0).all()


def test_a_day_swings() -> None:
    """With a swing of 0.8 noon has nine times the requests of midnight, and a whole day the mean rate."""
    times = Arrivals(2.0, swing=0.8).until(np.random.default_rng(2), 86400.0)
    hours = np.histogram(times, 24, (0.0, 86400.0))[0]
    assert len(times) == pytest.approx(2.0 * 86400.0, rel=0.02)
    assert hours[11:13].sum() / (hours[0] + hours[23]) == pytest.approx(1.8 / 0.2, rel=0.15)


def test_questions_come_again() -> None:
    """Ten groups of three questions: thirty prompts in turn, the same pieces each time."""
    rng = np.random.default_rng(3)
    found = make_requests(np.arange(60.0), lengths_named("chat"), rng, prefixes=Prefixes(100, 10, 3))
    assert found.shared is not None
    assert found.prompt_tokens[:30].tolist() == found.prompt_tokens[30:].tolist()
    assert found.shared.of(4) == found.shared.of(34)
    assert found.shared.of(0)[0][0] == found.shared.of(1)[0][0] != found.shared.of(3)[0][0]


def test_the_same_seed_gives_the_same_requests() -> None:
    """And another one others."""
    made = [
        make_requests(Arrivals(3.0).draw(rng, 50), lengths_named("long"), rng)
        for rng in map(np.random.default_rng, (1, 1, 2))
    ]
    assert made[0].prompt_tokens.tolist() == made[1].prompt_tokens.tolist() != made[2].prompt_tokens.tolist()
    assert made[0].arrival_s.tolist() == made[1].arrival_s.tolist()


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_above_zero(rate: float) -> None:
    """Zero is refused."""
    with pytest.raises(InputError, match="rate: expected requests/s above 0"):
        Arrivals(rate)


@pytest.mark.parametrize("product", [0.75, 1.0, 1.155, 1.25])
def test_paired_lengths_have_their_means_and_their_product(product: float) -> None:
    """Whole tokens; the mean product is within 1% of what was asked for, and the seed alone decides."""
    prompts, outputs = paired_lengths(763.0, 232.0, product)
    assert prompts.mean() == pytest.approx(763.0, rel=1e-3)
    assert outputs.mean() == pytest.approx(232.0, rel=1e-3)
    assert (prompts * outputs).mean() == pytest.approx(product * 763.0 * 232.0, rel=0.01)
    assert prompts.min() >= 1
    assert (prompts == np.rint(prompts)).all()
    assert (paired_lengths(763.0, 232.0, product)[1] == outputs).all()
    assert (paired_lengths(763.0, 232.0, product, seed=1)[0] != prompts).any()


def test_lengths_that_no_pairs_have_are_refused() -> None:
    """Prompts and outputs cannot depend on each other as strongly as that."""
    with pytest.raises(ValueError, match=r"Expected a product from 0\.75 to 1\.25, got 2\.0"):
        paired_lengths(763.0, 232.0, 2.0)
