"""Takes samples. Plain and synchronous: whoever has a tick of its own asks it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from streamproc.flow.clock import Clock
from streamproc.monitoring.cgroups import Cgroups
from streamproc.monitoring.gpu import GpuProbe
from streamproc.monitoring.pressure import PressureMeter
from streamproc.monitoring.process import CpuMeter, ProcessMemory, allowed_cpus, open_files, open_files_limit
from streamproc.monitoring.sample import ResourceSample


class Sampler:
    """Look at this process and its machine. One sample takes 0.2 ms (median of 1,000 on two busy
    CPUs, in control groups two deep; the 99th percentile is 0.35 ms).

    It asks for nothing that grows with memory or with child processes. What cannot be read is `None`; it never raises.

    Args:
        loop_lag: gives the longest lag since it was last asked, such as `LoopLag.take`.
        concurrent: gives the operations under way.
        gpus: asked for the GPUs; it must not block, see `ProbeThread`.
        root: where `proc` and `sys` lie.
        clock: seconds, for what is counted over time; a real one, as the system counts real time.
    """

    def __init__(
        self,
        *,
        loop_lag: Callable[[], float | None] = lambda: None,
        concurrent: Callable[[], int | None] = lambda: None,
        gpus: GpuProbe | None = None,
        root: Path = Path("/"),
        clock: Clock = time.monotonic,
    ) -> None:
        self._loop_lag = loop_lag
        self._concurrent = concurrent
        self._gpus = gpus
        self._memory = ProcessMemory()
        self._cpu = CpuMeter(clock)
        self._cgroups = Cgroups(root)
        own = self._cgroups.folders[:1]
        self._memory_pressure = PressureMeter(
            [*(folder / "memory.pressure" for folder in own), root / "proc/pressure/memory"], "full", clock
        )
        self._cpu_pressure = PressureMeter(
            [*(folder / "cpu.pressure" for folder in own), root / "proc/pressure/cpu"], "some", clock
        )

    def sample(self, at: float) -> ResourceSample:
        """Take a sample.

        Args:
            at: what it is dated, in seconds on the caller's clock.
        """
        cpus = allowed_cpus(self._cgroups.cpus())
        used, limit = self._shared_memory()
        return ResourceSample(
            at=at,
            resident_bytes=self._resident(),
            memory_used_bytes=used,
            memory_limit_bytes=limit,
            cpu_percent=self._cpu.percent(cpus),
            cpus=cpus,
            loop_lag_seconds=self._loop_lag(),
            concurrent=self._concurrent(),
            open_files=open_files(),
            open_files_limit=open_files_limit(),
            memory_pressure=self._memory_pressure.read(),
            cpu_pressure=self._cpu_pressure.read(),
            gpus=None if self._gpus is None else self._gpus.read(),
        )

    def _resident(self) -> int | None:
        try:
            return int(self._memory.resident_bytes())
        except (OSError, psutil.Error):
            return None

    def _shared_memory(self) -> tuple[int | None, int | None]:
        """Give the memory in use and the limit, of the groups and the machine together."""
        bounds = [(group.limit_bytes, group.used_bytes) for group in self._cgroups.memory()]
        try:
            machine = psutil.virtual_memory()
        except (OSError, psutil.Error):
            pass
        else:
            bounds.append((machine.total, machine.total - machine.available))
        return tightest(bounds)


def tightest(bounds: list[tuple[int, int | None]]) -> tuple[int | None, int | None]:
    """Put bounds within each other into one: as much in use as leaves what the fullest leaves, of the least limit.

    Args:
        bounds: a limit each and how much is in use under it, if that is known.
    """
    limit = min((limit for limit, _ in bounds), default=None)
    left = min((limit - used for limit, used in bounds if used is not None), default=None)
    if limit is None or left is None:
        return None, limit
    return limit - max(0, min(left, limit)), limit
