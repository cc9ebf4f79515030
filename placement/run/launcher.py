"""Starts the workers of a plan on this host, waits for the client's result, and leaves nothing running."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..plan.plan import Plan
from ..question.cluster import Cluster
from .chains import BatchChains
from .control import RunError, free_port
from .job import Emulation, Job, cluster_to_data, places_of
from .namespaces import Network
from .prompts import token_ids
from .recovery import Replan, name_of
from .result import RunResult, make_result
from .starter import Starter

_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Launch:
    """How workers are started here.

    Attributes
    ----------
    port : int
        Port of the rendezvous; 0 picks a free one.
    timeout_s : float
        The whole run may take this long.
    network : Network or None
        Network namespaces (`placement.run.namespaces.network`) that the workers run in.
    started : callable or None
        Called once with the process ids by place.
    progress : callable or None
        Called with the number of tokens generated so far, whenever it has grown.
    """

    port: int = 0
    timeout_s: float = 3600.0
    network: Network | None = None
    started: Callable[[Mapping[str, int]], None] | None = None
    progress: Callable[[int], None] | None = None


def run_plan(
    plan: Plan,
    model: str | Path,
    prompts: Sequence[Sequence[int]] | Sequence[str] | str,
    tokens: int = 64,
    *,
    cluster: Cluster | None = None,
    replan: Replan | None = None,
    slow: Mapping[str, float] | None = None,
    emulate_links: bool = False,
    launch: Launch | None = None,
    **options: Any,
) -> RunResult:
    """Run a plan on this machine, one process per node, and compare it with its prediction.

    Parameters
    ----------
    plan : Plan
    model : str or Path
        Checkpoint folder (safetensors) or .gguf file.
    prompts : sequence of token ids, or of texts, or one text
    tokens : int
        Tokens to generate for each prompt.
    cluster : Cluster, optional
        Needed for `replan` and `emulate_links`.
    replan : callable, optional
        Go on with the remaining nodes when a worker is lost: what finds the next plan, such as
        `placement.kinds.pipeline.replan.replan`. None ends the run then.
    slow : mapping of str to float, optional
        Node to the factor by which its blocks take longer.
    emulate_links : bool
        Give the messages the latency and bandwidth of the cluster's links.
    launch : Launch, optional
    **options
        Other fields of `Job`: micro_batch, in_flight, eos, devices, dtype, threads, heartbeat_s, limit_s, ...

    Returns
    -------
    RunResult

    Raises
    ------
    InputError
        The plan does not fit the model, or the checkpoint is not usable.
    RunError
        A worker failed; all processes are gone.
    """
    if emulate_links and cluster is None:
        raise InputError("emulated links need the cluster", "cluster")
    how = launch or Launch()
    emulation = Emulation(slow=dict(slow or {}), how="in-transport" if slow else "none")
    if emulate_links and cluster is not None:
        emulation = Emulation.of(cluster, slow)
    if how.network is not None:
        emulation = how.network.emulation
        options["addresses"] = dict(how.network.addresses)
    texts: list[Any] = [prompts] if isinstance(prompts, str) else list(prompts)
    if texts and isinstance(texts[0], str):
        ids = token_ids(model, [str(text) for text in texts])
    else:
        ids = [tuple(int(token) for token in row) for row in texts]
    job = Job(
        plan=plan,
        model=str(model),
        prompts=tuple(ids),
        tokens=tokens,
        emulation=emulation,
        replan=name_of(replan) if replan is not None else "",
        cluster=None if cluster is None else cluster_to_data(cluster),
        secret=secrets.token_hex(32),
        **options,
    )
    return run_job(job, how)


def run_job(job: Job, launch: Launch) -> RunResult:
    """Run a job on this machine; nothing of it is left when this returns or raises."""
    BatchChains.of(job.plan, len(job.batches))
    if not os.path.exists(job.model):
        raise InputError("there is no such file or folder", job.model)
    folder = Path(tempfile.mkdtemp(prefix="placement-run-"))
    starter = Starter(fresh=any(device != "cpu" for device in job.devices.values()))
    try:
        job.save(folder / "job.json")
        places = places_of(job)
        port = launch.port or free_port(job.address)
        family = _family(job.model)
        # The client first: it opens the rendezvous.
        for uid in [len(places) - 1, *range(len(places) - 1)]:
            args = ["--job", str(folder / "job.json"), "--uid", str(uid), "--size", str(len(places))]
            args += ["--port", str(port), "--out", str(folder / "result.json"), "--count", str(folder / "tokens")]
            netns = launch.network.namespaces.get(places[uid]) if launch.network else None
            starter.start(uid, args, folder / f"{uid}.log", family=family, netns=netns)
        if launch.started is not None:
            launch.started({places[uid]: pid for uid, pid in starter.pids.items()})
        raw = _await(job, starter, folder, places, launch)
    finally:
        starter.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return make_result(raw, job.plan, job.emulation.how)


def _await(job: Job, starter: Starter, folder: Path, places: Sequence[str], launch: Launch) -> dict[str, Any]:
    client, result, until = len(places) - 1, folder / "result.json", time.monotonic() + launch.timeout_s
    failed_at, seen = 0.0, 0
    while True:
        if launch.progress is not None and (count := _tokens(folder / "tokens")) > seen:
            seen = count
            launch.progress(count)
        codes = dict(starter.poll())
        if result.is_file():
            raw: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            if "error" in raw:
                raise RunError(raw["error"], raw["tokens"])
            return raw
        if client in codes:
            raise RunError(_last_line(folder, [client], codes, places))
        bad = [uid for uid, code in codes.items() if code]
        if bad and not job.replan:
            failed_at = failed_at or time.monotonic()
            # The client usually tells why; a worker that never reached it is asked for its last words.
            if time.monotonic() > failed_at + _GRACE_S:
                raise RunError(_last_line(folder, bad, codes, places))
        if time.monotonic() > until:
            raise RunError("the run takes longer than its time-out")
        time.sleep(0.01)


def _tokens(count: Path) -> int:
    return count.stat().st_size if count.exists() else 0


def _last_line(folder: Path, uids: Sequence[int], codes: Mapping[int, int], places: Sequence[str]) -> str:
    for uid in uids:
        path = folder / f"{uid}.log"
        text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
        if text:
            return text.splitlines()[-1]
    uid = uids[0]
    what = f"was killed by signal {-codes[uid]}" if codes[uid] < 0 else f"ended with exit code {codes[uid]}"
    return f"'{places[uid]}' {what}"


def _family(model: str) -> str:
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        return str(config.get("model_type", ""))
    except (OSError, ValueError, AttributeError):
        return "llama"
