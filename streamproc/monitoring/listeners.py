"""Whoever wants to know of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamproc._log import log
from streamproc.monitoring.alerting import ResourceAlert

AlertListener = Callable[[ResourceAlert], None]
"""Takes an alert; quick, as it is called on the event loop. One that raises is logged, and asked again next time."""


def log_alert(alert: ResourceAlert) -> None:
    """Write an alert to the log as `alert.firing` or `alert.resolved`."""
    level = "info" if alert.state == "resolved" else "error" if alert.level == "critical" else "warning"
    getattr(log, level)(
        f"alert.{alert.state}",
        metric=alert.metric,
        severity=alert.level,
        value=alert.value,
        threshold=alert.threshold,
        lasted_seconds=alert.at - alert.since,
        reason=alert.message,
    )


class Listeners:
    """Tell everyone, whatever one of them does.

    Args:
        listeners: who is there from the start.
    """

    def __init__(self, listeners: Iterable[AlertListener] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: AlertListener) -> None:
        """Have another one told from now on."""
        self._listeners.append(listener)

    def tell(self, alert: ResourceAlert) -> None:
        """Call each with an alert."""
        for listener in list(self._listeners):
            try:
                listener(alert)
            except Exception as raised:  # noqa: BLE001 - whoever looks on must not end the run
                log.warning("alert.listener_failed", error_type=type(raised).__name__, reason=str(raised))
