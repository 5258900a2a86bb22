"""The limits that are tried: each about a quarter above the one before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

STEP = 1.25


class Grid:
    """Whole numbers from `lowest` to `highest`, both included, spaced by ratio.

    Args:
        lowest: at least 1.
        highest: at least `lowest`.

    Raises:
        ValueError: they are not in order.
    """

    def __init__(self, lowest: int, highest: int) -> None:
        if not 1 <= lowest <= highest:
            raise ValueError(f"must be 1 <= lowest <= highest, got {lowest} and {highest}")
        levels = [lowest]
        while levels[-1] < highest:
            levels.append(min(highest, max(levels[-1] + 1, round(levels[-1] * STEP))))
        self.levels = tuple(levels)

    def at_least(self, limit: float) -> int:
        """Give the lowest level that is not below `limit`, or the highest there is."""
        return self.levels[min(bisect_left(self.levels, limit), len(self.levels) - 1)]

    def beside(self, level: int, steps: int) -> int:
        """Give the level `steps` above `level` (below, if negative), or the last one on that side."""
        index = bisect_right(self.levels, level) - 1 + steps
        return self.levels[min(max(index, 0), len(self.levels) - 1)]
