"""The GPUs of this machine: memory, power, and what holds their clocks down. Only with `streamproc[gpu]`.

Asking a driver may take milliseconds, so on an event loop a `GpuProbe` is asked through `ProbeThread`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from streamproc.monitoring.sample import GpuSample

INTERVAL_SECONDS = 5.0

_HELD_DOWN_BY = {
    0x04: "power_cap",
    0x08: "hardware",
    0x20: "thermal",
    0x40: "thermal",
    0x80: "power_brake",
}
"""NVML's bits that mean a want of something; the others (idle, settings, a neighbour's clock) mean none."""


class GpuProbe(Protocol):
    """What can tell how GPUs are doing."""

    def read(self) -> tuple[GpuSample, ...] | None:
        """Give a sample for each GPU, or `None` where nothing can be told. Never raises; may block."""


class NvmlProbe:
    """Asks NVIDIA's management library. Make one with `NvmlProbe.find`.

    Args:
        nvml: the module `pynvml`, initialised.
        handles: the devices, as it gave them.
    """

    def __init__(self, nvml: ModuleType | Any, handles: list[Any]) -> None:
        self._nvml = nvml
        self._handles = handles

    @classmethod
    def find(cls, load: Callable[[str], Any] = import_module) -> NvmlProbe | None:
        """Give a probe, or `None` where there is no library, no driver or no GPU. Blocks while the driver wakes.

        Args:
            load: imports a module by name.
        """
        try:
            nvml = load("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            return None
        return cls(nvml, handles) if handles else None

    def read(self) -> tuple[GpuSample, ...] | None:
        """Give a sample for each GPU, each with what its board tells. Never raises; may block."""
        return tuple(self._sample(index, handle) for index, handle in enumerate(self._handles))

    def _sample(self, index: int, handle: Any) -> GpuSample:
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        power = self._ask("nvmlDeviceGetPowerUsage", handle)
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
        if reasons is None:  # its name before driver 535
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        return GpuSample(
            index=index,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            power_watts=None if power is None else power / 1000,
            power_limit_watts=None if limit is None else limit / 1000,
            throttled=None
            if reasons is None
            else tuple(sorted({name for bit, name in _HELD_DOWN_BY.items() if reasons & bit})),
        )

    def _ask(self, name: str, handle: Any) -> Any:
        """Give what NVML answers, or `None`: boards lack this and that, and so do versions of the library."""
        question = getattr(self._nvml, name, None)
        if question is None:
            return None
        try:
            return question(handle)
        except self._nvml.NVMLError:
            return None


class ProbeThread:
    """Asks a slow probe on a thread, and gives at once what it said last.

    The thread begins with the first `read` and ends with `close`, or with the process.

    Args:
        probe: what to ask.
        interval_seconds: from one answer to the next question.
    """

    def __init__(self, probe: GpuProbe, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._probe = probe
        self._interval = interval_seconds
        self._latest: tuple[GpuSample, ...] | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> tuple[GpuSample, ...] | None:
        """Give the last answer, or `None` before the first. Never blocks."""
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._run, name="streamproc-gpu", daemon=True)
            self._thread.start()
        return self._latest

    def close(self) -> None:
        """Ask no more. Does not wait for a question under way; harmless when called twice."""
        self._closed.set()
        self._latest = None

    def _run(self) -> None:
        while not self._closed.is_set():
            latest = self._probe.read()
            if not self._closed.is_set():
                self._latest = latest
            self._closed.wait(self._interval)
