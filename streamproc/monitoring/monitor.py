"""A monitor to use by itself: samples on a task of its own."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AbstractContextManager
from typing import Self

from streamproc._closing import Closing
from streamproc.monitoring.alerting import AlertTiming, ResourceAlert
from streamproc.monitoring.gpu import GpuProbe, ProbeThread
from streamproc.monitoring.limits import ResourceLimits
from streamproc.monitoring.listeners import AlertListener
from streamproc.monitoring.loop_lag import LoopLag
from streamproc.monitoring.metrics import ResourceMetrics
from streamproc.monitoring.operations import Operations
from streamproc.monitoring.sample import ResourceSample
from streamproc.monitoring.sampler import Sampler
from streamproc.monitoring.watch import ResourceWatch


class ResourceMonitor(Closing):
    """Watch what this process uses, once a second, and tell when it is too much.

        async with ResourceMonitor(ResourceLimits(max_memory_mb=2000, max_concurrent=64)) as monitor:
            monitor.on_alert(print)
            with monitor.track():
                ...

    While the block runs it samples on a task of its own; `sample` can be called besides, and without entering it too.

    Args:
        limits: what may be used.
        interval_seconds: from one sample to the next.
        window_seconds: how far back `metrics` looks.
        timing: how patient alerts are.
        gpus: what tells how GPUs are doing, such as `NvmlProbe.find()`; asked on a thread of its own.

    Raises:
        ValueError: times that are not positive.
    """

    def __init__(
        self,
        limits: ResourceLimits,
        interval_seconds: float = 1.0,
        *,
        window_seconds: float = 60.0,
        timing: AlertTiming | None = None,
        gpus: GpuProbe | None = None,
    ) -> None:
        if not 0 < interval_seconds < math.inf:
            raise ValueError(f"interval_seconds must be > 0, got {interval_seconds}")
        self._interval = interval_seconds
        self._lag = LoopLag()
        self._gpus = None if gpus is None else ProbeThread(gpus)
        self._operations = Operations(limits.max_concurrent)
        sampler = Sampler(loop_lag=self._lag.take, concurrent=lambda: self._operations.under_way, gpus=self._gpus)
        self._watch = ResourceWatch(limits, sampler, window_seconds=window_seconds, timing=timing)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is None:
            self._lag.start()
            self._task = asyncio.create_task(self._run(), name="streamproc-monitor")
        return self

    async def aclose(self) -> None:
        """Sample no more. What was gathered stays. Harmless when called twice."""
        self._lag.stop()
        if self._gpus is not None:
            self._gpus.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    @property
    def metrics(self) -> ResourceMetrics:
        """Figures over the last samples."""
        return self._watch.metrics

    @property
    def headroom(self) -> float:
        """How much room there was for more work at the last sample, 0 to 1; 1 before the first."""
        return self._watch.headroom

    @property
    def alerts(self) -> list[ResourceAlert]:
        """The alerts that fire now."""
        return self._watch.alerts.firing

    @property
    def operations(self) -> Operations:
        """The operations that `track` counts."""
        return self._operations

    def on_alert(self, callback: AlertListener) -> None:
        """Have `callback` called with each alert that begins, is repeated, or ends.

        It runs on the event loop, so it is quick. One that raises is logged and asked again next time.
        """
        self._watch.on_alert(callback)

    def sample(self) -> ResourceSample:
        """Take a sample now; it counts as any other. Takes well under a millisecond."""
        return self._watch.tick(_now())[0]

    def track(self) -> AbstractContextManager[None]:
        """Count one operation while the `with` block runs, however it ends.

        Raises:
            LimitReached: on entering, when `max_concurrent` are under way; nothing was begun.
        """
        return self._operations.track()

    def recommend_batch_size(self, current: int) -> int:
        """Give a size for the next batch: up to half as large when room runs out, a tenth larger when there is plenty.

        The caller bounds it from above.

        Raises:
            ValueError: a size below 1.
        """
        return self._watch.recommend_batch_size(current)

    async def _run(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(self._interval)


def _now() -> float:
    """Give the event loop's time, or that of its usual clock where none runs."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
