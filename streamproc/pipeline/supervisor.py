"""Watches a run: on each tick a snapshot, handed to whoever watches. Turning knobs comes with the control loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from streamproc._log import log
from streamproc.flow.meter import Meter, Snapshot

Watcher = Callable[[Snapshot], None]
"""Looks at a snapshot; quick. One that raises is logged and not asked again."""

TICK_SECONDS = 1.0


class Supervisor:
    """Take snapshots while a run goes on.

    Args:
        meter: the run's figures.
        watchers: called with each snapshot.
    """

    def __init__(self, meter: Meter, watchers: Sequence[Watcher]) -> None:
        self._meter = meter
        self._watchers = list(watchers)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await anyio.sleep(TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        """Show the figures of this moment."""
        snapshot = self._meter.snapshot()
        for watcher in list(self._watchers):
            try:
                watcher(snapshot)
            except Exception as raised:  # noqa: BLE001 - whoever looks on must not end the run
                self._watchers.remove(watcher)
                log.warning("watcher.dropped", error_type=type(raised).__name__, reason=str(raised))
