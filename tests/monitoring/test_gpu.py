"""GPUs against a library that is made up, as few machines have one."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from streamproc.monitoring.gpu import NvmlProbe, ProbeThread
from streamproc.monitoring.sample import GpuSample


class FakeNvml:
    """Looks like the module `pynvml`."""

    class NVMLError(Exception):
        """What it raises."""

    def __init__(self, gpus: int = 1, missing: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self._gpus = gpus
        self._missing = missing
        self._broken = broken

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml"):
            if name in self._missing:
                raise AttributeError(name)
            if name in self._broken:
                return self._refuse
        return super().__getattribute__(name)

    def _refuse(self, *_: object) -> None:
        raise FakeNvml.NVMLError("not supported")

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self._gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=60 + handle, total=80, free=20)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 350_500 + handle

    def nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetCurrentClocksEventReasons(self, _: int) -> int:  # noqa: N802
        return 0x1 | 0x4 | 0x20 | 0x40

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: int) -> int:  # noqa: N802
        return 0x80


def probe(nvml: FakeNvml) -> NvmlProbe | None:
    return NvmlProbe.find(lambda name: {"pynvml": nvml}[name])


def test_what_the_library_says() -> None:
    """Milliwatts become watts, and bits become names; being idle is no want of anything."""
    found = probe(FakeNvml(gpus=2))
    assert found is not None
    first, second = found.read() or ()
    assert first == GpuSample(
        index=0,
        memory_used_bytes=60,
        memory_total_bytes=80,
        power_watts=350.5,
        power_limit_watts=700,
        throttled=("power_cap", "thermal"),
    )
    assert (second.index, second.memory_used_bytes) == (1, 61)


def test_what_a_board_lacks_is_not_known() -> None:
    """A question that the board refuses, or that an older library does not know, has no answer and is no error."""
    names = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit")
    reasons = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    for nvml in (FakeNvml(missing=names + reasons), FakeNvml(broken=names + reasons)):
        found = probe(nvml)
        assert found is not None
        assert found.read() == (GpuSample(index=0),)
    older = probe(FakeNvml(missing=reasons[:1]))
    assert older is not None
    assert [gpu.throttled for gpu in older.read() or ()] == [("power_brake",)]


@pytest.mark.parametrize(
    "nvml", [FakeNvml(gpus=0), FakeNvml(broken=("nvmlInit",)), FakeNvml(broken=("nvmlDeviceGetCount",))]
)
def test_without_a_gpu_there_is_no_probe(nvml: FakeNvml) -> None:
    """No driver, no GPU: no probe, and no error."""
    assert probe(nvml) is None


def test_without_the_library_there_is_no_probe() -> None:
    """Without the optional dependency there is no probe, and no error."""

    def load(name: str) -> Any:
        raise ModuleNotFoundError(name)

    assert NvmlProbe.find(load) is None


def test_a_slow_probe_keeps_nobody_waiting() -> None:
    """While the probe has not answered there is nothing; then its last answer; after the end nothing, and no thread."""
    asked, leave = threading.Event(), threading.Event()

    class Slow:
        def read(self) -> tuple[GpuSample, ...]:
            asked.set()
            leave.wait(30)
            return (GpuSample(index=7),)

    thread = ProbeThread(Slow(), interval_seconds=0.001)
    assert thread.read() is None
    assert asked.wait(30)
    assert thread.read() is None
    leave.set()
    while (answer := thread.read()) is None:
        pass
    assert answer == (GpuSample(index=7),)
    thread.close()
    thread.close()
    assert thread.read() is None
    assert thread._thread is not None
    thread._thread.join(30)
    assert not thread._thread.is_alive()
