"""Limits from how long attempts take, by the rules of Netflix's concurrency-limits (Gradient2Limit, VegasLimit)."""

from __future__ import annotations

import math
import random

from bench.control.fixed import Fixed
from streamproc.control.attempts import Attempt

SMALLEST_WINDOW = 10
WINDOW_SECONDS = 1.0


class Gradient2(Fixed):
    """Compares a window's mean with a long mean; knows no loss.

    Args:
        maximum: permits at most.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(min(20, maximum))
        self._maximum = maximum
        self._estimate = float(self.limit)
        self._long = 0.0
        self._windows = 0
        self._sum, self._count, self._peak, self._window_from = 0.0, 0, 0, 0.0

    def started(self, now: float, in_flight: int) -> None:
        self._peak = max(self._peak, in_flight)

    def finished(self, attempt: Attempt, now: float) -> None:
        super().finished(attempt, now)
        if attempt.ending != "answered":
            return
        self._sum += attempt.seconds
        self._count += 1
        if self._count >= SMALLEST_WINDOW and now >= self._window_from + WINDOW_SECONDS:
            self._end_window(self._sum / self._count, self._peak)
            self._sum, self._count, self._peak, self._window_from = 0.0, 0, 0, now

    def _end_window(self, short: float, peak: int) -> None:
        self._windows += 1
        weight = 1 / self._windows if self._windows <= 10 else 2 / 601
        self._long += weight * (short - self._long)
        if self._long > 2 * short:
            self._long *= 0.95
        if peak < self._estimate / 2:
            return
        gradient = min(1.0, max(0.5, 1.5 * self._long / short))
        estimate = 0.8 * self._estimate + 0.2 * (self._estimate * gradient + 4)
        self._estimate = min(float(self._maximum), max(min(20.0, self._maximum), estimate))
        self.limit = int(self._estimate)


class Vegas(Fixed):
    """Guesses a queue from the shortest time seen; asks anew for that time every so often.

    Args:
        maximum: permits at most.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(min(20, maximum))
        self._maximum = maximum
        self._estimate = float(self.limit)
        self._shortest = math.inf
        self._samples = 0
        self._random = random.Random(0)
        self._spread = self._random.uniform(0.5, 1.0)
        self._in_flight = 0

    def started(self, now: float, in_flight: int) -> None:
        self._in_flight = in_flight

    def finished(self, attempt: Attempt, now: float) -> None:
        super().finished(attempt, now)
        in_flight, self._in_flight = self._in_flight, self._in_flight - 1
        step = max(1.0, math.log10(self._estimate))
        if attempt.ending != "answered":
            self._move(-step)
            return
        self._samples += 1
        if self._samples >= self._spread * 30 * self._estimate:
            self._samples, self._spread = 0, self._random.uniform(0.5, 1.0)
            self._shortest = attempt.seconds
            return
        self._shortest = min(self._shortest, attempt.seconds)
        queue = math.ceil(self._estimate * (1 - self._shortest / attempt.seconds))
        if 2 * in_flight < self._estimate:
            return
        if queue <= step:
            self._move(6 * step)
        elif queue < 3 * step:
            self._move(step)
        elif queue > 6 * step:
            self._move(-step)

    def _move(self, by: float) -> None:
        self._estimate = min(float(self._maximum), max(1.0, self._estimate + by))
        self.limit = int(self._estimate)
