"""What a batch costs before its first record, and what each record adds: a line through noisy timings."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

Point = tuple[int, float]
"""A batch: how many records it had, and how many seconds it took; both above 0."""

TRIMMED_RATIO = 0.2
"""The slowest of the timings are left out: they tell of stalls, not of size."""


class Line(Struct, frozen=True, gc=False):
    """Seconds of a batch, as a function of its size.

    Attributes:
        fixed: seconds that any batch takes; at least 0.
        each: seconds that each record adds; at least 0.
    """

    fixed: float
    each: float

    def seconds(self, size: float) -> float:
        """Give the seconds of a batch of `size` records."""
        return self.fixed + self.each * size


def fit_line(points: Sequence[Point]) -> Line | None:
    """Fit a line that starts at or above 0 and does not fall, by weighted least squares.

    Noise grows with the time that it is in, so it is the relative error that counts. The slowest fifth, measured
    against a first fit, has no say in the second.

    Returns:
        `None` if all batches had the same size.
    """
    first = _weighted(points, [1.0 / (seconds * seconds) for _, seconds in points])
    if first is None:
        return None
    kept = sorted(points, key=lambda point: point[1] / first.seconds(point[0]))
    kept = kept[: max(2, len(kept) - int(len(kept) * TRIMMED_RATIO))]
    return _weighted(kept, [1.0 / first.seconds(size) ** 2 for size, _ in kept]) or first


def _weighted(points: Sequence[Point], weights: Sequence[float]) -> Line | None:
    if len({size for size, _ in points}) < 2:
        return None
    total = sum(weights)
    mean_size = sum(w * n for w, (n, _) in zip(weights, points, strict=True)) / total
    mean_seconds = sum(w * t for w, (_, t) in zip(weights, points, strict=True)) / total
    spread = sum(w * (n - mean_size) ** 2 for w, (n, _) in zip(weights, points, strict=True))
    if spread <= 0.0:  # one weight outdoes all others
        return None
    together = sum(w * (n - mean_size) * t for w, (n, t) in zip(weights, points, strict=True))
    each = together / spread
    fixed = mean_seconds - each * mean_size
    if each < 0.0:
        return Line(mean_seconds, 0.0)
    if fixed < 0.0:
        products = sum(w * n * t for w, (n, t) in zip(weights, points, strict=True))
        return Line(0.0, products / sum(w * n * n for w, (n, _) in zip(weights, points, strict=True)))
    return Line(fixed, each)
