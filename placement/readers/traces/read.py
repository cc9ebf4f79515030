"""Files of requests, told by what they say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from placement.errors import InputError, shown
from placement.files import load_json, read_text
from placement.question.requests import Requests

from .rows import Rows

MOST_BYTES = 400_000_000
BLOCK_TOKENS = 512  # of a hash in Mooncake's traces: R. Qin et al., FAST 2025, arXiv:2407.00079
MOST_HASHES = 100_000  # of one request
# Names of columns in lower case: ours, Azure's, those of Splitwise and Vidur, of vLLM's benchmark.
TIMES = ("arrival_s", "timestamp", "arrival_timestamp", "arrived_at", "arrival_time", "time")
PROMPTS = ("prompt_tokens", "contexttokens", "prompt_size", "num_prefill_tokens", "input_length", "prompt_len")
OUTPUTS = ("output_tokens", "generatedtokens", "token_size", "num_decode_tokens", "output_length", "output_len")


def read_trace(path: Path | str) -> Requests:
    """Read requests from a file.

    Parameters
    ----------
    path : Path or str
        CSV with columns such as ``TIMESTAMP,ContextTokens,GeneratedTokens``; a JSON object a line with ``timestamp`` in
        ms, ``input_length``, ``output_length`` and ``hash_ids``; or lengths alone: CSV without times, or a JSON list of
        objects or pairs.

    Returns
    -------
    Requests
        Times count from the first request.

    Raises
    ------
    InputError
        One line with file and line: negative times, rows out of order, lengths below 1, columns that are missing.
    """
    where = str(path)
    text = read_text(path, MOST_BYTES)
    begin = text.lstrip()[:1]
    if not begin:
        raise InputError("expected requests, got an empty file", where)
    if begin == "[":
        return _json_list(text, where)
    return _json_lines(text, where) if begin == "{" else _csv(text, where)


def _csv(text: str, where: str) -> Requests:
    try:
        table = csv.reader(io.StringIO(text), strict=True)
        header = [name.strip().lower() for name in next(table)]
        prompt, output = _column(header, PROMPTS, where), _column(header, OUTPUTS, where)
        time = next((header.index(name) for name in TIMES if name in header), None)
        rows, zero = Rows(where), None
        for cells in table:
            line = table.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(f"expected {len(header)} columns, got {len(cells)}", f"{where}: line {line}")
            at = 0.0 if time is None else _time(cells[time], f"{where}: line {line}: {header[time]}")
            if zero is None:
                zero = at if at > 1e8 else 0.0  # dates count from the first request
            rows.add(line, at - zero, cells[prompt], cells[output])
    except csv.Error as error:
        raise InputError(f"not valid CSV: {error}", where) from None
    return rows.requests(timed=time is not None)


def _column(header: Sequence[str], known: Sequence[str], where: str) -> int:
    for name in known:
        if name in header:
            return list(header).index(name)
    raise InputError(f"expected a column '{known[0]}' or '{known[1]}', got {shown(','.join(header))}", where)


def _time(text: str, where: str) -> float:
    """Seconds, or a date and time as seconds."""
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        pass
    whole, _, fraction = text.partition(".")
    digits = fraction[:7].rstrip("Z")
    try:
        seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
        return seconds + (float(f"0.{digits}") if digits else 0.0)
    except ValueError:
        expected = "seconds, or a date and time such as '2023-11-16 18:15:46.68'"
        raise InputError(f"expected {expected}, got {shown(text)}", where) from None


def _json_lines(text: str, where: str) -> Requests:
    rows = Rows(where)
    hashed = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{where}: line {number}"
        try:
            data = load_json(line)
        except InputError as error:
            raise error.under(place) from None
        if not isinstance(data, dict):
            raise InputError(f"expected an object, got {shown(data)}", place)
        time = data.get("timestamp", 0)
        if isinstance(time, bool) or not isinstance(time, int | float):
            raise InputError(f"expected milliseconds, got {shown(time)}", f"{place}: timestamp")
        prompt = data.get("input_length")
        rows.add(number, float(time) / 1000.0, prompt, data.get("output_length"))
        hashes = data.get("hash_ids", [])
        if not isinstance(hashes, list) or len(hashes) > MOST_HASHES or not all(_is_hash(item) for item in hashes):
            raise InputError("expected a list of whole numbers of at least 0", f"{place}: hash_ids")
        hashed = hashed or bool(hashes)
        rows.pieces.append(_pieces(hashes, rows.prompts[-1]))
    if not hashed:
        rows.pieces.clear()
    return rows.requests()


def _is_hash(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**62


def _pieces(hashes: list[int], prompt: int) -> tuple[list[int], list[int]]:
    """Blocks of a prompt that are whole; the last one, which is not, is nobody else's."""
    whole = min(len(hashes), prompt // BLOCK_TOKENS)
    return hashes[:whole], [BLOCK_TOKENS] * whole


def _json_list(text: str, where: str) -> Requests:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON: {error}", where) from None
    rows = Rows(where)
    for number, item in enumerate(data, 1):
        if isinstance(item, dict):
            keys = {str(key).lower(): value for key, value in item.items()}
            found = [next((keys[name] for name in known if name in keys), None) for known in (PROMPTS, OUTPUTS)]
        else:
            found = list(item) if isinstance(item, list) and len(item) == 2 else [None, None]
        if None in found:
            raise InputError(f"expected prompt and output tokens, got {shown(item)}", f"{where}: item {number}")
        rows.add(number, 0.0, *found)
    return rows.requests(timed=False)
