"""Quantities: what is read, what is refused, and that the reader is fast and evaluates nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.readers import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.size, "24 GiB", 24 * 2**30),
        (units.size, "24GB", 24e9),
        (units.size, "500 MiB", 500 * 2**20),
        (units.size, "3 TB", 3e12),
        (units.size, "8 bit", 1.0),
        (units.size_or_zero, "16 KiB", 16384.0),
        (units.size_or_zero, 0, 0.0),
        (units.bandwidth, "10 Gbit/s", 1.25e9),
        (units.bandwidth, "10 Gbps", 1.25e9),
        (units.bandwidth, "200 Mbit/s", 25e6),
        (units.memory_bandwidth, "600 GB/s", 600e9),
        (units.duration, "12 ms", 0.012),
        (units.duration, "20 us", 20e-6),
        (units.duration, "20 µs", 20e-6),
        (units.duration, "2 s", 2.0),
        (units.duration, "1.5 min", 90.0),
        (units.duration_or_zero, "0 ms", 0.0),
        (units.seconds, 0.011, 0.011),
        (units.seconds, "11 ms", 0.011),
        (units.compute, "40 TFLOP/s", 40e12),
        (units.compute, "40 TFLOPS", 40e12),
        (units.compute, "1.2e3 GFLOP / s", 1.2e12),
        (units.operations_or_zero, "0.9 GFLOP", 0.9e9),
        (units.price_per_hour, "0.40 $/h", 0.40),
        (units.price_per_hour, "730 USD/month", 1.0),
        (units.power, "300 W", 300.0),
        (units.power, "1.2 kW", 1200.0),
        (units.token_rate, "50 tokens/s", 50.0),
        (units.energy_per_token, "5 J/token", 5.0),
    ],
)
def test_reads_what_people_write(parse: units.Quantity, text: object, value: float) -> None:
    """Every unit of the cluster file gives base units."""
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("parse", "value", "fragment"),
    [
        (units.size, "24 GBps", "expected a size such as '24 GiB', got '24 GBps'"),
        (units.size, "24 GB/s", "got '24 GB/s'"),
        (units.size, "24", "write the unit"),
        (units.size, 24, "write the unit"),
        (units.size, "24 Gb", "'bit' for bits"),
        (units.size, "24 gb", "case-sensitive"),
        (units.size, "24 mB", "got '24 mB'"),
        (units.size, "24 kkB", "got '24 kkB'"),
        (units.size, "1,5 GiB", "with a point"),
        (units.size, "-4 GiB", "above zero"),
        (units.size, -4, "above zero"),
        (units.size, "0 GiB", "above zero"),
        (units.size, math.nan, "not a sensible number"),
        (units.size, math.inf, "not a sensible number"),
        (units.size, "nan GiB", "got 'nan GiB'"),
        (units.size, "1e99 GiB", "not a sensible number"),
        (units.size, "2e9 GiB", "not a sensible number"),
        (units.size, None, "got None"),
        (units.size, True, "got True"),
        (units.size, [1], "got [1]"),
        (units.size, "9**9**9 B", "got '9**9**9 B'"),
        (units.size, "(1) GiB", "got '(1) GiB'"),
        (units.size, "__import__('os') B", "expected a size"),
        (units.size, "1 GiB/s/s", "expected a size"),
        (units.size, "1 meter", "got '1 meter'"),
        (units.bandwidth, "10 Gbit", "expected a bandwidth such as '10 Gbit/s', got '10 Gbit'"),
        (units.bandwidth, 1e9, "write the unit"),
        (units.duration, "12 m", "got '12 m'"),
        (units.duration, "12 MS", "got '12 MS'"),
        (units.seconds, "fast", "got 'fast'"),
        (units.seconds, -1, "above zero"),
        (units.compute, "40 TFLOP", "got '40 TFLOP'"),
        (units.price_per_hour, "$0.40/h", "expected a price such as '0.40 $/h'"),
        (units.power, "300 Wh", "got '300 Wh'"),
    ],
)
def test_refuses_with_one_line(parse: units.Quantity, value: object, fragment: str) -> None:
    """A wrong unit or number is one clear line that shows a right one and what was found."""
    with pytest.raises(ValueError, match="expected") as caught:
        parse(value)
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.floats(min_value=1e-6, max_value=1e5), st.sampled_from(["B", "kB", "KiB", "MiB", "GiB", "GB", "TiB"]))
def test_sizes_round_trip(number: float, unit: str) -> None:
    """A size divided by its unit is the number that was written."""
    one = units.size(f"1 {unit}")
    assert units.size(f"{number:.12f} {unit}") == pytest.approx(number * one, rel=1e-5, abs=1e-12 * one)


@given(st.floats(min_value=1e-20, max_value=1e18, allow_nan=False))
def test_base_units_are_the_identity(number: float) -> None:
    """What `repr` writes in the base unit comes back as it was."""
    assert units.size(f"{number!r} B") == number


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text gives anything but a positive finite number or a one-line ValueError."""
    value, message = 1.0, ""
    try:
        value = units.size(text)
    except ValueError as error:
        message = str(error)
    assert 0 < value < 1e31
    assert "\n" not in message


def test_decimal_fractions_are_exact() -> None:
    """18 ms is the number 0.018, not its neighbour."""
    assert units.duration("18 ms") == 0.018
    assert units.duration("12 us") == 12e-6
    assert units.bandwidth("3 Gbit/s") == 375e6


def test_factors_are_remembered() -> None:
    """A unit is looked up once, however many quantities have it, so that big files are read in no time."""
    units._factor.cache_clear()
    for number in range(1, 1_001):
        units.size(f"{number} GiB")
    assert units._factor.cache_info().misses == 1
