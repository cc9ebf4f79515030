"""What benchmarks of other runtimes wrote, as rows of measurements: llama-bench, `vllm bench serve`, exo.

Only facts that the output states are used: lengths, batch, rates. The machine is that of the cluster file, the split is
the whole model on its one node, or what the caller says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from ..files import load_json, read_lines, read_text

Row = dict[str, Any]
FORMATS = "`llama-bench -o json`, the result of `vllm bench serve`, or exo's bench results"


def holds_runs(path: str | Path) -> bool:
    """Whether a file holds what `placement run` wrote (a JSON document a line, each with its blocks)."""
    if Path(path).suffix.lower() == ".csv":
        return False
    first = next((line for line in read_text(path).splitlines() if line.strip()), "")
    try:
        data = load_json(first)
    except InputError:
        return Path(path).suffix.lower() == ".jsonl"
    return isinstance(data, dict) and ("blocks" in data or not {"avg_ts", "mean_tpot_ms", "stats"} & set(data))


def read_outputs(path: str | Path) -> list[Row]:
    """Read a file of one of the known formats.

    Parameters
    ----------
    path : str or Path
        JSON, or JSON lines.

    Returns
    -------
    list of dict
        Columns of `Measurement` that the output knows: lengths, concurrency, rates, id, date.

    Raises
    ------
    InputError
        The file is none of these, or has no run that can be used.
    """
    data = _documents(path)
    rows: list[Row] = []
    for number, item in enumerate(data):
        where = f"{path}: [{number}]"
        if not isinstance(item, Mapping):
            raise InputError(f"expected {FORMATS}", where)
        if "avg_ts" in item:
            rows += _llama_bench(item, where)
        elif "mean_tpot_ms" in item:
            rows += _vllm(item, where)
        elif isinstance(item.get("stats"), Mapping) and "generation_tps" in item["stats"]:
            rows += _exo(item["stats"], where)
        else:
            raise InputError(f"expected {FORMATS}", where)
    if not rows:
        raise InputError("no run in it has a rate of prompts or of generation alone", str(path))
    return rows


def _documents(path: str | Path) -> Sequence[Any]:
    """Documents of a JSON file: the items of a list, one document, or one a line."""
    text = read_text(path)
    try:
        found = load_json(text)
    except InputError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith("}"):
            raise error.under(str(path)) from None
        return [data for _, data in read_lines(path)]
    return found if isinstance(found, list) else [found]


def _number(item: Mapping[str, Any], key: str, where: str, otherwise: float | None = None) -> float:
    value = item.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise InputError(f"expected a number of at least 0, got {shown(value)}", f"{where}.{key}")
    return float(value)


def _llama_bench(item: Mapping[str, Any], where: str) -> list[Row]:
    prompt, output = int(_number(item, "n_prompt", where)), int(_number(item, "n_gen", where))
    depth, rate = int(_number(item, "n_depth", where, 0)), _number(item, "avg_ts", where)
    name = f"llama-bench pp{prompt} tg{output} d{depth}"
    base: Row = {"id": name, "date": str(item.get("test_time", ""))[:10], "runtime": "llama.cpp"}
    if output and not prompt:
        return [base | {"prompt_tokens": max(1, depth), "output_tokens": output, "tokens_per_s": rate}]
    if prompt and not output and not depth:
        return [base | {"timed_prompt_tokens": prompt, "prompt_tokens_per_s": rate}]
    return []  # prompt and generation in one figure, or a prompt behind a context: neither is a figure of ours


def _vllm(item: Mapping[str, Any], where: str) -> list[Row]:
    done = _number(item, "completed", where)
    per_token, first = _number(item, "mean_tpot_ms", where) / 1e3, _number(item, "mean_ttft_ms", where) / 1e3
    if done < 1 or per_token <= 0:
        raise InputError("expected requests that were completed", f"{where}.completed")
    prompt = _number(item, "total_input_tokens", where) / done
    output = max(1.0, _number(item, "total_output_tokens", where) / done)
    # Little's law: requests in flight are the rate times the time that one takes.
    flying = done / _number(item, "duration", where) * (first + per_token * (output - 1))
    flying = min(max(1.0, flying), _number(item, "max_concurrency", where, 1e6) or 1e6)
    return [
        {
            "id": f"vllm bench serve, {flying:.1f} in flight",
            "date": str(item.get("date", ""))[:8],
            "runtime": "vllm",
            "prompt_tokens": max(1, round(prompt)),
            "output_tokens": round(output),
            "concurrency": max(1, round(flying)),
            "tokens_per_s": max(1, round(flying)) / per_token,
        }
    ]


def _exo(stats: Mapping[str, Any], where: str) -> list[Row]:
    prompt, output = (int(_number(stats, f"{name}_tokens", where)) for name in ("prompt", "generation"))
    base: Row = {"id": f"exo pp{prompt} tg{output}", "runtime": "exo"}
    rows = []
    if output > 1:
        rate = _number(stats, "generation_tps", where)
        rows.append(base | {"prompt_tokens": max(1, prompt), "output_tokens": output, "tokens_per_s": rate})
    if prompt > 1 and "prompt_tps" in stats:
        rows.append(base | {"timed_prompt_tokens": prompt, "prompt_tokens_per_s": _number(stats, "prompt_tps", where)})
    return rows
