"""What watching over a run costs: the processor time of ticks and guards, as a share of one core.

It runs a pipeline whose calls hang, so that gauges, windows and records on their way are
as in a real run, and ticks its supervisor as often as told, as fast as that goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import Struct

from bench.figures import Finding, figure
from bench.machine import CLIENT_CORE, pin
from bench.scenario import Setting
from streamproc import PerformanceBenchmark
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
"""A hundredth of one core."""


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


async def cost(ticks: int = TICKS) -> Cost:
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
    ticking = PerformanceBenchmark("ticks", clock=time.process_time)
    guarding = PerformanceBenchmark("looks at the memory", clock=time.process_time)
    with ticking, guarding:
        for _ in range(ticks):
            with ticking.measure():
                supervisor.tick()
            supervisor._guarded_at = 0.0  # noqa: SLF001
            with guarding.measure():
                supervisor.guard()
    task.cancel()
    await asyncio.wait([task])
    ticked, guarded = ticking.report(), guarding.report()
    a_second = 1e3 * (ticked.mean / TICK_SECONDS + guarded.mean / GUARD_SECONDS)
    return Cost(1e6 * ticked.p50, 1e6 * ticked.p99, 1e6 * guarded.mean, a_second)


def measure(setting: Setting) -> Iterator[Finding]:
    """Tell what it takes in a second, beside that second."""
    pin(CLIENT_CORE)
    costs = [asyncio.run(cost(setting.records(TICKS))) for _ in range(setting.pairs)]
    against = "a second of one core"
    yield figure("ticks and guards", against, "ms", [(1000.0, each.ms_a_second) for each in costs], "ours")
    yield figure("99 of 100 ticks within", against, "ms", [(1000.0, each.tick_p99 / 1e3) for each in costs], "ours")
