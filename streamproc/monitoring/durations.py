"""Durations and their statistics, in bounded memory."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence

MOST_KEPT = 1_000_000
"""So many are kept, in 8 bytes each."""


class Durations:
    """Take durations in, one by one, and give their mean, its error and percentiles.

    Args:
        most: how many are kept; of more, each has the same chance to be among the kept.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self._most = most
        self._kept = array("d")
        self._random = random.Random(0)  # noqa: S311 - a fair sample, no secret

    def add(self, seconds: float) -> None:
        """Take one in."""
        self.count += 1
        distance = seconds - self.mean
        self.mean += distance / self.count
        self._squares += distance * (seconds - self.mean)  # Welford: no difference of large sums
        if self.count <= self._most:
            self._kept.append(seconds)
        elif (place := int(self._random.random() * self.count)) < self._most:
            self._kept[place] = seconds

    @property
    def standard_error(self) -> float | None:
        """The standard deviation over the root of the count; `None` for fewer than two."""
        return math.sqrt(self._squares / (self.count - 1) / self.count) if self.count > 1 else None

    def percentiles(self, percents: Sequence[int]) -> list[float]:
        """Give for each the least duration that so many percent of the kept do not exceed; 0 where there are none."""
        ordered = sorted(self._kept)
        return [ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else 0.0 for percent in percents]
