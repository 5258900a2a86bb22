"""What was seen of goodput at each limit, and the limit that it recommends."""

from __future__ import annotations

import math

from msgspec import Struct

MOST_WEIGHT = 3.0
"""A level's mean forgets: it counts as at most so many measurements."""
JUMP = 0.18
"""A measurement this far from its level's mean (in logarithms: 20 %) says that the endpoint itself has changed."""
HYSTERESIS = 0.015
SURE_WEIGHT = 1.5
WEIGHT_AFTER_JUMP = 0.7


class _Level(Struct):
    mean: float
    weight: float


class GoodputCurve:
    """The logarithm of goodput by limit, as means that forget.

    Args:
        tolerance: how much goodput may be given up for a lower limit, in logarithms (0.02 is 2 %).
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._levels: dict[int, _Level] = {}

    def enter(self, limit: int, goodput: float) -> None:
        """Enter a measurement: the logarithm of the goodput at a limit.

        One that contradicts its level shifts the whole curve: what the endpoint lost at one limit, it lost at all.
        """
        level = self._levels.get(limit)
        if level is None:
            self._levels[limit] = _Level(goodput, 1.0)
            return
        if abs(goodput - level.mean) > JUMP and level.weight >= SURE_WEIGHT:
            self.shift(goodput - level.mean)
            for each in self._levels.values():
                each.weight = min(each.weight, WEIGHT_AFTER_JUMP)
        level.mean += (goodput - level.mean) / (level.weight + 1)
        level.weight = min(level.weight + 1, MOST_WEIGHT)

    def shift(self, by: float) -> None:
        """Move every level, as when the unit of goodput changes."""
        for level in self._levels.values():
            level.mean += by

    def forget_above(self, limit: int) -> None:
        """Drop what was seen above a limit."""
        self._levels = {known: level for known, level in self._levels.items() if known <= limit}

    def at(self, limit: int) -> float | None:
        """Give the mean at a limit, or `None` where nothing was measured."""
        level = self._levels.get(limit)
        return level.mean if level is not None else None

    def best(self, ceiling: float, favoured: int | None = None) -> int | None:
        """Give the lowest limit, at most `ceiling`, within the tolerance of the best; `None` where none is known.

        Args:
            ceiling: higher ones do not count.
            favoured: the limit in force. A higher one must be clearly better to take its place, so that chance does not
                move it.
        """
        allowed = {limit: level.mean for limit, level in self._levels.items() if limit <= ceiling}
        if not allowed:
            return None
        enough = max(allowed.values()) - self._tolerance
        best = min(limit for limit, mean in allowed.items() if mean >= enough)
        if favoured is not None and best > favoured and allowed.get(favoured, -math.inf) >= enough - HYSTERESIS:
            return favoured
        return best

    def surely_worse(self, limit: int, than: int) -> bool:
        """Tell whether a limit was measured, since the endpoint last changed, to give clearly less than another."""
        level, other = self._levels.get(limit), self._levels.get(than)
        if level is None or other is None or level.weight < 1:
            return False
        return level.mean < other.mean - 2 * self._tolerance

    def measured(self) -> dict[int, float]:
        """Give every level's mean, by limit."""
        return {limit: self._levels[limit].mean for limit in sorted(self._levels)}
