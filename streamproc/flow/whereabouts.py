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
        self._places: dict[Place, list[float]] = {place: [0.0, 0] for place in get_args(Place)}
        """By place: when records left it, less when they entered it, in seconds summed up; and how many are there."""

    def move(self, count: int, origin: Place, to: Place, at: float) -> None:
        """Enter that records have gone from one place to another.

        Args:
            count: how many.
            origin: where they were.
            to: where they are from now on.
            at: the clock's seconds.
        """
        left, entered = self._places[origin], self._places[to]
        left[0] += count * at
        left[1] -= count
        entered[0] -= count * at
        entered[1] += count

    def seconds(self, at: float) -> Mapping[Place, float]:
        """Give the seconds that all records together have spent in each stage, up to a time."""
        return {place: self._places[place][0] + self._places[place][1] * at for place in STAGES}
