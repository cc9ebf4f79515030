"""Emulated hosts in network namespaces of Linux: their links are shaped by the kernel, a class for every pair.

Bandwidth is shaped by htb on the sender's side. Delays stay inside the transport: many kernels lack netem, and a delay
that is added to a message is exact, while a relay in user space stretches on a loaded machine. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import PlacementError
from ..question.cluster import CLIENT, Cluster
from .job import Emulation

HOW = "namespaces (bandwidth shaped by the kernel, delays inside the transport)"
FASTEST = 10e9 / 8
"""Bytes/s above which a link is not shaped."""


@dataclass(frozen=True, slots=True)
class Network:
    """Namespaces that exist now.

    Attributes
    ----------
    namespaces : mapping of str to str
        Place to namespace.
    addresses : mapping of str to str
        Place to the address of its host.
    emulation : Emulation
        What is left for the transport: the delays, and slow nodes.
    """

    namespaces: Mapping[str, str]
    addresses: Mapping[str, str]
    emulation: Emulation


def available() -> bool:
    """True where namespaces can be made: Linux, root, iproute2, and a kernel that lets us."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    if not all(shutil.which(tool) for tool in ("ip", "tc")):
        return False
    name = f"pl{os.getpid() % 10000}x"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=10, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10, check=False)
    return made.returncode == 0


@contextlib.contextmanager
def network(cluster: Cluster, slow: Mapping[str, float] | None = None) -> Iterator[Network]:
    """Make a namespace for every node and the client, all on one bridge; remove them when leaving.

    Parameters
    ----------
    cluster : Cluster
        Its links are emulated.
    slow : mapping of str to float, optional
        Factors for the blocks of nodes.
    """
    places = (*cluster.names, CLIENT)
    mark = f"pl{os.getpid() % 10000}"
    names = {place: f"{mark}n{k}" for k, place in enumerate(places)}
    subnet = f"10.{77 + os.getpid() % 100}.0"
    addresses = {place: f"{subnet}.{k + 2}" for k, place in enumerate(places)}
    plain = Emulation.of(cluster, slow)
    delays = {pair: (latency_s, 0.0) for pair, (latency_s, _) in plain.links.items()}
    try:
        _do("ip", "link", "add", f"{mark}br", "type", "bridge")
        _do("ip", "link", "set", f"{mark}br", "up")
        for k, place in enumerate(places):
            _host(names[place], f"{mark}v{k}", f"{mark}br", addresses[place])
            _shape(names[place], place, places, addresses, plain)
        yield Network(names, addresses, Emulation(delays, dict(slow or {}), HOW))
    finally:
        for name in names.values():
            _do("ip", "netns", "del", name, check=False)
        _do("ip", "link", "del", f"{mark}br", check=False)


def _host(namespace: str, veth: str, bridge: str, address: str) -> None:
    _do("ip", "netns", "add", namespace)
    _do("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _do("ip", "link", "set", veth, "master", bridge, "up")
    inside = ("ip", "-n", namespace)
    _do(*inside, "link", "set", "lo", "up")
    _do(*inside, "addr", "add", f"{address}/24", "dev", "eth0")
    # Packets of wire size: a shaper that counts 64 KB packets is not even.
    _do(*inside, "link", "set", "dev", "eth0", "gso_max_segs", "1")
    _do(*inside, "link", "set", "eth0", "up")


def _shape(namespace: str, place: str, places: Sequence[str], addresses: Mapping[str, str], plain: Emulation) -> None:
    tc = ("tc", "-n", namespace)
    _do(*tc, "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "999")
    unshaped = ("classid", "1:999", "htb", "rate", "10gbit", "quantum", "60000")
    _do(*tc, "class", "add", "dev", "eth0", "parent", "1:", *unshaped)
    for k, other in enumerate(places):
        bandwidth = plain.links.get(f"{place}>{other}", (0.0, 0.0))[1]
        if other == place or not 0 < bandwidth < FASTEST:
            continue
        rate, minor = f"{int(bandwidth * 8)}bit", f"1:{k + 1}"
        # Frames are longer than what they carry: 1500 bytes hold 1448 of a TCP stream, and 14 go around them.
        shaped = ("classid", minor, "htb", "rate", rate, "burst", "32k", "quantum", "15000")
        _do(*tc, "class", "add", "dev", "eth0", "parent", "1:", *shaped)
        match = ("u32", "match", "ip", "dst", f"{addresses[other]}/32", "flowid", minor)
        _do(*tc, "filter", "add", "dev", "eth0", "parent", "1:", "protocol", "ip", *match)


def _do(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if check and done.returncode != 0:
        line = (done.stderr.strip() or "no message").splitlines()[-1]
        raise PlacementError(f"cannot make the network of emulated hosts: {' '.join(command[:4])}: {line}")
