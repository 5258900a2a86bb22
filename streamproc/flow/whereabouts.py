"""Where the time of records goes: how long they were in each place, all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Place = Literal[
    "outside",
    "lookup_queue",
    "lookup",
    "shared_call",
    "admission",
    "endpoint",
    "retry",
    "keeping",
    "sink_queue",
    "sink",
]
"""Where a record can be. `outside`: not accepted yet, or delivered."""

STAGES: tuple[Place, ...] = get_args(Place)[1:]


class Whereabouts:
    """Keep account of the seconds that records spend in each place.

    An accepted record is in one place at any time, so the places add up to the time between acceptance and delivery.
    Nothing is kept by record: who leaves at a time adds that time, who enters takes it off, and those who are still
    there count up to now.
    """

    def __init__(self) -> None:
        self._left_minus_entered: dict[Place, float] = dict.fromkeys(get_args(Place), 0.0)
        self._present: dict[Place, int] = dict.fromkeys(get_args(Place), 0)

    def move(self, count: int, origin: Place, to: Place, at: float) -> None:
        """Enter that records have gone from one place to another.

        Args:
            count: how many.
            origin: where they were.
            to: where they are from now on.
            at: the clock's seconds.
        """
        weight = count * at
        self._left_minus_entered[origin] += weight
        self._left_minus_entered[to] -= weight
        self._present[origin] -= count
        self._present[to] += count

    def seconds(self, at: float) -> Mapping[Place, float]:
        """Give the seconds that all records together have spent in each stage, up to a time."""
        return {place: self._left_minus_entered[place] + self._present[place] * at for place in STAGES}
