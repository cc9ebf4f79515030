"""The program of one worker: a job file from the launcher, or a plan under torchrun.

The launcher starts it for every node of one host; on several hosts torchrun does::

    torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
        -m placement.run.worker plan.json --model PATH --prompt "..." --tokens 64
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from ..errors import InputError, PlacementError
from ..plan.plan import Plan
from ..question.cluster import CLIENT
from ..readers.cluster.read import read_request
from .control import free_port
from .job import Job, cluster_to_data, devices_of
from .process import WorkerProcess, main_of
from .process_map import ProcessMap
from .prompts import token_ids
from .proven_store import STORE_LIMIT_S, open_store
from .with_parent import end_with

SECRET_VARIABLE = "PLACEMENT_RUN_SECRET"
"""Environment variable with what the hosts of a run prove to each other."""
LEAST_SECRET = 16
REPLAN = "placement.kinds.pipeline.replan:replan_at_once"
"""What finds the next plan under torchrun, where no caller gives a function. A name: runs stand below the kinds."""


def main(argv: Sequence[str]) -> int:
    """Run one worker; return its exit code."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m placement.run.worker", description=summary)
    parser.add_argument("plan", nargs="?", help="plan.json (under torchrun)")
    parser.add_argument("--job", help="job file of the launcher")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--port", type=int)
    parser.add_argument("--out", type=Path, help="where the client writes its result (JSON)")
    parser.add_argument("--parent", type=int, help="process id of the launcher, with which this process ends")
    parser.add_argument("--count", type=Path, help="a file that the client lengthens by a byte with every token")
    parser.add_argument("--model", help="checkpoint folder or .gguf")
    parser.add_argument("--prompt", action="append", default=[], help="text; may be repeated")
    parser.add_argument("--ids", action="append", default=[], help="token ids, comma-separated; may be repeated")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="torch device of every worker, such as cuda (by local rank)")
    parser.add_argument("--backend", choices=("gloo", "nccl"), default="gloo")
    parser.add_argument("--address", default="127.0.0.1", help="address of this host that the others can reach")
    parser.add_argument("--cluster", help="cluster file: replan on the remaining nodes when a worker is lost")
    parser.add_argument("--replan", default=REPLAN, metavar="MODULE:FUNCTION", help="how to, with --cluster")
    options = parser.parse_args(argv)
    if options.parent:
        end_with(options.parent)
    try:
        return _launched(options) if options.job else _under_torchrun(options)
    except PlacementError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _launched(options: argparse.Namespace) -> int:
    job = Job.load(Path(options.job))
    serve = options.uid == options.size - 1
    address = job.address_of(CLIENT)
    store = open_store(address, options.port, job.secret, serve=serve)
    beats = open_store(address, options.port, job.secret, serve=False)
    files = {"out": options.out, "count": options.count} if serve else {}
    return main_of(WorkerProcess(job, store, beats, options.uid, options.size, **files))


def _under_torchrun(options: argparse.Namespace) -> int:
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not options.plan or not options.model:
        raise InputError(f"expected torchrun's environment ({', '.join(missing) or 'present'}), a plan and --model")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    job = _job(options)
    serve = ProcessMap.of(job, rank, size).is_client
    torchs = _torchs_store(rank)  # it ends with the process that serves it, and others may be late
    where = _meeting_point(job, torchs, serve=serve)
    store, beats = open_store(*where, serve=serve), open_store(*where, serve=False)
    return main_of(WorkerProcess(job, store, beats, rank, size, options.out if rank == 0 else None))


def _torchs_store(rank: int) -> Any:
    """Connect to torchrun's store; only rank 0 of a launch without an agent's store serves it."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    timeout = timedelta(seconds=STORE_LIMIT_S)
    store = TCPStore(address, port, None, rank == 0 and not agent, timeout, wait_for_workers=False)
    return PrefixStore(f"placement/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _meeting_point(job: Job, torchs: Any, *, serve: bool) -> tuple[str, int, str]:
    """Address and port of the run's own store, told over torchrun's; so is a secret, unless the user has given one."""
    if serve:
        place = {"address": job.address, "port": free_port(job.address)}
        torchs.set("store", json.dumps(place if job.secret else {**place, "secret": secrets.token_hex(32)}))
    found = json.loads(torchs.get("store"))
    return str(found["address"]), int(found["port"]), job.secret or str(found["secret"])


def _secret_of(address: str) -> str:
    """The user's secret; none is needed where only this machine can connect."""
    secret = os.environ.get(SECRET_VARIABLE, "")
    try:
        loopback = ip_address(socket.gethostbyname(address)).is_loopback
    except (OSError, ValueError) as error:
        raise InputError(f"expected an address of this host, got {address[:80]!r} ({error})", "--address") from None
    if not secret and not loopback:
        raise InputError(f"expected a secret, the same on all hosts, since others can reach {address}", SECRET_VARIABLE)
    if secret and len(secret) < LEAST_SECRET:
        raise InputError(f"expected at least {LEAST_SECRET} characters, got {len(secret)}", SECRET_VARIABLE)
    return secret


def _job(options: argparse.Namespace) -> Job:
    plan = Plan.load(options.plan)
    ids = [tuple(int(word) for word in text.split(",")) for text in options.ids]
    if options.prompt:
        ids += token_ids(options.model, options.prompt)
    cluster = cluster_to_data(read_request(options.cluster).cluster) if options.cluster else None
    local = os.environ.get("LOCAL_RANK", "0")
    device = f"cuda:{local}" if options.device == "cuda" else options.device
    spare = [str(node["name"]) for node in cluster["nodes"]] if cluster else []
    used = [name for span in plan.placement for name in devices_of(plan, span.node)]
    return Job(
        plan=plan,
        model=options.model,
        prompts=tuple(ids),
        tokens=options.tokens,
        micro_batch=options.micro_batch,
        devices=dict.fromkeys([*used, *spare], device),
        backend=options.backend,
        address=options.address,
        secret=_secret_of(options.address),
        cluster=cluster,
        replan=options.replan if cluster else "",
    )


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
