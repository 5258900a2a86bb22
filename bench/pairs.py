"""Pairs: a reference and ours in turn, so that load on the machine meets both alike."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from bench.figures import Figure, Pair, figure
from streamproc import PerformanceBenchmark

PAIRS = 5

Work = Callable[[Path], None]
"""Does all of it once, with its output in a fresh folder."""


class Timing(Struct, frozen=True):
    """One run: seconds on the wall, and seconds of CPU in this process with all its threads."""

    wall: float
    cpu: float


def timed(run: Work) -> Timing:
    """Time one run; what earlier ones left to collect is collected before."""
    with tempfile.TemporaryDirectory(prefix="streamproc-bench-") as name:
        gc.collect()
        with PerformanceBenchmark("run") as benchmark, benchmark.measure():
            run(Path(name))
    report = benchmark.report()
    return Timing(report.mean, report.cpu_seconds)


def alternate(reference: Work, ours: Work, pairs: int = PAIRS) -> list[tuple[Timing, Timing]]:
    """Time both, `pairs` times after one pair that does not count; who goes first changes from pair to pair."""
    timings = []
    for number in range(1 + pairs):
        if number % 2:
            second = timed(ours)
            timings.append((timed(reference), second))
        else:
            timings.append((timed(reference), timed(ours)))
    return timings[1:]


def rates(name: str, against: str, records: int, timings: Sequence[tuple[Timing, Timing]]) -> Figure:
    """Compare in records a second."""
    pairs = [(records / reference.wall, records / ours.wall) for reference, ours in timings]
    return figure(name, against, "/s", pairs)


def cpu_beyond(name: str, against: str, records: int, timings: Sequence[tuple[Timing, Timing]]) -> Figure:
    """Tell how much more CPU time a record takes."""
    pairs = [(1e6 * reference.cpu / records, 1e6 * ours.cpu / records) for reference, ours in timings]
    return figure(name, against, "us", pairs, "difference")


def compare(name: str, against: str, records: int, reference: Work, ours: Work, pairs: int = PAIRS) -> Iterator[Figure]:
    """Run both in turn, and compare their rates and what they take of the processor."""
    timings = alternate(reference, ours, pairs)
    yield rates(name, against, records, timings)
    yield cpu_beyond(f"{name}: CPU a record beyond it", against, records, timings)


def seconds(name: str, against: str, timings: Sequence[tuple[Timing, Timing]]) -> Figure:
    """Compare the times on the wall."""
    pairs: list[Pair] = [(reference.wall, ours.wall) for reference, ours in timings]
    return figure(name, against, "s", pairs)
