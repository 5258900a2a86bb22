"""The one wire between what a run does and what decides about it: on each tick figures in, knobs out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import anyio

from streamproc._log import log
from streamproc.control.performance import PerformanceOptimizer, Plan
from streamproc.control.windows import Window
from streamproc.flow.ledger import Ledger
from streamproc.flow.meter import Meter, Snapshot
from streamproc.llm.endpoint import Endpoint
from streamproc.monitoring.free_memory import FreeMemory, find_trim
from streamproc.monitoring.sample import ResourceSample
from streamproc.pipeline.knobs import Knob, KnobLog
from streamproc.pipeline.scale import Scale
from streamproc.pipeline.vigil import Vigil
from streamproc.pipeline.windows import window_between

Watcher = Callable[[Snapshot], None]
"""Looks at a snapshot; quick. One that raises is logged and not asked again."""

TICK_SECONDS = 1.0
GUARDS_A_TICK = 4
"""Memory fills faster than a tick: it is looked at so many times in one, whatever else goes on."""
GUARD_SECONDS = 0.01
"""While records are read, it is looked at as often as this: a second of reading may be hundreds of megabytes."""
SHORT_SECONDS = 30.0
"""After memory was short, what is freed is given back for so long: an alert ends only well below where it began."""
WINDOWS_KEPT = 3600


class Supervisor:
    """Look at a run once a second, and turn its knobs. What goes wrong here is logged and leaves the knobs as they are.

    Args:
        meter: the run's figures.
        watchers: called with each snapshot.
        endpoint: whose admission and permits are kept up to date.
        ledger: bounds the records on their way.
        optimizer: decides.
        vigil: watches the machine; `None` where nothing is monitored.
        scale: keeps the number of workers that would be needed.
        most: model calls that may ever be in the air at once.
        knobs: of others, to be logged beside.

    Attributes:
        windows: what was seen, the last hour.
        headroom: how much memory was free at the last look, 0 to 1.
    """

    def __init__(
        self,
        meter: Meter,
        watchers: Sequence[Watcher],
        endpoint: Endpoint,  # type: ignore[type-arg]  # whatever it is asked
        ledger: Ledger,
        optimizer: PerformanceOptimizer,
        vigil: Vigil | None,
        scale: Scale,
        most: int,
        knobs: Sequence[Knob] = (),
    ) -> None:
        self._meter = meter
        self._watchers = list(watchers)
        self._endpoint = endpoint
        self._ledger = ledger
        self._optimizer = optimizer
        self._vigil = vigil
        self._scale = scale
        self._most = most
        self._before = meter.snapshot()
        self._plan: Plan | None = None
        self._failed = False
        self.headroom = 1.0
        self._guarded_at = self._short_at = -math.inf
        self._free_memory = FreeMemory(find_trim())
        self.windows: deque[Window] = deque(maxlen=WINDOWS_KEPT)
        self._knobs = KnobLog([*self._own_knobs(), *knobs])

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            for _ in range(GUARDS_A_TICK):
                await anyio.sleep(TICK_SECONDS / GUARDS_A_TICK)
                self.guard()
                await self._give_back(anyio.current_time())
            self.tick()

    async def _give_back(self, now: float) -> None:
        if self.headroom < 1:
            self._short_at = now
        if now - self._short_at > SHORT_SECONDS:
            return
        try:
            await self._free_memory.give_back(now, urgent=self._optimizer.intake_closed)
        except Exception as raised:  # noqa: BLE001 - trying to help must not end the run
            self._contain(raised)

    def guard(self) -> None:
        """Hold reading to what memory bears. To be asked before each reading: memory is looked at now and then."""
        now = anyio.current_time()
        if self._vigil is None or now - self._guarded_at < GUARD_SECONDS:
            return
        self._guarded_at = now
        try:
            self.headroom = self._vigil.memory_headroom()
            self._ledger.resize(self._optimizer.span_for(self.headroom))
        except Exception as raised:  # noqa: BLE001 - a mistake in deciding must not end the run
            self._contain(raised)

    def tick(self) -> None:
        """Decide anew, and show the figures of this moment."""
        snapshot = self._meter.snapshot()
        try:
            self._decide(snapshot)
        except Exception as raised:  # noqa: BLE001 - a mistake in deciding must not end the run
            self._contain(raised)
        self._before = snapshot
        for watcher in list(self._watchers):
            try:
                watcher(snapshot)
            except Exception as raised:  # noqa: BLE001 - whoever looks on must not end the run
                self._watchers.remove(watcher)
                log.warning("watcher.dropped", error_type=type(raised).__name__, reason=str(raised))

    def _contain(self, raised: Exception) -> None:
        if not self._failed:
            log.error("supervisor.failed", error_type=type(raised).__name__, reason=str(raised), exc_info=raised)
        self._failed = True

    def _decide(self, snapshot: Snapshot) -> None:
        admission = self._endpoint.admission
        admission.tick(snapshot.at)
        sample: ResourceSample | None = None
        headroom = 1.0
        if self._vigil is not None:
            sample = self._vigil.tick(snapshot)
            headroom = self._vigil.memory_headroom()
        closed = self._optimizer.intake_closed
        window = window_between(self._before, snapshot, admission, self._most, sample, intake_closed=closed)
        self.windows.append(window)
        self._scale.tick(window, snapshot.at)
        self._plan = plan = self._optimizer.plan([window], headroom)
        self._ledger.resize(plan.span)
        admission.cap = plan.cap
        if not plan.learning:
            admission.restart(snapshot.at)
        self._endpoint.settle()
        self._knobs.look()

    def _own_knobs(self) -> list[Knob]:
        admission = self._endpoint.admission
        pace = admission.pace
        return [
            Knob("llm_call_permits", lambda: admission.limit, lambda: admission.reason, 0.1),
            Knob("requests_per_minute", lambda: _per_minute(pace.requests_per_second), lambda: pace.reason, 0.1),
            Knob("tokens_per_minute", lambda: _per_minute(pace.tokens_per_second), lambda: pace.reason, 0.1),
            Knob("records_span", lambda: self._ledger.capacity, lambda: self._plan.reason if self._plan else "", 0.1),
        ]


def _per_minute(rate: float | None) -> int:
    """Give a rate a second by the minute; 0 for none."""
    return 0 if rate is None else round(60 * rate)
