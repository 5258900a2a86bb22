"""What was seen of goodput at each limit, and the limit that it recommends."""

from __future__ import annotations

import math

from msgspec import Struct

from streamproc.control.concurrency.work import Speed, WorkModel

MOST_WEIGHT = 3.0
"""A level's mean forgets: it counts as at most so many measurements."""
JUMP = 0.18
"""A measurement this far from its level's mean (in logarithms: 20 %) says that the endpoint itself has changed."""
FIRST_NOISE = 0.02
NOISE_MEMORY = 0.9
UNSETTLED_DOUBT = 0.03
"""While its queue still fills, an endpoint looks faster than it is, by about so much."""
QUEUE_SLOPE = 0.5
KINK = 3.0
SURE_WEIGHT = 1.5
WEIGHT_AFTER_JUMP = 0.7


class _Level(Struct):
    """Means over the measurements at one limit: the logarithm of work a second, and the unit of that work."""

    log_work: float
    per_prompt_token: float
    overhead: float
    weight: float
    settled: bool


class GoodputCurve:
    """Goodput by limit, as means that forget; in logarithms of typical answers a second.

    Args:
        tolerance: how much goodput may be given up for a lower limit, in logarithms (0.02 is 2 %).
        work: knows the typical answer.
    """

    def __init__(self, tolerance: float, work: WorkModel) -> None:
        self._tolerance = tolerance
        self._work = work
        self._levels: dict[int, _Level] = {}
        self._variance = FIRST_NOISE**2

    def enter(self, limit: int, measured: Speed, *, settled: bool = True) -> None:
        """Enter a measurement; one that was taken before the endpoint had settled makes way for the next.

        One that contradicts its level shifts the whole curve: what the endpoint lost at one limit, it lost at all.
        """
        new = _Level(math.log(measured.work), measured.per_prompt_token, measured.overhead, 1.0, settled)
        level = self._levels.get(limit)
        if level is None or (settled and not level.settled):
            self._levels[limit] = new
            return
        surprise = self._value(new) - self._value(level)
        if abs(surprise) > JUMP and level.weight >= SURE_WEIGHT:
            for each in self._levels.values():
                each.log_work += surprise
                each.weight = min(each.weight, WEIGHT_AFTER_JUMP)
        else:
            variance = surprise**2 * level.weight / (level.weight + 1)
            self._variance = NOISE_MEMORY * self._variance + (1 - NOISE_MEMORY) * variance
        share = 1 / (level.weight + 1)
        level.log_work += share * (new.log_work - level.log_work)
        level.per_prompt_token += share * (new.per_prompt_token - level.per_prompt_token)
        level.overhead += share * (new.overhead - level.overhead)
        level.weight = min(level.weight + 1, MOST_WEIGHT)

    def best(self, ceiling: float, favoured: int | None = None) -> int | None:
        """Give the lowest limit, at most `ceiling`, within the tolerance of the best; `None` where none is known.

        Args:
            ceiling: higher ones do not count.
            favoured: the limit in force. A higher one must be clearly better to take its place, so that chance does not
                move it.
        """
        allowed = {limit: level for limit, level in self._levels.items() if limit <= ceiling}
        if not allowed:
            return None
        enough = max(self._value(level) - self._doubt(level) for level in allowed.values()) - self._tolerance
        best = min(limit for limit, level in allowed.items() if self._value(level) >= enough)
        held = allowed.get(favoured) if favoured is not None else None
        if favoured is not None and held is not None and best > favoured:
            return favoured if self._value(held) + self._doubt(held) >= enough else best
        return best

    def needed_for(self, limit: int) -> float | None:
        """Give the least limit that may come within the tolerance of this one's goodput; `None` where that is unknown.

        Goodput rises at most in proportion to the limit, so every lower limit that was measured, since the endpoint
        last changed, says how far up one must go at least.
        """
        base = self._levels.get(limit)
        if base is None:
            return None
        enough = self._value(base) - self._tolerance
        lower = [(n, level) for n, level in self._levels.items() if n < limit and level.weight >= 1]
        return max((n * math.exp(enough - self._doubt(level) - self._value(level)) for n, level in lower), default=None)

    def gain_ahead(self, limit: int) -> float:
        """Guess by how much doubling a limit would raise goodput, from the limits below it; in logarithms.

        The time that a unit of work takes, limit over goodput, grows linearly where calls share an engine: then so does
        the guess. Where it has hardly grown before and does so at once, calls have begun to queue, and more of them
        gain nothing.
        """
        below = [n for n in sorted(self._levels) if n < limit][-2:]
        if not below:
            return math.inf
        value = self._value(self._levels[limit])
        times = [n * math.exp(value - self._value(self._levels[n])) for n in below]
        slope = max(0.0, (limit - times[-1]) / (limit - below[-1]))
        if len(below) == 2 and slope > QUEUE_SLOPE:
            earlier = (times[1] - times[0]) / (below[1] - below[0])
            if slope > KINK * earlier:
                return 0.0
        return math.log(2 / (1 + slope))

    @property
    def highest(self) -> int:
        """The highest limit that was measured; 0 before any was."""
        return max(self._levels, default=0)

    def measured(self) -> dict[int, float]:
        """Give every level's mean, by limit."""
        return {limit: self._value(self._levels[limit]) for limit in sorted(self._levels)}

    def _value(self, level: _Level) -> float:
        return level.log_work - math.log(self._work.typical(level.per_prompt_token, level.overhead))

    def _doubt(self, level: _Level) -> float:
        """Give how far a level's mean may well be from the truth."""
        return math.sqrt(self._variance / level.weight) + (0.0 if level.settled else UNSETTLED_DOUBT)
