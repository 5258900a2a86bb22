"""A long run in a process of its own, which tells by the way what it costs.

`python -m bench.measures.long_run INPUT OUTPUT URL [LIMIT]` works off the input with answers kept in memory, and
prints a line after about each `STEP` records: how many are delivered, seconds of CPU so far, seconds on the wall,
resident bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.workload import job
from streamproc import DataProcessingPipeline, JsonlSink, Outcome
from streamproc.cli.own_process import run_quickly
from streamproc.monitoring.process import ProcessMemory
from streamproc.records import Checkpoint

STEP = 5_000
BATCH = 100


class Telling(JsonlSink):
    """Tells how far it has come, and at what cost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._memory = ProcessMemory()
        self._delivered = self._told = 0

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        await super().write(outcomes, checkpoint)
        self._delivered += len(outcomes)
        if self._delivered >= self._told + STEP:
            self.tell()

    def tell(self) -> None:
        """Print a line."""
        self._told = self._delivered
        resident = self._memory.resident_bytes()
        print(self._delivered, time.process_time(), time.perf_counter(), round(resident), flush=True)


def main(source: Path, sink: Path, base_url: str, limit: int | None = None) -> None:
    """Run to the end, or to the limit."""
    config = job(base_url, source, sink, batch=BATCH, cache={"backend": "memory"})
    telling = Telling(sink)
    run_quickly(DataProcessingPipeline(config, sink=telling).run(limit=limit))
    telling.tell()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
