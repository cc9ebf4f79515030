"""A cluster file with comments: what was read, and what was assumed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import combinations

from ..catalog import hardware
from .found import Found, FoundLink, FoundNode

BETWEEN_HOSTS = "ethernet-1g"
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*|\d+(?:\.\d+)? [A-Za-z$/]+")
WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"})


def cluster_text(found: Found, *, model: str, network: str = "", source: str = "") -> str:
    """Write the file.

    Parameters
    ----------
    found : Found
    model : str
        What shall run.
    network : str
        Link type between hosts; empty: gigabit Ethernet, as an assumption.
    source : str
        Where the nodes are from, for the first line.

    Returns
    -------
    str
        YAML; every line with something that nobody said carries a comment that begins with "assumed".
    """
    lines = [
        f"# A cluster file, from {_one_line(source) or 'this machine'}. Lines marked 'assumed' are worth a look.",
        "#   placement check cluster.yaml      what is understood, and an estimate",
        "#   placement solve cluster.yaml      the plan",
        f"model: {_scalar(model)}",
        "workload: {prompt_tokens: 512, output_tokens: 128, concurrency: 1}   # assumed: one user; see the README",
        "objective: latency                  # assumed: time per token; throughput, ttft, price, ... are others",
        "nodes:",
    ]
    for node in found.nodes:
        lines += _node(node)
    lines += _network(found, network)
    lines += [f"# note: {_one_line(note)}" for note in found.notes]
    return "\n".join(lines) + "\n"


def nodes_text(nodes: Sequence[FoundNode]) -> str:
    """The entries alone, for `placement new` on another host."""
    return "\n".join(["nodes:", *(line for node in nodes for line in _node(node))]) + "\n"


def _node(node: FoundNode) -> list[str]:
    lines = [f"  - name: {_scalar(node.name)}"]
    for key, value, remark in node.keys:
        comment = f"   # {_one_line(remark)}" if remark else ""
        lines.append(f"    {key}: {_scalar(value)}{comment}")
    return lines


def _network(found: Found, network: str) -> list[str]:
    hosts = {str(node.get("host") or node.name) for node in found.nodes}
    regions = list(dict.fromkeys(str(node.get("region") or "default") for node in found.nodes))
    lines = []
    if len(hosts) > 1:
        remark = "" if network else "   # assumed: gigabit Ethernet between hosts; `placement links` measures it"
        lines.append(f"  default: {{link: {_scalar(network or BETWEEN_HOSTS)}}}{remark}")
    if len(regions) > 1:
        lines += ["  between:   # assumed: lines of the internet; give bandwidth and latency"]
        lines += [
            f"    - {{regions: [{_scalar(a)}, {_scalar(b)}], link: internet-fibre}}"
            for k, a in enumerate(regions)
            for b in regions[k + 1 :]
        ]
    links = (*found.links, *(within_hosts(found) if len(hosts) > 1 else ()))
    if links:
        lines.append("  links:")
        lines += [_link(link) for link in links]
    return ["network:", *lines] if lines else ["network: {}   # one host: its bus and its loopback"]


def within_hosts(found: Found) -> list[FoundLink]:
    """Links between devices of one host that no topology tells: the default of the network would hold for them."""
    told = {frozenset(link.nodes) for link in found.links}
    links = []
    for one, other in combinations(found.nodes, 2):
        host = one.get("host")
        if host is not None and host == other.get("host") and frozenset((one.name, other.name)) not in told:
            remark = "assumed: the bus of their host, as the catalog says"
            links.append(FoundLink((one.name, other.name), _bus(one, other), remark=remark))
    return links


def _bus(one: FoundNode, other: FoundNode) -> str:
    """The link type of the slower of two devices."""
    kinds = [hardware.device(str(node.get("device"))).interconnect for node in (one, other) if node.get("device")]
    kinds += [] if len(kinds) == 2 else ["pcie-4-x16"]
    return min(kinds, key=lambda kind: hardware.link(kind).bandwidth_bytes_per_s)


def _link(link: FoundLink) -> str:
    pair = ", ".join(_scalar(name) for name in link.nodes)
    speed = f"link: {_scalar(link.link)}"
    if not link.link:
        speed = f"bandwidth: {link.bandwidth_gb_s:g} GB/s, latency: {link.latency_us:g} us"
    return f"    - {{nodes: [{pair}], {speed}}}   # {_one_line(link.remark)}"


def _scalar(value: object) -> str:
    """A value in YAML: JSON's notation is a part of it; plain words stay plain."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    # JSON writes what lies beyond 16 bits as two halves, which YAML does not join; its own escape has eight digits.
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
