"""One peer in a process of its own: does a job for each line on standard input, and tells what it took.

`python -m bench.peers.worker MODULE PACKAGE...` in the peer's environment. Starting and importing are over before the
first job, and a job that does not count comes before those that do.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from importlib.metadata import version

from bench.peers.loopback_only import forbid_others
from bench.peers.work import Job, Peer


def main(module: str, *packages: str) -> None:
    """Serve until standard input ends. What the peer prints goes to standard error."""
    tried = forbid_others()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as told:
        os.dup2(2, 1)
        contender = importlib.import_module(f"bench.peers.{module}")
        peer: Peer = contender.run
        print(json.dumps({name: version(name) for name in packages}), file=told, flush=True)
        runs = getattr(contender, "runner", asyncio.Runner)
        with runs() as runner:  # one loop for all: clients that a library keeps are bound to it
            for line in sys.stdin:
                took = runner.run(_timed(peer, Job(*json.loads(line))))
                print(json.dumps([*took, tried]), file=told, flush=True)


async def _timed(peer: Peer, job: Job) -> tuple[float, float]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await peer(job)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main(*sys.argv[1:])
