"""A run that is short of memory, in a process of its own: real time, large records, and a sink that is stuck for long.

`python -m tests.system.memory_run` prints what happened as a JSON object.
"""

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import anyio

from streamproc.cache.config import CacheConfig
from streamproc.completions import Completion, Request, Usage
from streamproc.llm.config import LlmConfig
from streamproc.monitoring.alerting import ResourceAlert
from streamproc.monitoring.limits import MB
from streamproc.monitoring.process import ProcessMemory
from streamproc.pipeline.config import PipelineConfig, ResourcesConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.records import Checkpoint, Outcome, Row, RunIdentity
from streamproc.sinks.sink import Sink
from streamproc.sources.memory import MemorySource

MOST_RECORDS = 1_000_000
LOOK_SECONDS = 0.02


class Scene:
    """What happens when: full speed, then a stuck sink, then a calm pace until the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.began_at = time.monotonic()
        self.made = 0
        self.stalled = self.calm = False

    @property
    def now(self) -> float:
        return time.monotonic() - self.began_at

    def items(self) -> Iterator[dict[str, Any]]:
        """Make large records until the time is over."""
        while self.now < self.options.seconds and self.made < MOST_RECORDS:
            self.made += 1
            yield {"text": f"{self.made} " + "x" * (1000 * self.options.kilobytes + self.made % 1000)}


class Instant:
    """Answers at once."""

    async def complete(self, request: Request) -> Completion:
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))


class Paced(MemorySource):
    """Reads at a pace of its own once it is to be calm."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.items())
        self._scene = scene

    async def read(self, limit: int) -> Sequence[Row]:
        if self._scene.calm:
            await anyio.sleep(limit / self._scene.options.calm_pace)
        return await super().read(limit)


class Stuck(Sink):
    """Counts deliveries, and takes very long for one of them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.delivered = bytearray(MOST_RECORDS)  # what grows with the records would count as theirs

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        return None

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        scene = self._scene
        if not scene.stalled and scene.now >= scene.options.stall_at:
            scene.stalled = True
            await anyio.sleep(scene.options.stall)
            scene.calm = True
        for outcome in outcomes:
            self.delivered[outcome.envelope.position] += 1


async def main(options: argparse.Namespace) -> dict[str, Any]:
    """Run and watch; give what was seen."""
    memory, scene = ProcessMemory(), Scene(options)
    sink, alerts, seen, over = Stuck(scene), [], [], threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(memory.resident_bytes())

    def note(alert: ResourceAlert) -> None:
        alerts.append((alert.metric, alert.state, round(scene.now, 1)))

    start = memory.resident_bytes()
    limit = start / MB + options.room
    config = PipelineConfig(
        llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:9/v1"),
        resources=ResourcesConfig(max_memory_mb=limit),
        cache=CacheConfig(enabled=False),
    )
    running = DataProcessingPipeline(config, source=Paced(scene), sink=sink, completer=Instant(), on_alert=note)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        report = await running.run()
    finally:
        over.set()
        watcher.join()
    return {
        "start_mb": start / MB,
        "limit_mb": limit,
        "peak_mb": max(seen) / MB,
        "looks": len(seen),
        "made": scene.made,
        "once": sink.delivered.count(1),
        "never": scene.made - sum(map(bool, sink.delivered)),
        "ending": report.ending,
        "alerts": alerts,
        "seconds": scene.now,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--room", type=float, default=40.0, help="megabytes above what is resident at the start")
    parser.add_argument("--kilobytes", type=int, default=30, help="of a record")
    parser.add_argument("--stall-at", type=float, default=3.0)
    parser.add_argument("--stall", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calm-pace", type=float, default=300.0, help="records a second")
    json.dump(asyncio.run(main(parser.parse_args())), sys.stdout)
