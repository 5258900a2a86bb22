"""What watching over a run costs: the processor time of ticks and guards, as a share of one core.

`python -m bench.supervisor_cost` runs a pipeline whose calls hang, so that gauges, windows and records on their way are
as in a real run, and ticks its supervisor as often as told, as fast as that goes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import Struct

from streamproc.completions import Completion, Request, Usage
from streamproc.llm.config import LlmConfig
from streamproc.pipeline.config import ConcurrencyConfig, PipelineConfig, ResourcesConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.run import Run
from streamproc.pipeline.supervisor import GUARD_SECONDS, TICK_SECONDS
from streamproc.sinks.memory import MemorySink
from streamproc.sources.memory import MemorySource

TICKS = 1000
CALLS = 64
ANSWERED = 5000
MOST_MS_A_SECOND = 10.0


class Cost(Struct, frozen=True):
    """Processor time in microseconds.

    Attributes:
        tick: of one tick, in the median.
        tick_p99: of one tick; 99 of 100 took no longer.
        guard: of one look at the memory, on average.
        ms_a_second: of both in a second of a run that reads all the time, in milliseconds.
    """

    tick: float
    tick_p99: float
    guard: float
    ms_a_second: float


class _Hanging:
    """Answers the first requests at once, and the others never."""

    def __init__(self) -> None:
        self._left = ANSWERED
        self.full = anyio.Event()

    async def complete(self, request: Request) -> Completion:
        if not self._left:
            self.full.set()
            await anyio.sleep_forever()
        self._left -= 1
        await anyio.lowlevel.checkpoint()
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(30, 3))


async def measure(ticks: int = TICKS) -> Cost:
    """Tick so often in the middle of a run."""
    config = PipelineConfig(
        llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:9/v1"),
        concurrency=ConcurrencyConfig(initial=CALLS),
        resources=ResourcesConfig(deadline_seconds=3600.0, max_memory_mb=1e6),
    )
    model, source = _Hanging(), MemorySource([{"text": f"t{number}"} for number in range(4 * ANSWERED)])
    made = DataProcessingPipeline(config, source=source, sink=MemorySink(), completer=model)
    task = asyncio.ensure_future(made.run())
    await model.full.wait()
    run: Any = made._run  # noqa: SLF001 - nobody else could tick it as often
    assert isinstance(run, Run)
    supervisor = run._supervisor  # noqa: SLF001
    ticked, guarded = [], []
    for _ in range(ticks):
        began = time.process_time_ns()
        supervisor.tick()
        ticked.append(time.process_time_ns() - began)
        supervisor._guarded_at = 0.0  # noqa: SLF001
        began = time.process_time_ns()
        supervisor.guard()
        guarded.append(time.process_time_ns() - began)
    task.cancel()
    await asyncio.wait([task])
    tick, guard = statistics.mean(ticked) / 1e3, statistics.mean(guarded) / 1e3
    a_second = (tick / TICK_SECONDS + guard / GUARD_SECONDS) / 1e3
    ordered = sorted(ticked)
    return Cost(statistics.median(ticked) / 1e3, ordered[int(0.99 * len(ordered))] / 1e3, guard, a_second)


def main() -> int:
    """Measure and print; 1 where it is more than a hundredth of a core."""
    cost = asyncio.run(measure())
    print(f"a tick {cost.tick:.0f} us (99 of 100 at most {cost.tick_p99:.0f} us)")
    print(f"a look at the memory {cost.guard:.1f} us")
    print(f"together at most {cost.ms_a_second:.2f} ms a second; wanted: less than {MOST_MS_A_SECOND:.0f}")
    return int(cost.ms_a_second >= MOST_MS_A_SECOND)


if __name__ == "__main__":
    sys.exit(main())
