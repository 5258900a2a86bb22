"""How many records should share a request: as many as make its overhead small, and no more than it can bear."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Literal

from streamproc.control.line_fit import Line, fit_line

Reason = Literal["starting", "overhead", "seconds", "growth", "too_large", "memory", "min_size", "max_size"]
"""What decided a size: nothing is known yet; more would not make the overhead smaller; a batch would take too long; it
grows step by step; batches were too large; memory is short; a bound of the configuration."""

POINTS_KEPT = 100
POINTS_SKIPPED = 2
"""The first batches pay for connections and warm-up."""
POINTS_NEEDED = 4
LONGEST_MEMORY = 200
"""Batches after which a timing is forgotten, however rare its size."""
REFIT_AFTER = 32
REFIT_EVERY = 4
"""Once that many batches were seen, the line is fitted anew after every fourth."""
EASY_HEADROOM = 0.25
"""Less headroom than that makes batches smaller, in proportion."""
PATIENCE = 8
LONGEST_PATIENCE = 128
"""Batches that must succeed near a ceiling before it is raised; a further failure doubles the number, a raise halves
it."""
CEILING_GROWTH = 1.25
_SECONDS = (1e-9, 1e6)
"""What lies outside is no duration of a batch."""
OVERHEADS_ALLOWED = 3.0
"""A batch may always take so many times its overhead: what the overhead alone exceeds, no size can keep."""
DITHER = (1.0, 0.9, 1.0, 1.5, 1.0, 1.0, 0.5, 1.0, 0.9, 1.25, 1.0, 1.5, 1.0, 0.7, 1.0, 0.25)
"""Multiples of the target, in turn: sizes that never varied would not tell overhead from work. A small batch tells most
about the overhead, and few records travel in it; a large one finds a way out of a wrong guess."""


class BatchSizeOptimizer:
    """Learn from each batch how large the next should be.

    A batch of n records is taken to cost a + b n seconds. Wanted is the smallest n at which a makes up no more than
    `overhead_ratio` of that: beyond it, batches only take longer and weigh more. It is less where a batch would take
    more than `target_seconds` (or three times a, where that is more), where memory is short, and after batches that
    were too large. It grows at most twofold at a time, and never beyond twice what has been tried. Sizes vary around
    what is wanted, on purpose.

    Arguments that make no sense (no finite number, nothing at all, out of range) change nothing.

    Args:
        initial_size: records in the first batches; between the bounds.
        min_size: the smallest, at least 1.
        max_size: the largest.
        target_seconds: the longest that a batch should take.
        overhead_ratio: the part of a batch's time that may be overhead, between 0 and 1.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        initial_size: int,
        min_size: int,
        max_size: int,
        *,
        target_seconds: float = 1.0,
        overhead_ratio: float = 0.05,
    ) -> None:
        if not 1 <= min_size <= initial_size <= max_size:
            raise ValueError(
                f"1 <= min_size <= initial_size <= max_size must hold, got {min_size}, {initial_size}, {max_size}"
            )
        if not (target_seconds > 0 and 0 < overhead_ratio < 1):
            raise ValueError(
                f"target_seconds must be > 0 and overhead_ratio within 0 to 1, got {target_seconds}, {overhead_ratio}"
            )
        self._min = min_size
        self._max = max_size
        self._target_seconds = target_seconds
        self._records_per_overhead = 1 / overhead_ratio - 1
        self._size = initial_size
        self._target = float(initial_size)
        self._reason: Reason = "starting"
        self._points: deque[tuple[int, float, int]] = deque()
        self._line: Line | None = None
        self._observed = 0
        self._ceiling = math.inf
        self._patience = PATIENCE
        self._successes_near_ceiling = 0

    @property
    def size(self) -> int:
        """How many records the next batch should have."""
        return self._size

    @property
    def wanted(self) -> int:
        """The size that the next batches vary around."""
        return round(self._target)

    @property
    def reason(self) -> Reason:
        """What decided that."""
        return self._reason

    def observe(self, size: int, seconds: float, succeeded: int, failed: int, headroom: float = 1.0) -> int:
        """Enter a batch that has ended.

        Args:
            size: its records.
            seconds: how long its request took.
            succeeded: records that were answered.
            failed: records that were refused because the batch was too large; not those refused for themselves.
            headroom: how much memory is free, as a ratio in [0, 1].

        Returns:
            The size for the next batch.
        """
        if self._makes_sense(size, seconds, succeeded, failed, headroom):
            self._observed += 1
            if failed:
                self._fall(size)
            else:
                self._learn(size, seconds)
                self._raise_ceiling(size)
            self._decide(headroom)
        return self._size

    def _makes_sense(self, size: int, seconds: float, succeeded: int, failed: int, headroom: float) -> bool:
        if not all(isinstance(count, int) for count in (size, succeeded, failed)):
            return False
        known = 1 <= size <= self._max and succeeded >= 0 and failed >= 0 and 1 <= succeeded + failed <= size
        return known and _SECONDS[0] <= seconds <= _SECONDS[1] and 0 <= headroom <= 1

    def _fall(self, size: int) -> None:
        """Halve, once for all the batches that were made too large by the same decision."""
        if size <= self._ceiling:
            if self._ceiling < math.inf:
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self._ceiling = float(max(self._min, size // 2))
        self._successes_near_ceiling = 0

    def _raise_ceiling(self, size: int) -> None:
        if self._ceiling == math.inf or size < 0.75 * min(self._ceiling, self._target):
            return
        self._successes_near_ceiling += 1
        if self._successes_near_ceiling >= self._patience:
            self._successes_near_ceiling = 0
            self._patience = max(PATIENCE, self._patience // 2)
            self._ceiling = max(self._ceiling + 1, math.floor(self._ceiling * CEILING_GROWTH))
            if self._ceiling >= self._max:
                self._ceiling = math.inf

    def _learn(self, size: int, seconds: float) -> None:
        if self._observed <= POINTS_SKIPPED:
            return
        points = self._points
        points.append((size, seconds, self._observed))
        while points[0][2] < self._observed - LONGEST_MEMORY:
            points.popleft()
        if len(points) > POINTS_KEPT:
            self._thin()
        if len(points) >= POINTS_NEEDED and (self._observed <= REFIT_AFTER or self._observed % REFIT_EVERY == 0):
            self._line = fit_line([(n, t) for n, t, _ in points])

    def _thin(self) -> None:
        """Forget the oldest timing of the commonest size, by powers of two: rare sizes tell most."""
        commonest = Counter(point[0].bit_length() for point in self._points).most_common(1)[0][0]
        self._points.remove(next(point for point in self._points if point[0].bit_length() == commonest))

    def _decide(self, headroom: float) -> None:
        wanted, reason = self._wanted()
        tried = 2.0 * max((point[0] for point in self._points), default=0)
        if wanted > max(self._target, tried):
            wanted, reason = max(self._target, tried), "growth" if self._points else "starting"
        wanted = max(wanted, self._target / 2)  # a noisy fit must not undo in one step what took many
        for bound, why in ((self._ceiling, "too_large"), (float(self._max), "max_size")):
            if wanted >= bound:
                wanted, reason = bound, why  # type: ignore[assignment]  # mypy widens literals in a loop
        if wanted <= self._min and self._ceiling > self._min:
            wanted, reason = float(self._min), "min_size"
        self._target = wanted
        self._reason = reason
        ease = min(1.0, headroom / EASY_HEADROOM)
        if ease < 1.0:
            self._reason = "memory"
        self._size = max(self._min, min(self._dithered(ease), 2 * self._size))

    def _wanted(self) -> tuple[float, Reason]:
        """Give the size that the timings so far speak for, without bounds."""
        if not self._points:
            return self._target, "starting"
        if self._line is None:  # all batches had one size: at worst all of their time was their records'
            size, seconds, _ = self._points[-1]
            return size * self._target_seconds / seconds, "seconds"
        fixed, each = self._line.fixed, self._line.each
        if each <= 0.0:
            return math.inf, "overhead"
        by_overhead = fixed / each * self._records_per_overhead
        by_seconds = (max(self._target_seconds, OVERHEADS_ALLOWED * fixed) - fixed) / each
        return (by_overhead, "overhead") if by_overhead <= by_seconds else (by_seconds, "seconds")

    def _dithered(self, ease: float) -> int:
        part = 1.0 if self._reason == "growth" else DITHER[self._observed % len(DITHER)]  # growing is variety enough
        wanted = self._target * ease * (part if ease == 1.0 else min(part, 1.0))
        if part > 1.0 and ease == 1.0:
            wanted = max(wanted, self._target + 1)  # sizes near 1 vary, too
        return int(min(wanted, self._ceiling, self._max) + 0.5)
