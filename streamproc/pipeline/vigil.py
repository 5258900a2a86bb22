"""Watches over a run's machine and its progress: samples, alerts, and how much memory is left."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from streamproc.flow.meter import Snapshot
from streamproc.monitoring.alerting import Reading, ResourceAlert
from streamproc.monitoring.configured_webhook import webhook_from
from streamproc.monitoring.gpu import NvmlProbe, ProbeThread
from streamproc.monitoring.limits import MB, ResourceLimits
from streamproc.monitoring.listeners import AlertListener, log_alert
from streamproc.monitoring.loop_lag import LoopLag
from streamproc.monitoring.process import ProcessMemory
from streamproc.monitoring.sample import ResourceSample
from streamproc.monitoring.sampler import Sampler
from streamproc.monitoring.watch import ResourceWatch
from streamproc.pipeline.config import PipelineConfig

ALERTS_KEPT = 100
BLOCKED = "storage_blocked"


class Vigil:
    """Take a sample on each tick, tell of alerts, and say at any time how much memory is left.

    Beside the machine it watches for a stall: records are on their way, and none has arrived for long; and for writes
    that are blocked.

    Args:
        watch: takes samples and knows the limits.
        stall_seconds: how long without a delivery is worth a warning; four times as long is critical.

    Attributes:
        alerts: what fired and what was resolved, the last hundred.
    """

    def __init__(self, watch: ResourceWatch, stall_seconds: float) -> None:
        self._watch = watch
        self._stall_seconds = stall_seconds
        self._memory = ProcessMemory()
        self._delivered = 0
        self._delivered_at: float | None = None
        self._shared = 1.0
        self.alerts: deque[ResourceAlert] = deque(maxlen=ALERTS_KEPT)
        watch.on_alert(self.alerts.append)

    def tick(self, snapshot: Snapshot) -> ResourceSample:
        """Look at the machine and at the run."""
        sample, _ = self._watch.tick(snapshot.at, [self._stall(snapshot), _blocked(snapshot)])
        limit, used = sample.memory_limit_bytes, sample.memory_used_bytes
        if limit is not None and used is not None:
            self._shared = _headroom(used, limit, self._watch.limits)
        return sample

    def memory_headroom(self) -> float:
        """Give how much memory is left, for this process and its container: 1 below the warning, 0 where critical.

        The process is looked at now, its container at the last tick.
        """
        limits = self._watch.limits
        if limits.max_memory_mb is None:
            return self._shared
        own = _headroom(self._memory.resident_bytes(), limits.max_memory_mb * MB, limits)
        return min(own, self._shared)

    def _stall(self, snapshot: Snapshot) -> Reading:
        delivered = snapshot.counter("records_completed_total") + snapshot.counter("records_failed_total")
        if delivered != self._delivered or self._delivered_at is None or not snapshot.gauges["records_in_flight"]:
            self._delivered, self._delivered_at = delivered, snapshot.at
        return Reading(
            metric="stall",
            value=snapshot.at - self._delivered_at,
            warning=self._stall_seconds,
            critical=4 * self._stall_seconds,
            title="The time since the last record was delivered, with records on their way,",
            unit="seconds",
            advice="look whether the endpoint answers and the sink can write",
        )


@asynccontextmanager
async def keeping_watch(
    config: PipelineConfig, listeners: Sequence[AlertListener], getenv: Callable[[str], str | None]
) -> AsyncIterator[Vigil | None]:
    """Watch over a run while the block runs; gives `None` where the configuration wants nothing monitored.

    Args:
        config: says what is watched, and whom to tell.
        listeners: told of alerts, beside the log and the webhook.
        getenv: looks the webhook's address up.

    Raises:
        ConfigError: the webhook's variable is not set, or holds no address that is allowed.
    """
    resources = config.resources
    if not resources.monitoring_enabled:
        yield None
        return
    async with AsyncExitStack() as stack:
        told: list[AlertListener] = [log_alert, *listeners]
        webhook = webhook_from(config.alerts, getenv)
        if webhook is not None:
            told.append(await stack.enter_async_context(webhook))
        lag = LoopLag()
        lag.start()
        stack.callback(lag.stop)
        gpus: ProbeThread | None = None
        if resources.gpu_monitoring and (probe := NvmlProbe.find()) is not None:
            gpus = ProbeThread(probe)
            stack.callback(gpus.close)
        limits = ResourceLimits(
            max_memory_mb=resources.max_memory_mb,
            max_cpu_percent=resources.max_cpu_percent,
            warning_ratio=resources.warning_ratio,
            critical_ratio=resources.critical_ratio,
        )
        watch = ResourceWatch(limits, Sampler(loop_lag=lag.take, gpus=gpus), listeners=told)
        yield Vigil(watch, resources.stall_seconds)


def _blocked(snapshot: Snapshot) -> Reading:
    return Reading(
        metric=BLOCKED,
        value=snapshot.gauges["writes_blocked"],
        critical=1,
        title="The number of writes that wait for a full disk or a locked file",
        advice="make room, or end what holds the file; the run goes on by itself",
    )


def _headroom(used: float, limit: float, limits: ResourceLimits) -> float:
    warning, critical = limits.warning_ratio * limit, limits.critical_ratio * limit
    return min(1.0, max(0.0, (critical - used) / (critical - warning)))
