"""Families of clusters; each maker takes a generator and a size, and returns the content of a cluster file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import models
from .ladder import MOE, with_model

Document = dict[str, Any]
Maker = Callable[[np.random.Generator, str], Document]

GAMING = ("rtx-3060-12gb", "rtx-3070", "rtx-3080-10gb", "rtx-3090", "rtx-4070", "rtx-4070-ti-super", "rtx-4090")
HOME = (*GAMING, "m1-max-64gb", "m2-pro-32gb", "m2-ultra-128gb", "m4-pro-48gb", "rx-7900-xtx")
OFFICE = ("rtx-a4000", "rtx-a5000", "rtx-4060-ti-16gb", "rtx-4080", "rtx-3060-12gb", "m2-max-64gb", "rtx-2080-ti")
CLOUD = ("a100-40gb-sxm", "a100-80gb-pcie", "l4", "t4", "a10g", "v100-32gb", "a30", "l40s")
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "ap-southeast-1")
BETWEEN = (
    (0, 1, "wan-us-west-2-us-east-1"),
    (0, 2, "wan-us-east-1-eu-west-1"),
    (0, 3, "wan-us-east-1-eu-central-1"),
    (0, 4, "wan-us-east-1-ap-northeast-1"),
    (0, 5, "wan-us-east-1-ap-southeast-1"),
    (1, 2, "wan-us-west-2-eu-west-1"),
    (1, 3, "wan-us-west-2-eu-central-1"),
    (1, 4, "wan-us-west-2-ap-northeast-1"),
    (1, 5, "wan-us-west-2-ap-southeast-1"),
    (2, 3, "wan-eu-central-1-eu-west-1"),
    (2, 4, "wan-ap-northeast-1-eu-west-1"),
    (2, 5, "wan-ap-southeast-1-eu-west-1"),
    (3, 4, "wan-ap-northeast-1-eu-central-1"),
    (3, 5, "wan-ap-southeast-1-eu-central-1"),
    (4, 5, "wan-ap-northeast-1-ap-southeast-1"),
)


def workload(rng: np.random.Generator, concurrency: tuple[int, ...]) -> dict[str, int]:
    """Prompt, output and sequences in flight."""
    return {
        "prompt_tokens": int(rng.choice([128, 512, 1024, 2048])),
        "output_tokens": int(rng.choice([64, 128, 256])),
        "concurrency": int(rng.choice(concurrency)),
    }


def machines(rng: np.random.Generator, devices: tuple[str, ...], kinds: int, total: int, region: str) -> list[Document]:
    """Entries of `kinds` devices with `total` nodes together."""
    names = rng.choice(devices, kinds, replace=False).tolist()
    counts = 1 + rng.multinomial(total - kinds, np.ones(kinds) / kinds)
    return [
        {"name": f"{region}-{name}", "device": name, "count": int(count), "region": region}
        for name, count in zip(names, counts, strict=True)
    ]


def home_lab(rng: np.random.Generator, size: str) -> Document:
    """Mixed machines of one home on gigabit or wireless links."""
    count = {"small": 3, "medium": 5, "large": 8}[size]
    link = str(rng.choice(["ethernet-1g", "ethernet-2.5g", "wifi-6"]))
    document: Document = {
        "workload": workload(rng, (1, 2, 4)),
        "objective": str(rng.choice(["latency", "decode_rate"])),
        "nodes": machines(rng, HOME, count, count, "home"),
        "network": {"within": {"home": {"link": link}}},
    }
    with_model(document, 1.15)
    return document


def office_lan(rng: np.random.Generator, size: str) -> Document:
    """Workstations of an office on one switch, and a floor behind a slower line."""
    count = {"small": 4, "medium": 10, "large": 20}[size]
    upstairs = count // 3
    nodes = machines(rng, OFFICE, min(3, count - upstairs), count - upstairs, "ground")
    nodes += machines(rng, OFFICE, min(2, upstairs), upstairs, "upstairs")
    document: Document = {
        "workload": workload(rng, (4, 8, 16)),
        "objective": "decode_rate",
        "nodes": nodes,
        "network": {
            "within": {"ground": {"link": "ethernet-10g"}, "upstairs": {"link": "ethernet-1g"}},
            "between": [{"regions": ["ground", "upstairs"], "link": "ethernet-1g"}],
        },
    }
    with_model(document, 1.15)
    return document


def mixed_gpus(rng: np.random.Generator, size: str) -> Document:
    """One region of a cloud: a few kinds of cards, hosts on 25 Gbit/s."""
    count = {"small": 8, "medium": 24, "large": 64}[size]
    document: Document = {
        "workload": workload(rng, (8, 16, 32)),
        "objective": str(rng.choice(["decode_rate", "decode_rate", "latency"])),
        "nodes": machines(rng, CLOUD, 3 if size == "small" else 4, count, "us-east-1"),
        "network": {"within": {"us-east-1": {"link": "ethernet-25g"}}},
    }
    with_model(document, 1.15)
    return document


def geo(rng: np.random.Generator, size: str) -> Document:
    """Three to six regions with round trips measured between clouds."""
    regions, each = {"small": (3, 2), "medium": (4, 4), "large": (6, 5)}[size]
    nodes: list[Document] = []
    for region in REGIONS[:regions]:
        nodes += machines(rng, CLOUD, 2, each, region)
    between = [{"regions": [REGIONS[a], REGIONS[b]], "link": link} for a, b, link in BETWEEN if max(a, b) < regions]
    document: Document = {
        "workload": workload(rng, (4, 16)),
        "objective": str(rng.choice(["latency", "decode_rate", "request_time"])),
        "nodes": nodes,
        "network": {
            "within": {region: {"link": "ethernet-10g"} for region in REGIONS[:regions]},
            "between": between,
        },
    }
    with_model(document, 1.25)
    return document


def tight_memory(rng: np.random.Generator, size: str) -> Document:
    """Nodes that hold one planted split and hardly a byte more."""
    nodes, blocks = {"small": (4, 18), "medium": (8, 42), "large": (16, 82)}[size]
    model = models.uneven(rng, blocks, "uneven-tight")
    work = workload(rng, (1, 4))
    need = models.bytes_of(model, work["prompt_tokens"] + work["output_tokens"])
    cuts = np.sort(rng.choice(np.arange(1, blocks), nodes - 1, replace=False))
    parts = [float(part.sum()) for part in np.split(need, cuts)]
    entries, beside = [], models.workspace_mib(model, work)
    for i, part in enumerate(parts):
        room = int(part * rng.uniform(1.0, 1.06) / 2**20) + 1 + beside
        entries.append({"name": f"n{i}", "device": str(rng.choice(GAMING)), "memory": f"{room} MiB", "reserve": "0 B"})
    rng.shuffle(entries)
    return {
        "model": model,
        "workload": work,
        "objective": str(rng.choice(["latency", "decode_rate"])),
        "nodes": entries,
        "network": {"default": {"link": str(rng.choice(["ethernet-1g", "ethernet-10g"]))}},
    }


def experts(rng: np.random.Generator, size: str) -> Document:
    """Mixture-of-experts models, some with dense first layers."""
    count = {"small": 4, "medium": 10, "large": 24}[size]
    document: Document = {
        "workload": workload(rng, (4, 16)),
        "objective": str(rng.choice(["latency", "decode_rate"])),
        "nodes": machines(rng, CLOUD if size != "small" else HOME, 3, count, "site"),
        "network": {"within": {"site": {"link": "ethernet-10g"}}},
    }
    with_model(document, 1.12, MOE)
    return document


def kv_heads(rng: np.random.Generator, size: str) -> Document:
    """A model whose layers keep caches of unlike sizes, at long contexts."""
    count, blocks = {"small": (4, 26), "medium": (9, 42), "large": (18, 66)}[size]
    return {
        "model": models.per_layer_heads(rng, blocks),
        "workload": {"prompt_tokens": 16384, "output_tokens": 512, "concurrency": int(rng.choice([4, 8]))},
        "objective": "decode_rate",
        "nodes": machines(rng, (*OFFICE, "rtx-3090", "rtx-4090"), 4, count, "rack"),
        "network": {"within": {"rack": {"link": "ethernet-10g"}}},
    }


def vision_first(rng: np.random.Generator, size: str) -> Document:
    """A vision tower in front of the decoder."""
    count, tower, layers = {"small": (3, 12, 16), "medium": (6, 24, 32), "large": (12, 32, 48)}[size]
    model = models.vision_tower(rng, tower, layers)
    need = models.bytes_of(model, 2500).sum() / 2**30
    nodes = machines(rng, HOME, min(count, 5), count, "home")
    for entry in nodes:
        entry |= {"memory": f"{need / count * rng.uniform(0.9, 2.2) + 0.7:.2f} GiB", "reserve": "0 B"}
    return {
        "model": model,
        "workload": workload(rng, (1, 4)),
        "objective": {"latency": 1.0, "ttft": 0.01},
        "nodes": nodes,
        "network": {"within": {"home": {"link": "ethernet-2.5g"}}},
    }


def asymmetric(rng: np.random.Generator, size: str) -> Document:
    """Homes behind lines that are fast down and slow up, and a cloud in the middle."""
    homes, each = {"small": (2, 2), "medium": (4, 2), "large": (8, 3)}[size]
    names = [f"home-{i}" for i in range(homes)]
    nodes = machines(rng, CLOUD, 2, 2 + homes // 4, "cloud")
    between = []
    for name in names:
        nodes += machines(rng, HOME, each, each, name)
        up, down = int(rng.integers(10, 60)), int(rng.integers(150, 900))
        ms = int(rng.integers(6, 30))
        between += [
            {"regions": [name, "cloud"], "bandwidth": f"{up} Mbit/s", "latency": f"{ms + 3} ms", "one_way": True},
            {"regions": ["cloud", name], "bandwidth": f"{down} Mbit/s", "latency": f"{ms} ms", "one_way": True},
        ]
    document: Document = {
        "workload": workload(rng, (2, 8)),
        "objective": str(rng.choice(["latency", "request_time", "decode_rate"])),
        "nodes": nodes,
        "client": {"region": names[0]},
        "network": {
            "within": {name: {"link": "ethernet-1g"} for name in [*names, "cloud"]},
            "between": between,
            "default": {"bandwidth": "20 Mbit/s", "latency": "35 ms"},
        },
    }
    with_model(document, 1.2)
    return document


def cuts_and_ties(rng: np.random.Generator, size: str) -> Document:
    """Boundaries that are forbidden, and an embedding that is also the head."""
    count, blocks = {"small": (3, 20), "medium": (7, 42), "large": (14, 80)}[size]
    model = models.uneven(rng, blocks, "tied")
    model["forbidden_cuts"] = sorted(rng.choice(np.arange(1, blocks), blocks // 2, replace=False).tolist())
    model["ties"] = [["embed", "head"]]
    work = workload(rng, (1, 4))
    need = models.bytes_of(model, work["prompt_tokens"] + work["output_tokens"]).sum() / 2**30
    nodes = machines(rng, GAMING, min(count, 5), count, "rack")
    for entry in nodes:
        entry |= {"memory": f"{need / count * rng.uniform(1.1, 2.1):.2f} GiB", "reserve": "0 B"}
    return {
        "model": model,
        "workload": work,
        "objective": str(rng.choice(["latency", "decode_rate"])),
        "nodes": nodes,
        "network": {"within": {"rack": {"link": "ethernet-10g"}}},
    }


def limits(rng: np.random.Generator, size: str) -> Document:
    """Rent as the objective, or beside it, under limits on first token and time per token."""
    count = {"small": 6, "medium": 12, "large": 24}[size]
    document: Document = {
        "workload": workload(rng, (4, 8)),
        "objective": str(rng.choice(["price", "decode_rate"])),
        "nodes": machines(rng, CLOUD, 4, count, "us-east-1"),
        "network": {"within": {"us-east-1": {"link": "ethernet-10g"}}},
    }
    with_model(document, 1.5)
    document["limits"] = greedy_limits(document)
    return document


def greedy_limits(document: Document) -> dict[str, str]:
    """Limits with some air above what filling the fastest nodes first would give."""
    from objectives.pipeline.terms import pipeline_terms
    from objectives.spans import Span
    from placement.costs.build import build_tables
    from placement.readers.cluster.read import read_request

    tables = build_tables(read_request(document))
    need, spans, start = tables.weight_bytes + tables.kv_bytes, [], 0
    for node in np.argsort(tables.decode_s[0].mean(axis=1), kind="stable").tolist():
        stop = start
        while stop < tables.n_blocks and need[start : stop + 1].sum() <= tables.capacity_bytes[node]:
            stop += 1
        if stop > start:
            spans.append(Span(node, start, stop))
        start = stop
    values = pipeline_terms(tables, spans).values
    return {
        "time_per_token": f"{1300 * values['latency']:.1f} ms",
        "ttft": f"{1.6 * values['ttft']:.2f} s",
    }


def distinct(rng: np.random.Generator, size: str) -> Document:
    """No two nodes alike: shared machines with unlike free memory and load."""
    count, blocks = {"small": 8, "medium": 16, "large": 32}[size], {"small": 24, "medium": 32, "large": 48}[size]
    nodes = [
        {
            "name": f"n{i}",
            "device": str(rng.choice(HOME)),
            "memory": f"{rng.uniform(0.7, 2.0) * blocks / count * 0.6:.2f} GiB",
            "reserve": "0 B",
            "efficiency": round(float(rng.uniform(0.3, 0.8)), 3),
        }
        for i in range(count)
    ]
    pairs = [
        {
            "nodes": [f"n{i}", f"n{j}"],
            "bandwidth": f"{rng.uniform(80, 2500):.0f} Mbit/s",
            "latency": f"{rng.uniform(0.2, 9):.2f} ms",
        }
        for i in range(count)
        for j in range(i)
    ]
    return {
        "model": models.uneven(rng, blocks, "uneven"),
        "workload": workload(rng, (1,)),
        "objective": "latency",
        "nodes": nodes,
        "network": {"links": pairs, "default": {"link": "internet-fibre"}},
    }


def several_runs(rng: np.random.Generator, size: str) -> Document:
    """Nodes may hold several runs of blocks: big unlike blocks and nodes that are filled to the brim."""
    nodes, blocks = {"small": (3, 9), "medium": (5, 16), "large": (8, 24)}[size]
    model = models.uneven(rng, blocks, "chunky", spread=0.7)
    work = workload(rng, (1,))
    need = models.bytes_of(model, work["prompt_tokens"] + work["output_tokens"])
    owner, beside = rng.integers(0, nodes, blocks), models.workspace_mib(model, work)
    entries = [
        {
            "name": f"n{i}",
            "device": str(rng.choice(GAMING)),
            "reserve": "0 B",
            "memory": f"{int(need[owner == i].sum() * rng.uniform(1.0, 1.1) / 2**20) + 1 + beside} MiB",
        }
        for i in range(nodes)
    ]
    return {
        "model": model,
        "workload": work,
        "objective": str(rng.choice(["latency", "request_time"])),
        "contiguous": False,
        "nodes": entries,
        "network": {"default": {"link": "ethernet-10g"}},
    }


FAMILIES: dict[str, Maker] = {
    "home-lab": home_lab,
    "office-lan": office_lan,
    "mixed-gpus": mixed_gpus,
    "geo": geo,
    "tight-memory": tight_memory,
    "experts": experts,
    "kv-heads": kv_heads,
    "vision-first": vision_first,
    "asymmetric": asymmetric,
    "cuts-and-ties": cuts_and_ties,
    "limits": limits,
    "distinct": distinct,
    "several-runs": several_runs,
}
