"""A million records: whether memory and the cost of a record stay what they were after the first ten thousand."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from bench.endpoint import running_endpoint
from bench.figures import Finding, Series, figure
from bench.machine import CLIENT_CORE, HOME, pin
from bench.scenario import Setting
from bench.workload import write_input

RECORDS = 1_000_000
EARLY = 10_000
"""From here on nothing should grow."""
WINDOW = 0.09
"""The share of all records over which a cost is taken, after the early ones and before the end."""
TEXTS = 1_000
"""So many different prompts: each is asked once, all other records are hits in memory."""
MB = 1e6
PLOT = "memory"


class Mark(Struct, frozen=True):
    """How far a run was, and at what cost: see `bench/measures/long_run.py`."""

    records: int
    cpu: float
    wall: float
    resident: float


def marks(source: Path, sink: Path, base_url: str) -> list[Mark]:
    """Run once, and give what it told by the way."""
    command = [sys.executable, "-m", "bench.measures.long_run", str(source), str(sink), base_url]
    done = subprocess.run(command, cwd=HOME, check=True, stdout=subprocess.PIPE, text=True)
    told = [line.split() for line in done.stdout.splitlines()]
    return [Mark(int(n), float(cpu), float(wall), float(resident)) for n, cpu, wall, resident in told]


def cost(told: Sequence[Mark], first: float, last: float) -> tuple[float, float]:
    """Give the microseconds of CPU and of the wall that a record took between two numbers of records."""
    inside = [mark for mark in told if first <= mark.records <= last]
    begin, end = inside[0], inside[-1]
    records = (end.records - begin.records) / 1e6
    return (end.cpu - begin.cpu) / records, (end.wall - begin.wall) / records


def measure(setting: Setting) -> Iterator[Finding]:
    """Run through all of them, `pairs` times; each run is compared with its own beginning."""
    records = setting.records(RECORDS)
    source = write_input(setting.folder / "in.jsonl", records, TEXTS)
    runs = []
    with running_endpoint() as base_url:
        pin(CLIENT_CORE)
        for number in range(setting.pairs):
            with tempfile.TemporaryDirectory(dir=setting.folder) as output:
                runs.append(marks(source, Path(output) / "out.jsonl", base_url))
            yield from _lines(f"run {number + 1}", runs[-1])
    at_early = [next(mark.resident for mark in told if mark.records >= EARLY) / MB for told in runs]
    x = [EARLY / 1e3, records / 1e3]
    yield Series(PLOT, "resident memory, MB", "goal", "thousand records", x, [min(at_early) + 32] * 2, bound=True)
    later = [max(mark.resident for mark in told if mark.records >= EARLY) / MB for told in runs]
    against = f"at {EARLY:,} records"
    yield figure("most resident memory", against, "MB", list(zip(at_early, later, strict=True)), "difference")
    window = WINDOW * records
    early = [cost(told, EARLY, EARLY + window) for told in runs]
    late = [cost(told, records - window, records) for told in runs]
    for place, name in enumerate(("CPU of a record", "time of a record")):
        pairs = [(before[place], after[place]) for before, after in zip(early, late, strict=True)]
        yield figure(name, against, "us", pairs)


def _lines(label: str, told: Sequence[Mark]) -> Iterator[Series]:
    step = max(1, len(told) // 50)
    some = [*told[:2], *told[step::step]]
    resident = [round(mark.resident / MB, 2) for mark in some]
    yield Series(
        PLOT, "resident memory, MB", label, "thousand records", [mark.records / 1e3 for mark in some], resident
    )
    edges = told[::step]
    costs = [round(1e6 * (b.cpu - a.cpu) / (b.records - a.records), 3) for a, b in pairwise(edges)]
    at = [mark.records / 1e3 for mark in edges[1:]]
    yield Series(PLOT, "CPU of a record, us", label, "thousand records", at, costs)
