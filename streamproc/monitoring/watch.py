"""Samples, limits and alerts in one place, without a task: for whoever has a tick of its own."""

from __future__ import annotations

from collections.abc import Iterable

from streamproc.monitoring.alerting import AlertBook, AlertTiming, Reading, ResourceAlert
from streamproc.monitoring.limits import ResourceLimits
from streamproc.monitoring.listeners import AlertListener, Listeners, log_alert
from streamproc.monitoring.metrics import ResourceMetrics
from streamproc.monitoring.sample import ResourceSample
from streamproc.monitoring.sampler import Sampler


class ResourceWatch:
    """Take a sample on each tick, hold it against the limits, and tell of alerts.

    Args:
        limits: what may be used.
        sampler: takes the samples.
        window_seconds: how far back `metrics` looks.
        timing: how patient alerts are.
        listeners: told of each alert; at first only the log.

    Attributes:
        limits: what may be used.
        metrics: figures over the last samples.
        alerts: what fires, and what else is watched by readings of one's own.
    """

    def __init__(
        self,
        limits: ResourceLimits,
        sampler: Sampler | None = None,
        *,
        window_seconds: float = 60.0,
        timing: AlertTiming | None = None,
        listeners: Iterable[AlertListener] = (log_alert,),
    ) -> None:
        self.limits = limits
        self.metrics = ResourceMetrics(window_seconds)
        self.alerts = AlertBook(timing)
        self._sampler = sampler or Sampler()
        self._listeners = Listeners(listeners)
        self._headroom = 1.0

    @property
    def headroom(self) -> float:
        """How much room there was for more work at the last tick, 0 to 1; 1 before the first."""
        return self._headroom

    def on_alert(self, listener: AlertListener) -> None:
        """Have another one told of each alert from now on."""
        self._listeners.add(listener)

    def tick(self, now: float, readings: Iterable[Reading] = ()) -> tuple[ResourceSample, list[ResourceAlert]]:
        """Take a sample, and tell of what it gives reason to.

        Args:
            now: seconds on a clock that never goes back.
            readings: figures of one's own to watch beside, such as for how long no record has been finished. Leave
                none out from one tick to the next: what is not known belongs here with no value.

        Returns:
            The sample, and the alerts that were told.
        """
        sample = self._sampler.sample(now)
        self.metrics.add(sample)
        self._headroom = self.limits.headroom(sample)
        alerts = self.alerts.observe([*self.limits.readings(sample), *readings], now)
        for alert in alerts:
            self._listeners.tell(alert)
        return sample, alerts

    def recommend_batch_size(self, current: int) -> int:
        """Give a size for the next batch: up to half as large when room runs out, a tenth larger when there is plenty.

        The caller bounds it from above.

        Raises:
            ValueError: a size below 1.
        """
        if current < 1:
            raise ValueError(f"current must be >= 1, got {current}")
        if self._headroom >= 1:
            return current + max(1, current // 10)
        return max(1, int(current * (1 + self._headroom) / 2))
