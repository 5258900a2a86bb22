"""What is known of this process and its machine at one moment. What could not be read is `None`, never 0."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Metric = Literal[
    "resident_bytes",
    "memory_used_bytes",
    "cpu_percent",
    "loop_lag_seconds",
    "concurrent",
    "open_files",
    "memory_pressure",
    "cpu_pressure",
    "gpu_memory_ratio",
]
"""What a window keeps figures of: each is the name of a number in a `ResourceSample`."""


class GpuSample(Struct, frozen=True, kw_only=True):
    """One GPU at one moment.

    How busy it is is not among these: NVML's utilisation is the share of time in which any kernel ran, which is 100 %
    at a batch of one.

    Attributes:
        index: its number on this machine, from 0.
        memory_used_bytes: memory in use, by anyone.
        memory_total_bytes: memory it has.
        power_watts: power drawn now.
        power_limit_watts: the most it may draw.
        throttled: why its clocks are held down: `power_cap`, `thermal`, `hardware`, `power_brake`; empty if they are
            not.
    """

    index: int
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    throttled: tuple[str, ...] | None = None


class ResourceSample(Struct, frozen=True, kw_only=True):
    """What is in use, and how much there is of it.

    Attributes:
        at: seconds on the clock of whoever took it; only differences mean anything.
        resident_bytes: memory of this process.
        memory_used_bytes: `memory_limit_bytes` less what the fullest of the process's control groups, or the machine,
            has left. Files in the page cache that were not used lately count as left.
        memory_limit_bytes: the least of the memory limits of the process's control groups and the machine's memory.
        cpu_percent: CPU time of this process since the last sample, as a share of the CPUs that it may use (its
            affinity and its container's quota), 0 to 100. Its child processes do not count.
        cpus: how many CPUs it may use; a quota makes this a fraction.
        loop_lag_seconds: the longest that the event loop was late since the last sample.
        concurrent: operations under way.
        open_files: open file descriptors, sockets among them.
        open_files_limit: the most it may have open.
        memory_pressure: share of time since the last sample, 0 to 1, in which every task waited for memory.
        cpu_pressure: share of time since the last sample, 0 to 1, in which some task waited for a CPU.
        gpus: the GPUs of this machine.
    """

    at: float
    resident_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_percent: float | None = None
    cpus: float | None = None
    loop_lag_seconds: float | None = None
    concurrent: int | None = None
    open_files: int | None = None
    open_files_limit: int | None = None
    memory_pressure: float | None = None
    cpu_pressure: float | None = None
    gpus: tuple[GpuSample, ...] | None = None

    @property
    def gpu_memory_ratio(self) -> float | None:
        """How full the memory of the fullest GPU is, 0 to 1."""
        return max(
            (
                gpu.memory_used_bytes / gpu.memory_total_bytes
                for gpu in self.gpus or ()
                if gpu.memory_used_bytes is not None and gpu.memory_total_bytes
            ),
            default=None,
        )

    def value(self, metric: Metric) -> float | None:
        """Give a figure by its name, or `None` if it is not known."""
        value: float | None = getattr(self, metric)
        return value
