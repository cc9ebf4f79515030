"""The catalog of devices and links: complete, sourced, plausible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.catalog import hardware
from placement.catalog.instances import Instance, instance, instances
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


PRINTED = {
    "NVIDIA GeForce RTX 3090": "rtx-3090",
    "NVIDIA A100-SXM4-80GB": "a100-80gb-sxm",
    "NVIDIA A100-PCIE-40GB": "a100-40gb-pcie",
    "NVIDIA A100 80GB PCIe": "a100-80gb-pcie",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA A800-SXM4-80GB": "a800-80gb-sxm",
    "Tesla V100-SXM2-32GB": "v100-32gb",
    "Tesla T4": "t4",
    "nvidia-tesla-t4": "t4",
    "nvidia-tesla-a100": "a100-40gb-sxm",
    "nvidia-l4": "l4",
    "NVIDIA A10G": "a10g",
    "NVIDIA RTX 6000 Ada Generation": "rtx-6000-ada",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "rtx-pro-6000",
    "NVIDIA GeForce RTX 3060 Laptop GPU": "rtx-3060-laptop",
    "NVIDIA GB10": "dgx-spark",
    "AMD Instinct MI300X": "mi300x",
    "AMD Radeon AI PRO R9700": "radeon-ai-pro-r9700",
    "Intel(R) Arc(TM) A770 Graphics": "arc-a770-16gb",
    "Intel Arc Pro B60": "arc-pro-b60",
    "Apple M4 Pro": "m4-pro-64gb",
    "AMD EPYC 7742 64-Core Processor": "epyc-rome-8ch-256gb",
    "Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz": "xeon-ice-lake-8ch-256gb",
}


@pytest.mark.parametrize(("printed", "name"), PRINTED.items())
def test_names_as_drivers_and_clouds_print_them(printed: str, name: str) -> None:
    """What nvidia-smi, lscpu, vendors and node labels print names the device."""
    assert hardware.device(printed).name == name


REPORTED = (
    "a800 h20 l20 b300 gb200 gb300 gtx-1080 gtx-1660 rtx-2070 rtx-4090-laptop rtx-4000-ada rtx-5000-ada mi50 rx-6700-xt"
    " rx-6800-xt rx-9070 r9700 radeon-780m iris-xe arc-pro-b50 m5 m5-max intel-n100 raspberry-pi-4 ampereone xeon-e5-v4"
    " epyc-rome-8ch"
)


@pytest.mark.parametrize("name", REPORTED.split())
def test_devices_that_people_report(name: str) -> None:
    """Devices of reports that the first catalog lacked."""
    assert hardware.device(name).memory_bandwidth_bytes_per_s > 0


@pytest.mark.parametrize("name", ["TPU v5e", "NVIDIA Graphics Device", "AMD EPYC 7251", "pi"])
def test_a_wrong_device_is_worse_than_no_hint(name: str) -> None:
    """Nothing is proposed that only shares letters with what was written."""
    with pytest.raises(InputError) as caught:
        hardware.device(name)
    assert "did you mean" not in str(caught.value)


def test_a_stated_size_must_be_that_of_the_device() -> None:
    """A100 cards of 96 GB do not exist: the size is not ignored."""
    assert hardware.device("NVIDIA H200 141GB") is hardware.device("h200")
    with pytest.raises(InputError, match="no device"):
        hardware.device("NVIDIA A100-PCIE-96GB")


def test_the_transfer_rate_of_a_processor_is_a_parameter() -> None:
    """`@2666` after a processor states the transfer rate in MT/s, `x4` the channels that are filled."""
    known = hardware.device("epyc-rome-8ch")
    slower = hardware.device("epyc-rome-8ch@2666")
    assert slower.memory_bandwidth_bytes_per_s == 8 * 8 * 2666e6
    assert slower.compute_flops_per_s == known.compute_flops_per_s
    assert hardware.device("EPYC-Rome-8ch@DDR4-3200x4").memory_bandwidth_bytes_per_s == 4 * 8 * 3200e6
    assert hardware.device("cpu-ddr5-2ch-96gb@6400").memory_bytes == 96 * 2**30
    for wrong in ("epyc-rome-8ch@9", "epyc-rome-8ch@99999x99", "rtx-4090@2666"):
        with pytest.raises(InputError):
            hardware.device(wrong)


@pytest.mark.parametrize("entry", instances().values(), ids=lambda entry: entry.name)
def test_instances_are_of_known_devices(entry: Instance) -> None:
    """Every instance type names a device and a link of the catalog, and costs about what its devices rent for."""
    device = hardware.device(entry.device)
    assert hardware.link(entry.interconnect).bandwidth_bytes_per_s > 0
    assert entry.count in (1, 2, 4, 8)
    assert entry.price_per_hour < 10 * entry.count * max(device.price_per_hour, 0.5)


def test_instance_names_are_forgiving() -> None:
    """SageMaker's `ml.` and Azure's `Standard_` may stand before the name or not."""
    assert instance("ml.g5.12xlarge") is instance("G5.12xlarge") is not None
    assert instance("Standard_ND96amsr_A100_v4") is instance("nd96amsr-a100-v4") is not None
    assert instance("rtx-4090") is None


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


@given(name=st.text(max_size=60) | st.from_regex(r"[a-zA-Z0-9 @._()-]{1,40}", fullmatch=True))
def test_any_name_is_found_or_refused_in_one_line(name: str) -> None:
    """Whatever is written as a device: an entry of the catalog, or one line."""
    message = ""
    try:
        assert hardware.device(name).memory_bytes > 0
    except InputError as error:
        message = str(error)
    assert len(message) < 300
