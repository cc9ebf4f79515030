"""Kill tests: a random worker at a random moment, again and again; the text must stay the same.

::

    python -m benchmarks.fidelity.kills --times 50
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.hosts import base_profile, emulated, make_hosts, model_folder, random_spans
from placement.kinds.pipeline.replan import replan_at_once
from placement.question.workload import Workload
from placement.run import Launch, run_plan


def main() -> int:
    """Run undisturbed once, then with a kill each time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fidelity/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    folder = model_folder("tiny", options.out)
    work = Workload(8, options.tokens, 2)
    base, model, hop_s = base_profile(folder, work, 4.0)
    hosts = make_hosts(folder, base, model, rng, 4, work, slow=(1.5, 4.0), room=(1.1, 1.5), hop_s=hop_s)
    prompts = rng.integers(0, 1000, (2, 8)).tolist()
    equal, killed, rows = 0, 0, []
    for number in range(options.times):
        spans = random_spans(rng, 4, model.n_blocks)
        plan = hosts.plan(spans)
        common: dict[str, Any] = {"cluster": emulated(hosts), "slow": dict(hosts.slow), "emulate_links": True}
        if number == 0:
            expected = run_plan(plan, folder, prompts, options.tokens, **common).tokens
        victim = str(rng.choice([span.node for span in plan.placement]))
        how, moment = (signal.SIGSTOP if rng.random() < 0.3 else signal.SIGKILL), float(rng.uniform(0.5, 5.0))

        def started(pids: Mapping[str, int], victim: str = victim, how: int = how, moment: float = moment) -> None:
            threading.Thread(target=strike, args=(pids[victim], how, moment), daemon=True).start()

        began = time.monotonic()
        result = run_plan(
            plan,
            folder,
            prompts,
            options.tokens,
            replan=replan_at_once,
            limit_s=2.0,
            launch=Launch(started=started),
            **common,
        )
        same = result.tokens == expected
        equal += same
        killed += bool(result.notes)
        rows.append(
            {
                "victim": victim,
                "signal": int(how),
                "moment_s": moment,
                "equal": same,
                "notes": result.notes,
                "seconds": time.monotonic() - began,
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps({"runs": options.times, "equal": equal, "with a lost worker": killed}, indent=1))
    return 0 if equal == options.times else 1


def strike(pid: int, how: int, moment: float) -> None:
    """Send a signal later, if the process is still there."""
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


if __name__ == "__main__":
    raise SystemExit(main())
