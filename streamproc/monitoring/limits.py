"""How much a process may use, and how near it is to that."""

from __future__ import annotations

import math

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.monitoring.alerting import Reading, ResourceAlert, Unit, alert_of
from streamproc.monitoring.sample import ResourceSample

MB = 1_000_000

_WORDS: dict[str, tuple[str, Unit, str]] = {
    "memory": (
        "The resident memory of this process",
        "bytes",
        "lower batch_processing.max_size, cache.max_size_mb or max_concurrent, or raise max_memory_mb",
    ),
    "container_memory": (
        "The memory in use in this container or machine",
        "bytes",
        "give it more, or end what else runs there; at the limit the system kills processes",
    ),
    "cpu": (
        "The use of the CPUs that this process may use",
        "percent",
        "give it more CPUs, lower max_concurrent, or raise max_cpu_percent",
    ),
    "concurrent": ("The number of operations under way", "count", "begin fewer at once, or raise max_concurrent"),
    "open_files": ("The number of open files", "count", "raise the limit (ulimit -n), or lower max_concurrent"),
    "loop_lag": (
        "The delay of the event loop",
        "seconds",
        "move slow code of a Task or a watcher to a thread, or give the process a CPU of its own",
    ),
    "memory_pressure": (
        "The share of time in which everything waits for memory",
        "share",
        "the machine reclaims or swaps: run less on it, or give it more memory",
    ),
    "gpu_memory": (
        "The memory in use of the fullest GPU",
        "share",
        "lower the engine's batch or context, or its share of the memory",
    ),
}


class ResourceLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of what a process may use. A bound that is `None` is not watched.

    Beside these, the memory of the container or machine and the number of open files are watched, as their bounds are
    known from the system.

    Attributes:
        max_memory_mb: most megabytes (1,000,000 bytes) of resident memory of this process.
        max_cpu_percent: most of the CPUs that it may use, in percent of them together, up to 100.
        max_concurrent: most operations at once. Who works at this bound on purpose leaves `concurrent` out of the
            samples, as a full house counts as no headroom.
        warning_ratio: from this share of a bound on there is a warning, and headroom shrinks.
        critical_ratio: from this share of a bound on it is critical, and there is no headroom.
        max_loop_lag_seconds: how late the event loop may be.
        max_memory_pressure: share of time, 0 to 1, in which all may wait for memory.
        max_gpu_memory_ratio: how full the memory of a GPU may be, 0 to 1. Engines fill it on purpose, so it is not
            watched unless asked for.

    Raises:
        ConfigError: a bound that is not positive, or ratios out of order.
    """

    max_memory_mb: float | None = None
    max_cpu_percent: float | None = None
    max_concurrent: int | None = None
    warning_ratio: float = 0.8
    critical_ratio: float = 0.95
    max_loop_lag_seconds: float | None = 0.25
    max_memory_pressure: float | None = 0.05
    max_gpu_memory_ratio: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            most = {"max_cpu_percent": 100, "max_memory_pressure": 1, "max_gpu_memory_ratio": 1}.get(name, math.inf)
            if value is not None and not (0 < value <= most and value < math.inf):
                raise ConfigError(
                    f"{name}: must be > 0" + (f" and <= {most}" if most < math.inf else "") + f", got {value}"
                )
        if not self.warning_ratio < self.critical_ratio <= 1:
            raise ConfigError(
                f"warning_ratio: must be < critical_ratio, and that <= 1, got {self.warning_ratio} and "
                f"{self.critical_ratio}"
            )

    def readings(self, sample: ResourceSample) -> list[Reading]:
        """Put each watched figure of a sample beside its thresholds; with no value where it or its bound is unknown."""
        figures: list[tuple[str, float | None, float | None]] = [
            ("container_memory", sample.memory_used_bytes, sample.memory_limit_bytes or math.nan),
            ("open_files", sample.open_files, sample.open_files_limit or math.nan),
            ("memory", sample.resident_bytes, None if self.max_memory_mb is None else self.max_memory_mb * MB),
            ("cpu", sample.cpu_percent, self.max_cpu_percent),
            ("concurrent", sample.concurrent, self.max_concurrent),
            ("loop_lag", sample.loop_lag_seconds, self.max_loop_lag_seconds),
            ("memory_pressure", sample.memory_pressure, self.max_memory_pressure),
            ("gpu_memory", sample.gpu_memory_ratio, self.max_gpu_memory_ratio),
        ]
        return [self._reading(metric, value, bound) for metric, value, bound in figures if bound is not None]

    def _reading(self, metric: str, value: float | None, bound: float) -> Reading:
        title, unit, advice = _WORDS[metric]
        return Reading(
            metric=metric,
            value=None if math.isnan(bound) else value,
            warning=bound * self.warning_ratio,
            critical=bound * self.critical_ratio,
            title=title,
            unit=unit,
            advice=advice,
        )

    def check(self, sample: ResourceSample) -> list[ResourceAlert]:
        """Give an alert for each figure of a sample that is over a threshold, at the worst level it reached.

        This looks at one moment only; an `AlertBook` decides what is worth telling.
        """
        alerts = []
        for reading in self.readings(sample):
            value = reading.value
            if value is None:
                continue
            if value >= reading.critical:
                alerts.append(
                    alert_of(reading, "critical", value, reading.critical, firing=True, since=sample.at, at=sample.at)
                )
            elif value >= reading.warning:
                alerts.append(
                    alert_of(reading, "warning", value, reading.warning, firing=True, since=sample.at, at=sample.at)
                )
        return alerts

    def headroom(self, sample: ResourceSample) -> float:
        """Give how much room there is for more work: 1 below every warning, 0 where anything is critical.

        Between the two it falls in a line; what is nearest to its bound decides, and what is not known does not count.
        """
        return min(
            (
                min(1.0, max(0.0, (reading.critical - reading.value) / (reading.critical - reading.warning)))
                for reading in self.readings(sample)
                if reading.value is not None
            ),
            default=1.0,
        )
