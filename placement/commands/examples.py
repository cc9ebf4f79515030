"""One example for the help of each command; a test runs or parses every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import typer

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "new": "placement new smi.txt topo.txt --model llama-3.1-70b --out cluster.yaml",
        "check": "placement check cluster.yaml",
        "solve": "placement solve cluster.yaml --objective throughput --out plan.json --report report.html",
        "score": 'placement score cluster.yaml --spans "tower-0=0:42,tower-1=42:82"',
        "report": "placement report plan.json --html report.html",
        "show": "placement show plan.json --format mermaid",
        "compare": "placement compare running.json plan.json",
        "whatif": "placement whatif cluster.yaml --add rtx-4090 --remove box",
        "trade": "placement trade cluster.yaml --by context",
        "size": 'placement size cluster.yaml --target "tokens_per_s >= 20" --budget "3 $/h"',
        "export": "placement export plan.json --to llama.cpp --at mac=10.0.0.7:50052",
        "import": 'placement import cluster.yaml --from vllm --split "VLLM_PP_LAYER_PARTITION=48,32"',
        "tables": "placement tables cluster.yaml --out tables.json",
        "catalog": "placement catalog devices rtx",
        "schema": "placement schema cluster",
        "route": "placement route swarm.yaml --plot front.png",
        "petals": "placement petals status --peers /ip4/10.0.0.2/tcp/31337/p2p/Qm... --out swarm.yaml",
        "petals status": "placement petals status --peers /ip4/10.0.0.2/tcp/31337/p2p/Qm... --out swarm.yaml",
        "petals advise": "placement petals advise swarm.yaml --moves 3",
        "run": "placement run plan.json --model ~/models/llama-3.1-8b",
        "profile": "placement profile --model ~/models/llama-3.1-8b --out node.yaml",
        "links": "placement links --peers 10.0.0.7:47100",
        "calibrate": "placement calibrate cluster.yaml runs.json --out measured.yaml",
        "replan": "placement replan plan.json cluster.yaml --lost tower-1 --out next.json",
        "simulate": "placement simulate plan.json cluster.yaml --rate 4/s --lengths chat",
    }
)


def with_examples(app: typer.Typer, prefix: str = "") -> typer.Typer:
    """Give every command its example below its options."""
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__.strip("_") if command.callback is not None else "")
        example = EXAMPLES.get(f"{prefix}{name}")
        if example is not None and not command.epilog:
            command.epilog = f"Example: {example}"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_examples(group.typer_instance, f"{group.name} ")
    return app
