"""The catalog of devices and links: complete, sourced, plausible."""

from __future__ import annotations

import pytest

from placement.catalog import hardware
from placement.errors import InputError

EXPECTED = [
    "a100-40gb-pcie",
    "a100-40gb-sxm",
    "a100-80gb-pcie",
    "a100-80gb-sxm",
    "h100-pcie",
    "h100-sxm",
    "h200",
    "b200",
    "l4",
    "l40s",
    "a10g",
    "a30",
    "a40",
    "t4",
    "v100-16gb",
    "v100-32gb",
    "p100",
    "mi210",
    "mi250",
    "mi300x",
    "gaudi-2",
    "rtx-6000-ada",
    "rtx-a6000",
    "rtx-3060-12gb",
    "rtx-3090",
    "rtx-4090",
    "rtx-5090",
    "rx-7900-xtx",
    "m1",
    "m2-ultra-192gb",
    "m3-max-128gb",
    "m4-max-128gb",
    "ddr4-2ch",
    "ddr5-2ch",
    "epyc-8ch",
    "epyc-12ch",
    "xeon-8ch",
    "threadripper",
    "raspberry-pi-5",
    "jetson-orin",
]


def test_catalog_is_large_enough() -> None:
    """At least 48 kinds of devices (memory options not counted), 30 link types and 15 region pairs."""
    kinds = {device.source for device in hardware.devices().values()}
    wan = [name for name in hardware.links() if name.startswith("wan-")]
    assert len(kinds) >= 48
    assert len(wan) >= 15
    assert len(hardware.links()) - len(wan) >= 25


@pytest.mark.parametrize("name", EXPECTED)
def test_known_devices(name: str) -> None:
    """The devices that people ask for first are there, under their usual names."""
    assert hardware.device(name).memory_bytes > 0


@pytest.mark.parametrize("device", hardware.devices().values(), ids=lambda device: device.name)
def test_figures_are_plausible_and_sourced(device: hardware.Device) -> None:
    """Every figure lies in the range of its kind, and says where it is from."""
    assert 2 * 2**30 <= device.memory_bytes <= 2048 * 2**30
    assert 10e9 <= device.memory_bandwidth_bytes_per_s <= 10e12
    assert 0 <= device.reserve_bytes < device.memory_bytes / 2
    assert device.compute_flops_per_s
    assert all(1e10 <= rate <= 1e16 for rate in device.compute_flops_per_s.values())
    assert 0.2 <= device.compute_efficiency <= 0.9
    assert 0.4 <= device.bandwidth_efficiency <= 0.9
    assert 1e-6 <= device.overhead_s <= 1e-3
    assert 5 <= device.power_w <= 1500
    assert 0 <= device.price_per_hour <= 20
    assert bool(device.rent) == (device.price_per_hour > 0)
    assert any(year in device.source for year in map(str, range(2010, 2027))) or "JEDEC" in device.source
    assert hardware.link(device.interconnect).bandwidth_bytes_per_s > 0


def test_names_and_aliases_are_unique() -> None:
    """One name means one device, one link type."""
    for catalog in (hardware.devices(), hardware.links()):
        names = [name for entry in catalog.values() for name in (entry.name, *entry.aliases)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("link", hardware.links().values(), ids=lambda link: link.name)
def test_links_are_plausible(link: hardware.LinkType) -> None:
    """Bandwidth and latency are in the range of real links, each with its source."""
    assert 1e6 <= link.bandwidth_bytes_per_s <= 1e12
    assert 1e-6 <= link.latency_s <= 0.5
    assert len(link.source) > 10


def test_a_wide_area_link_works_in_both_orders() -> None:
    """The order of two regions does not matter; latency is half of the round trip."""
    assert hardware.link("wan-us-east-1-eu-west-1") is hardware.link("wan-eu-west-1-us-east-1")
    assert hardware.link("wan-us-east-1-eu-west-1").latency_s == pytest.approx(0.0335)


def test_unknown_names_give_the_nearest() -> None:
    """A misspelt device or link is one line with the nearest name."""
    with pytest.raises(InputError, match=r"no device 'rtx-4091'; did you mean 'rtx-4090'\?"):
        hardware.device("rtx-4091")
    with pytest.raises(InputError, match=r"no link type 'nvlink-9'; did you mean"):
        hardware.link("nvlink-9")
    assert hardware.device("RTX 4090") is hardware.device("rtx_4090")


def test_unified_memory_keeps_a_quarter() -> None:
    """Apple parts reserve the share that the system does not give to the GPU."""
    device = hardware.device("m2-ultra-192gb")
    assert device.reserve_bytes == pytest.approx(device.memory_bytes / 4)
    assert hardware.device("m2-ultra") is device
