"""One run, from opened parts to the last commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from streamproc.control.performance import PerformanceOptimizer
from streamproc.errors import ProviderStop, StreamprocError, first_of
from streamproc.flow.clock import running_clock
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.meter import Meter, Snapshot
from streamproc.pipeline.findings import Findings, find_out
from streamproc.pipeline.parts import Parts
from streamproc.pipeline.report import Ending
from streamproc.pipeline.scale import Scale
from streamproc.pipeline.supervisor import Supervisor, Watcher
from streamproc.pipeline.wiring import Wiring

LEAST_SPAN = 16
"""Records that may be on their way shortly before memory is critical."""


class Run:
    """Stages around one ledger, at work under a supervisor.

    Attributes:
        meter: the figures.
        halt: ends the run early.

    Args:
        parts: what it works with.
        watchers: called with a snapshot each second.
    """

    def __init__(self, parts: Parts, watchers: Sequence[Watcher] = ()) -> None:
        self.meter = Meter(running_clock())
        self.halt = Halt()
        self._wiring = wiring = Wiring(parts, self.meter, self.halt)
        self._optimizer = PerformanceOptimizer(wiring.ledger.capacity, min(LEAST_SPAN, wiring.ledger.capacity))
        self._vigil = parts.vigil
        self._scale = Scale(parts.source, wiring.ledger, parts.config.resources.deadline_seconds, self.meter.clock())
        if parts.config.resources.deadline_seconds is not None:
            self.meter.gauge("workers_needed", lambda: self._scale.workers_needed or 0)
        self._supervisor = Supervisor(
            self.meter,
            watchers,
            wiring.endpoint,
            wiring.ledger,
            self._optimizer,
            parts.vigil,
            self._scale,
            parts.config.resources.max_concurrent,
            wiring.knobs,
        )
        wiring.feed.guard = self._supervisor.guard
        wiring.headroom = lambda: self._supervisor.headroom

    async def execute(self) -> Ending:
        """Work until the source ends or a halt is done with, and everything that has an outcome is committed.

        Raises:
            ProviderStop: the provider ended it; what was answered is committed.
            StorageFailed, Refused: a part failed; nothing after the last commit is claimed.
            StreamprocError: records were lost inside, which no run should ever see.
        """
        try:
            async with asyncio.TaskGroup() as group:
                supervisor = group.create_task(self._supervisor.run())
                async with asyncio.TaskGroup() as stages:
                    for stage in self._wiring.stages:
                        stages.create_task(stage.run(), name=f"streamproc {stage.name}")
                supervisor.cancel()
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            for end in self._wiring.ends:
                end.close()
        self._supervisor.tick()
        if isinstance(self.halt.cause, ProviderStop):
            raise self.halt.cause
        if self.halt.requested:
            return "drained"
        if self._wiring.ledger.in_flight:
            raise StreamprocError(
                f"{self._wiring.ledger.in_flight} records have no outcome; the same command continues"
            )
        return "finished"

    def drain(self) -> None:
        """Read no more and send no more; end when the calls under way are delivered."""
        self.halt.request(Drain.REQUESTED)

    def abort(self) -> None:
        """End the calls under way too; what has arrived is delivered."""
        self.drain()
        self._wiring.endpoint.abort()

    def snapshot(self) -> Snapshot:
        """Give the figures of this moment."""
        return self.meter.snapshot()

    def findings(self) -> Findings:
        """Say what limited the run so far, what could be done about it, and what alerts there were."""
        return find_out(
            self._optimizer, list(self._supervisor.windows), self._goodput(), self._vigil, self._scale.would_have_met
        )

    def _goodput(self) -> dict[int, float]:
        concurrency = self._wiring.endpoint.admission.concurrency
        return concurrency.goodput() if isinstance(concurrency, ConcurrencyOptimizer) else {}
