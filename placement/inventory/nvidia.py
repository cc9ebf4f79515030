"""nvidia-smi: lists of cards (-L, -q, --query-gpu) and their topology (topo -m)."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from ..errors import InputError
from .found import Found, cards

LISTED = re.compile(r"^GPU (\d+): (.+?) \(UUID: GPU-", re.MULTILINE)
PRODUCT = re.compile(r"^\s*Product Name\s*:\s*(.+?)\s*$", re.MULTILINE)
FRAME = re.compile(r"^\s*FB Memory Usage\s*\n\s*Total\s*:\s*(\d+) MiB", re.MULTILINE)
TABLE = re.compile(r"^\|\s+(\d+)\s+(\S.*?)\s+(?:On|Off|N/A)\s+\|\s+[0-9A-Fa-f]+:[0-9A-Fa-f]+:", re.MULTILINE)
USED = re.compile(r"\|\s*\d+MiB /\s*(\d+)MiB\s*\|")
SLICE = re.compile(r"^\s+MIG (\S+)\s+Device", re.MULTILINE)
MOST_CARDS = 128
KINDS = ("PIX", "PXB", "PHB", "NODE", "SYS")


@dataclass(frozen=True, slots=True)
class Cards:
    """Any of the lists."""

    def tells(self, text: str) -> bool:
        """Whether it lists cards of NVIDIA."""
        return bool(LISTED.search(text) or PRODUCT.search(text) or TABLE.search(text)) or _is_csv(text)

    def read(self, text: str, host: str) -> Found:
        """The cards, in the order of their numbers."""
        if LISTED.search(text):
            rows: list[tuple[str, float | None]] = [(match[2], None) for match in LISTED.finditer(text)]
        elif _is_csv(text):
            rows = _from_csv(text)
        elif PRODUCT.search(text):
            sizes = [float(size) for size in FRAME.findall(text)]
            names = PRODUCT.findall(text)
            rows = (
                list(zip(names, sizes, strict=True)) if len(sizes) == len(names) else [(name, None) for name in names]
            )
        else:
            sizes = [float(size) for size in USED.findall(text)]
            names = [match[2] for match in TABLE.finditer(text)]
            rows = (
                list(zip(names, sizes, strict=True)) if len(sizes) == len(names) else [(name, None) for name in names]
            )
        if len(rows) > MOST_CARDS:
            raise InputError(f"expected at most {MOST_CARDS} cards of one host, got {len(rows)}")
        slices = SLICE.findall(text)
        notes = (f"{host}: {len(slices)} MIG slices are left out: whole cards are planned",) if slices else ()
        return Found(cards(rows, host), notes=notes)


def _is_csv(text: str) -> bool:
    head = text.lstrip().splitlines()[:1]
    return bool(head) and "," in head[0] and "name" in [word.strip() for word in head[0].lower().split(",")]


def _from_csv(text: str) -> list[tuple[str, float | None]]:
    try:
        table = list(csv.reader(io.StringIO(text.strip()), skipinitialspace=True))
    except csv.Error as error:
        raise InputError(f"not valid CSV: {error}") from None
    keys = [word.strip().lower().partition(" [")[0] for word in table[0]]
    at, size = keys.index("name"), keys.index("memory.total") if "memory.total" in keys else None
    found: list[tuple[str, float | None]] = []
    for row in table[1:]:
        if len(row) != len(keys):
            raise InputError(f"expected {len(keys)} fields, got {len(row)}")
        mib = re.match(r"\d{1,12}", row[size]) if size is not None else None
        found.append((row[at].strip(), float(mib[0]) if mib else None))
    return found


@dataclass(frozen=True, slots=True)
class Topology:
    """The matrix of links; network cards and affinities are left out."""

    def tells(self, text: str) -> bool:
        """Whether it has a matrix of GPUs."""
        return bool(re.search(r"^\s*GPU0(\s+GPU1|\s+X\b|\s+(NIC|mlx|CPU))", _plain(text), re.MULTILINE))

    def read(self, text: str, host: str) -> Found:
        """Links between cards, by their numbers."""
        lines = [line.split() for line in _plain(text).splitlines() if line.strip()]
        heads = (k for k, line in enumerate(lines) if line[0] == "GPU0" and (len(line) < 2 or line[1] != "X"))
        if (head := next(heads, None)) is None:
            raise InputError("expected a row with the names of the GPUs above the matrix")
        columns = [word for word in lines[head] if re.fullmatch(r"GPU\d{1,4}|NIC\d+|mlx\d+_\d+", word)]
        found = []
        for line in lines[head + 1 :]:
            if not re.fullmatch(r"GPU\d{1,4}", line[0]) or len(line) <= len(columns):
                continue
            one = int(line[0][3:])
            for column, word in zip(columns, line[1:], strict=False):
                if column.startswith("GPU") and one < (other := int(column[3:])):
                    if word not in KINDS and not re.fullmatch(r"NV\d{1,2}", word):
                        raise InputError(f"expected NV#, {', '.join(KINDS)} between GPUs, got '{word[:20]}'")
                    found.append((one, other, word))
        return Found(topology=tuple(found))


def _plain(text: str) -> str:
    """Without the codes of colours, which the program writes to files too."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


CARDS, TOPOLOGY = Cards(), Topology()
