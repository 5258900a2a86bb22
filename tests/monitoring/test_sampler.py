"""What is read of this process, this machine and its pressure."""

import tempfile
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import ResourceSample
from streamproc.monitoring.pressure import PressureMeter
from streamproc.monitoring.process import CpuMeter, open_files
from streamproc.monitoring.sampler import Sampler, tightest
from tests.monitoring.cgroup_trees import V2_MOUNT, tree

bounds = st.lists(st.tuples(st.integers(0, 10**12), st.one_of(st.none(), st.integers(0, 10**12))), max_size=6)


class Clocks:
    """A clock, and CPU time beside it."""

    def __init__(self) -> None:
        self.now = self.used = 0.0

    def time(self) -> float:
        return self.now

    def cpu(self) -> float:
        return self.used


@given(bounds)
def test_the_tightest_bound_is_what_counts(chain: list[tuple[int, int | None]]) -> None:
    """The limit is the least of all, and what is left under it is the least that any leaves."""
    used, limit = tightest(chain)
    assert limit == min((each for each, _ in chain), default=None)
    left = [each - taken for each, taken in chain if taken is not None]
    if not left:
        assert used is None
        return
    assert used is not None
    assert limit is not None
    assert 0 <= used <= limit
    assert limit - used == min(limit, max(0, min(left)))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=30), st.floats(0.1, 64))
def test_cpu_is_a_share_of_what_is_allowed(steps: list[tuple[float, float]], cpus: float) -> None:
    """What was used of all allowed CPUs lies between 0 and 100, is what it is, and is not known before time passed."""
    clocks = Clocks()
    meter = CpuMeter(clocks.time, clocks.cpu)
    assert meter.percent(cpus) is None
    for passed, share in steps:
        clocks.now += passed
        clocks.used += passed * share * cpus
        percent = meter.percent(cpus)
        if passed >= 0.1:
            assert percent is not None
            assert 0 <= percent <= 100
        if passed >= 1:
            assert percent == pytest.approx(100 * share, abs=10)


def test_half_of_half_a_cpu_is_half() -> None:
    """A quarter of a second of CPU time in a second, where half a CPU is allowed, is 50 %."""
    clocks = Clocks()
    meter = CpuMeter(clocks.time, clocks.cpu)
    clocks.now, clocks.used = 1.0, 0.25
    assert meter.percent(0.5) == pytest.approx(50)
    clocks.now = 1.001
    assert meter.percent(0.5) == pytest.approx(50)  # too soon to tell anew


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=20))
def test_pressure_is_the_share_of_time_lost(steps: list[tuple[float, float]]) -> None:
    """It lies between 0 and 1, and is what the kernel counted over the time that passed."""
    clocks = Clocks()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory"
        lost = 0.0
        path.write_text("some avg10=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
        meter = PressureMeter([path.with_name("not there"), path], "full", clocks.time)
        for passed, share in steps:
            clocks.now += passed
            lost += passed * share
            path.write_text(
                f"some avg10=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={int(lost * 1e6)}\n"
            )
            value = meter.read()
            if passed <= 0:
                assert value is None
            elif value is not None:
                assert 0 <= value <= 1
                assert value == pytest.approx(share, abs=2e-6 / passed + 1e-6)


def test_pressure_that_is_not_counted_is_not_known(tmp_path: Path) -> None:
    """Without the file, or where it comes later, nothing is known."""
    clocks = Clocks()
    path = tmp_path / "memory"
    meter = PressureMeter([path], "full", clocks.time)
    assert meter.read() is None
    clocks.now = 1
    path.write_text("some total=5")
    assert meter.read() is None
    path.write_text("full avg10=0 total=5")
    assert meter.read() is None
    clocks.now = 2
    path.write_text("full avg10=0 total=500005")
    assert meter.read() == pytest.approx(0.5)


def test_a_sample_of_this_process() -> None:
    """On this machine, what is read agrees with what psutil says."""
    sampler = Sampler(concurrent=lambda: 3, loop_lag=lambda: 0.25)
    until = time.process_time() + 0.06
    while time.process_time() < until:
        pass
    sample = sampler.sample(12.5)
    process = psutil.Process()
    assert sample.at == 12.5
    assert sample.resident_bytes == pytest.approx(process.memory_info().rss, rel=0.2)
    assert sample.memory_limit_bytes is not None
    assert sample.memory_limit_bytes <= psutil.virtual_memory().total
    assert sample.memory_used_bytes is not None
    assert 0 < sample.memory_used_bytes <= sample.memory_limit_bytes
    assert sample.cpu_percent is not None
    assert 0 < sample.cpu_percent <= 100
    assert sample.cpus is not None
    assert 0 < sample.cpus <= (psutil.cpu_count() or 1)
    assert (sample.concurrent, sample.loop_lag_seconds, sample.gpus) == (3, 0.25, None)


def test_open_files_are_counted(tmp_path: Path) -> None:
    """Each file that is opened counts."""
    before = open_files()
    assert before is not None
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        assert open_files() == before + 2


def test_a_container_narrows_the_sample(tmp_path: Path) -> None:
    """The container's memory, quota and pressure are what counts, not the machine's."""
    root = tree(
        tmp_path,
        "0::/box\n",
        V2_MOUNT,
        {
            "box/memory.max": "1000000",
            "box/memory.current": "900000",
            "box/memory.stat": "inactive_file 100000",
            "box/cpu.max": "10000 100000",
            "box/memory.pressure": "full avg10=0 total=0",
        },
    )
    clocks = Clocks()
    sampler = Sampler(root=root, clock=clocks.time)
    (root / "sys/fs/cgroup/box/memory.pressure").write_text("full avg10=0 total=100000")
    clocks.now = 2.0
    sample = sampler.sample(0)
    assert (sample.memory_used_bytes, sample.memory_limit_bytes, sample.cpus) == (800_000, 1_000_000, 0.1)
    assert sample.memory_pressure == pytest.approx(0.05)
    assert sample.cpu_pressure is None


def test_what_cannot_be_read_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that refuses everything gives a sample without figures, not an error and not zeros."""

    def refuse(*_: object) -> object:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    monkeypatch.setattr(psutil.Process, "num_fds", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr("streamproc.monitoring.process._OWN_FILES", tmp_path / "gone")
    sample = Sampler(root=tmp_path).sample(1)
    assert sample == ResourceSample(at=1, cpus=sample.cpus, open_files_limit=sample.open_files_limit)
