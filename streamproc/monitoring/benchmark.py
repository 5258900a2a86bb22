"""A benchmark: how long each piece of work takes, and what all of it costs this process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from msgspec import Struct

from streamproc.errors import StreamprocError
from streamproc.flow.clock import Clock
from streamproc.monitoring.durations import Durations
from streamproc.monitoring.process import peak_resident_bytes


class BenchmarkReport(Struct, frozen=True):
    """What a benchmark found. All times are in seconds; what nothing was counted for is 0.

    Attributes:
        name: of the benchmark.
        count: pieces of work that counted: those recorded after the warm-up.
        success_ratio: the share of them that succeeded.
        elapsed_seconds: from the end of the warm-up to the end of the block, or to now inside it.
        throughput: pieces a second over that time, whether they succeeded or not.
        mean: of their durations.
        standard_error: of the mean, as if durations were independent; `None` for fewer than two.
        p50: the least duration that half of them do not exceed. Of more than a million pieces it is that of a fair
            sample of a million, as the next two are: off by less than a tenth of a percent of the pieces.
        p95: the same for 95 of 100.
        p99: the same for 99 of 100.
        cpu_seconds: CPU time of this process, all threads, over `elapsed_seconds`.
        peak_memory_bytes: most resident memory of this process since it began.
    """

    name: str
    count: int
    success_ratio: float
    elapsed_seconds: float
    throughput: float
    mean: float
    standard_error: float | None
    p50: float
    p95: float
    p99: float
    cpu_seconds: float
    peak_memory_bytes: int


class PerformanceBenchmark:
    """Time pieces of work while a block runs, and say what they come to.

        with PerformanceBenchmark("parsing", warm_up=10) as benchmark:
            for text in texts:
                with benchmark.measure():
                    parse(text)
        print(benchmark.report())

    It is a context manager in both ways, `with` and `async with`; pieces may overlap, as tasks do. It belongs to one
    thread, holds at most 8 MB however much is recorded, and can be entered once.

    Args:
        name: what is measured.
        warm_up: the first so many pieces do not count.
        warm_up_seconds: nor do those that end within this time, nor the first one to end after it.
        clock: seconds, as the work's durations and the throughput are to be understood.
        cpu_seconds: CPU time of this process so far.

    Raises:
        ValueError: a warm-up that is negative.
    """

    def __init__(
        self,
        name: str,
        *,
        warm_up: int = 0,
        warm_up_seconds: float = 0.0,
        clock: Clock = time.perf_counter,
        cpu_seconds: Clock = time.process_time,
    ) -> None:
        if warm_up < 0 or not 0 <= warm_up_seconds < math.inf:
            raise ValueError(f"a warm-up must be >= 0, got {warm_up} and {warm_up_seconds} seconds")
        self.name = name
        self._clock = clock
        self._cpu_seconds = cpu_seconds
        self._to_warm_up = warm_up
        self._warm_up_seconds = warm_up_seconds
        self._warm = not warm_up and not warm_up_seconds
        self._durations = Durations()
        self._succeeded = 0
        self._entered_at: float | None = None
        self._began = (0.0, 0.0)
        self._ended: tuple[float, float, int] | None = None

    def __enter__(self) -> Self:
        if self._entered_at is not None:
            raise StreamprocError(f"benchmark {self.name}: it was entered before; make another one")
        self._entered_at = self._clock()
        self._began = (self._entered_at, self._cpu_seconds())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = self._now()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def record(self, seconds: float, success: bool = True) -> None:
        """Enter one piece of work that has just ended.

        Args:
            seconds: how long it took.
            success: whether it did what it should.

        Raises:
            ValueError: a duration that is negative, infinite or no number.
            StreamprocError: this is not inside the benchmark's block.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be >= 0 and finite, got {seconds}")
        if self._entered_at is None or self._ended is not None:
            raise StreamprocError(f"benchmark {self.name}: work is recorded inside its block")
        if self._warm:
            self._durations.add(seconds)
            self._succeeded += success
            return
        self._to_warm_up -= 1
        now = self._clock()
        if self._to_warm_up <= 0 and now - self._entered_at >= self._warm_up_seconds:
            self._warm = True
            self._began = (now, self._cpu_seconds())

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time the block as one piece of work; it succeeds unless it raises, and what it raises goes on."""
        began_at = self._clock()
        success = False
        try:
            yield
            success = True
        finally:
            self.record(self._clock() - began_at, success)

    def report(self) -> BenchmarkReport:
        """Give the figures: of the whole block after it, of what was so far inside it."""
        at, cpu, peak = self._ended or self._now()
        durations = self._durations
        count = durations.count
        measured = self._warm and self._entered_at is not None
        elapsed, used = (at - self._began[0], cpu - self._began[1]) if measured else (0.0, 0.0)
        p50, p95, p99 = durations.percentiles((50, 95, 99))
        return BenchmarkReport(
            name=self.name,
            count=count,
            success_ratio=self._succeeded / count if count else 0.0,
            elapsed_seconds=elapsed,
            throughput=count / elapsed if elapsed > 0 else 0.0,
            mean=durations.mean,
            standard_error=durations.standard_error,
            p50=p50,
            p95=p95,
            p99=p99,
            cpu_seconds=used,
            peak_memory_bytes=peak,
        )

    def _now(self) -> tuple[float, float, int]:
        return self._clock(), self._cpu_seconds(), peak_resident_bytes()
