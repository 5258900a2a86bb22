"""Figures: written by stages, read by everyone else as one value, the Snapshot."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from streamproc._log import log
from streamproc.flow.clock import Clock
from streamproc.flow.whereabouts import STAGES, Place, Whereabouts

SECONDS_BOUNDS = tuple(0.001 * 2.0**step for step in range(18))
"""Upper bounds of the histogram buckets, in seconds: 1 ms to 131 s, each twice the one before."""
_SECONDS_IN: dict[Place, str] = {place: f"record_{place}_seconds_total" for place in STAGES}


class Distribution(Struct, frozen=True):
    """How a measured quantity was distributed.

    Attributes:
        count: observations.
        total: their sum, in the quantity's unit.
        buckets: observations at most `SECONDS_BOUNDS[i]` and above the bound before; one more bucket for the rest.
    """

    count: int
    total: float
    buckets: tuple[int, ...]

    def quantile(self, ratio: float) -> float:
        """Give the upper bound of the bucket that holds the quantile, in seconds; 0 where nothing was observed."""
        seen = 0
        for bound, count in zip(SECONDS_BOUNDS, self.buckets, strict=False):
            seen += count
            if seen and seen >= ratio * self.count:
                return bound
        return SECONDS_BOUNDS[-1] if self.count else 0.0


class Snapshot(Struct, frozen=True):
    """All figures at one moment.

    Attributes:
        at: seconds of the run's clock.
        counters: what only grows, by name (`records_completed_total`); the seconds that all records have spent in a
            stage are there, too (`record_endpoint_seconds_total`).
        gauges: what goes up and down, by name (`llm_call_permits_in_use`).
        distributions: of durations, by name (`model_call_seconds`).
    """

    at: float
    counters: Mapping[str, float]
    gauges: Mapping[str, float]
    distributions: Mapping[str, Distribution]

    def counter(self, name: str) -> int:
        """Give a counter as a whole number; 0 where nothing was counted."""
        return int(self.counters.get(name, 0))

    def seconds_in(self, stage: Place) -> float:
        """Give the seconds that all accepted records together have spent in a stage."""
        return self.counters[_SECONDS_IN[stage]]

    def as_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        return {"at": self.at, **self.counters, **self.gauges}


class Meter:
    """Collect figures. Counters and distributions are written as things happen; gauges are read when asked.

    Attributes:
        clock: the run's, in seconds.
        whereabouts: of the records.

    Args:
        clock: as above; gives the time of a snapshot.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.whereabouts = Whereabouts()
        self._counters: dict[str, float] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._observed: dict[str, tuple[list[int], list[float]]] = {}
        self._unread: set[str] = set()

    def add(self, name: str, amount: float = 1) -> None:
        """Count `amount` more of `name`."""
        self._counters[name] = self._counters.get(name, 0) + amount

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Name a figure that is read when a snapshot is taken. It is absent from those in which `read` raised."""
        self._gauges[name] = read

    def observe(self, name: str, seconds: float) -> None:
        """Enter one duration."""
        known = self._observed.get(name)
        if known is None:
            known = self._observed[name] = ([0] * (len(SECONDS_BOUNDS) + 1), [0.0])
        buckets, total = known
        buckets[bisect_left(SECONDS_BOUNDS, seconds)] += 1
        total[0] += seconds

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Enter how long the block takes, whatever comes of it."""
        began_at = self.clock()
        try:
            yield
        finally:
            self.observe(name, self.clock() - began_at)

    def snapshot(self) -> Snapshot:
        """Read every figure at this moment."""
        at = self.clock()
        places = {_SECONDS_IN[place]: seconds for place, seconds in self.whereabouts.seconds(at).items()}
        return Snapshot(
            at=at,
            counters=self._counters | places,
            gauges=dict(self._read_gauges()),
            distributions={
                name: Distribution(sum(buckets), total[0], tuple(buckets))
                for name, (buckets, total) in self._observed.items()
            },
        )

    def _read_gauges(self) -> Iterator[tuple[str, float]]:
        for name, read in self._gauges.items():
            try:
                yield name, read()
            except Exception as raised:  # noqa: BLE001 - some ask what is not ours, such as a cache; none may end the run
                if name not in self._unread:
                    log.warning("gauge.unread", gauge=name, error_type=type(raised).__name__, reason=str(raised))
                self._unread.add(name)
