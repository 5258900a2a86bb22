"""Figures over the last samples: a window that slides."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from statistics import fmean

from streamproc.monitoring.sample import Metric, ResourceSample

MOST_SAMPLES = 4096
"""A window holds no more than this many, however many it is given."""


class ResourceMetrics:
    """Keep the samples of the last seconds, and say what they come to.

    Samples in which a figure is missing do not count for it; where none is left the answer is `None`.

    Args:
        window_seconds: how far back a sample may lie behind the newest.

    Raises:
        ValueError: a window of no length.
    """

    def __init__(self, window_seconds: float = 60.0) -> None:
        if not 0 < window_seconds < math.inf:
            raise ValueError(f"window_seconds must be > 0, got {window_seconds}")
        self.window_seconds = window_seconds
        self._samples: deque[ResourceSample] = deque(maxlen=MOST_SAMPLES)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[ResourceSample]:
        return iter(self._samples)

    @property
    def latest(self) -> ResourceSample | None:
        """The newest sample."""
        return self._samples[-1] if self._samples else None

    def add(self, sample: ResourceSample) -> None:
        """Take in a sample, and let go of those that are too old beside it.

        Raises:
            ValueError: it is older than one that was added before.
        """
        if self._samples and sample.at < self._samples[-1].at:
            raise ValueError(f"samples come in order: {sample.at} after {self._samples[-1].at}")
        self._samples.append(sample)
        while sample.at - self._samples[0].at > self.window_seconds:
            self._samples.popleft()

    def mean(self, metric: Metric) -> float | None:
        """Give the mean of a figure, each sample weighing the same."""
        values = self._values(metric)
        return fmean(values) if values else None

    def peak(self, metric: Metric) -> float | None:
        """Give the largest value of a figure."""
        return max(self._values(metric), default=None)

    def percentile(self, metric: Metric, percent: float) -> float | None:
        """Give the smallest value that at least `percent` of the samples do not exceed.

        Raises:
            ValueError: a percentage outside 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must lie between 0 and 100, got {percent}")
        values = sorted(self._values(metric))
        return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else None

    def trend(self, metric: Metric) -> float | None:
        """Give by how much a figure changes in a second: the slope of the line that fits best.

        `None` if fewer than two moments are known.
        """
        points = [(sample.at, value) for sample in self._samples if (value := sample.value(metric)) is not None]
        if len(points) < 2:
            return None
        middle, mean = fmean(at for at, _ in points), fmean(value for _, value in points)
        spread = math.fsum((at - middle) ** 2 for at, _ in points)
        if not spread:
            return None
        return math.fsum((at - middle) * (value - mean) for at, value in points) / spread

    def _values(self, metric: Metric) -> list[float]:
        return [value for sample in self._samples if (value := sample.value(metric)) is not None]
