"""One plan in the words of every runtime: prints examples/runtimes.md, or writes it with --write.

The splits are given, not searched for, so that the page is the same on every machine; on your own cluster it is
``placement solve FILE --runtime NAME --out plan.json`` and ``placement export plan.json --to NAME``.
"""

import sys
from pathlib import Path

from placement.export import RUNTIMES
from placement.export.api import RefusedError, export_plan
from placement.optimize import judge
from placement.plan.compare import parse_spans
from placement.readers.cluster.read import read_request

HERE = Path(__file__).parent
PAGE = HERE / "runtimes.md"
# Per cluster: the split, the one for runtimes that keep the embedding with the head, and addresses by runtime.
CLUSTERS = {
    "home_lab.yaml": (
        "tower-0=0:42,tower-1=42:82",
        "tower-1=0:1,tower-0=1:42,tower-1=42:82",
        {
            "accelerate": {"tower-0": "cuda:0", "tower-1": "cuda:1"},
            "vllm": {"tower-0": "0", "tower-1": "1"},
            "llama.cpp": {"tower-0": "CUDA0", "tower-1": "CUDA1"},
        },
    ),
    "two_regions.yaml": (
        "us-0=0:17,us-1=17:34,eu-0=34:50",
        "eu-0=0:1,us-0=1:17,us-1=17:34,eu-0=34:50",
        {"llama.cpp": {node: f"10.0.{k}.5:50052" for k, node in enumerate(("us-0", "us-1", "eu-0"))}},
    ),
}
TITLES = {"home_lab.yaml": "Home lab", "two_regions.yaml": "Two regions"}
LANGUAGES = {"accelerate": "json", "exo": "json", "torch": "python", "deepspeed": "python", "torchtitan": "toml"}
LONGEST, KEPT = 40, 6


def document() -> str:
    """The page."""
    parts = ["# One plan in the words of every runtime", "", "Made by `python examples/runtimes.py --write`.", ""]
    for file, (split, ring, at) in CLUSTERS.items():
        request = read_request(HERE / file)
        parts += [f"## {TITLES[file]} ([{file}]({file}))", ""]
        for name, entry in RUNTIMES.items():
            plan, _ = judge(None, request, parse_spans(ring if name == "prima.cpp" else split))
            where = at.get(name, {})
            options = "".join(f" --at {node}={address}" for node, address in where.items())
            parts += [
                f"### {name}: {entry.summary}",
                "",
                "```bash",
                f"placement solve examples/{file} --runtime {name} --out plan.json",
                f"placement export plan.json --to {name} --cluster examples/{file}{options}",
                "```",
                "",
            ]
            try:
                exported = export_plan(plan, name, at=where, request=request)
            except RefusedError as error:
                parts += [f"Refused: {reason}." for reason in error.reasons] + [""]
                continue
            parts += [f"```{LANGUAGES.get(name, 'bash')}", *shortened(exported.text), "```", ""]
            parts += [f"- {line}" for line in exported.lost] + [""]
    return "\n".join(parts)


def shortened(text: str) -> list[str]:
    """Lines of a text; the middle of a long one is left out."""
    lines = text.splitlines()
    return lines if len(lines) <= LONGEST else [*lines[:KEPT], "  ...", *lines[-KEPT:]]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(document(), encoding="utf-8")
    else:
        print(document())
