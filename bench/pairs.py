"""Pairs: a reference and streamproc in turn, and the ratio of their rates. Load on the machine meets both alike."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

PAIRS = 5

Scenario = Callable[[Path], None]
"""Does all the work once, with its output in a fresh folder."""


class Timing(Struct, frozen=True):
    """One run: seconds on the wall, and seconds of CPU in this process with all its threads."""

    wall: float
    cpu: float


class Figure(Struct, frozen=True):
    """What a scenario found.

    Attributes:
        name: the scenario.
        records: in each run.
        wanted: the least median ratio that is good enough.
        ratio: the median of streamproc's rate over the reference's, pair by pair.
        lowest: the worst pair's.
        highest: the best pair's.
        reference_rate: the reference's median, in records a second.
        rate: streamproc's median, in records a second.
        reference_cpu: the reference's median CPU, in microseconds a record.
        cpu: streamproc's.
        reference: each of its runs.
        streamproc: each of its runs.
    """

    name: str
    records: int
    wanted: float
    ratio: float
    lowest: float
    highest: float
    reference_rate: float
    rate: float
    reference_cpu: float
    cpu: float
    reference: list[Timing]
    streamproc: list[Timing]


def timed(run: Scenario) -> Timing:
    """Time one run; what earlier ones left to collect is collected before."""
    with tempfile.TemporaryDirectory(prefix="streamproc-bench-") as name:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        run(Path(name))
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def compare(
    name: str, records: int, wanted: float, reference: Scenario, streamproc: Scenario, pairs: int = PAIRS
) -> Figure:
    """Run the reference and streamproc in turn, `pairs` times after one pair that does not count."""
    timings = [(timed(reference), timed(streamproc)) for _ in range(1 + pairs)][1:]
    ratios = [by_hand.wall / ours.wall for by_hand, ours in timings]
    by_hand, ours = [pair[0] for pair in timings], [pair[1] for pair in timings]
    return Figure(
        name=name,
        records=records,
        wanted=wanted,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        reference_rate=records / statistics.median(timing.wall for timing in by_hand),
        rate=records / statistics.median(timing.wall for timing in ours),
        reference_cpu=1e6 * statistics.median(timing.cpu for timing in by_hand) / records,
        cpu=1e6 * statistics.median(timing.cpu for timing in ours) / records,
        reference=by_hand,
        streamproc=ours,
    )
