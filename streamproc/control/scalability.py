"""The Universal Scalability Law, fitted to what was seen: where the best concurrency lies, and what it would gain.

N. Gunther, "Guerrilla Capacity Planning" (2007), chapter 4: X(N) = rate * N / (1 + contention * (N - 1) + crosstalk * N
* (N - 1)). Written as N / X it is linear in its unknowns, so an ordinary least-squares fit does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

FEWEST_LEVELS = 3


class Scalability(Struct, frozen=True):
    """How goodput depends on concurrency.

    Attributes:
        rate: goodput of one call alone.
        contention: the share of the work that calls wait for each other with, >= 0.
        crosstalk: what each pair of calls costs beyond that, >= 0; with it there is a best concurrency.
        seen: the highest concurrency that was measured; beyond twice that nothing is predicted.
    """

    rate: float
    contention: float
    crosstalk: float
    seen: int

    def goodput(self, concurrency: float) -> float:
        """Predict the goodput with so many calls at once."""
        n = concurrency
        return self.rate * n / (1 + self.contention * (n - 1) + self.crosstalk * n * (n - 1))

    def best(self, most: int) -> int:
        """Predict the concurrency of the highest goodput, at most `most` and at most twice what was seen."""
        bound = max(1, min(most, 2 * self.seen))
        if self.crosstalk <= 0 or self.contention >= 1:
            return bound
        return max(1, round(min(bound, math.sqrt((1 - self.contention) / self.crosstalk))))

    def gain_left(self, concurrency: int, most: int) -> float:
        """Predict by which share goodput would rise at the best concurrency; never below 0."""
        return max(0.0, self.goodput(self.best(most)) / self.goodput(concurrency) - 1)


def fit_scalability(goodput: Mapping[int, float]) -> Scalability | None:
    """Fit the law.

    Args:
        goodput: by concurrency, > 0, in any unit.

    Returns:
        `None` where fewer than three concurrencies were measured, or the law cannot hold.
    """
    points = [(n, x) for n, x in goodput.items() if n >= 1 and x > 0 and math.isfinite(x)]
    if len(points) < FEWEST_LEVELS:
        return None
    ys = [n / x for n, x in points]
    candidates: list[tuple[float, tuple[float, float, float]]] = []
    for kept in ((0, 1, 2), (0, 1), (0, 2), (0,), (1, 2), (1,), (2,)):  # non-negative: drop what would be negative
        rows = [
            [(1.0, n - 1.0, n * (n - 1.0))[column] / y for column in kept] for (n, _), y in zip(points, ys, strict=True)
        ]
        solved = _least_squares(rows)
        if solved is None or min(solved) < 0:
            continue
        coefficients = [0.0, 0.0, 0.0]
        for column, value in zip(kept, solved, strict=True):
            coefficients[column] = value
        error = sum((sum(a * b for a, b in zip(row, solved, strict=True)) - 1) ** 2 for row in rows)
        candidates.append((error, (coefficients[0], coefficients[1], coefficients[2])))
    usable = [each for each in candidates if each[1][0] > 0]
    if not usable:
        return None
    alone, waiting, pairs = min(usable)[1]
    return Scalability(1 / alone, waiting / alone, pairs / alone, max(n for n, _ in points))


def _least_squares(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """Solve rows * c = 1 in the least squares, by the normal equations (at most three unknowns)."""
    size = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)] + [sum(row[i] for row in rows)] for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(matrix[r][i]))
        if abs(matrix[pivot][i]) < 1e-12 * max(1e-300, abs(matrix[i][i]), *(abs(v) for v in matrix[pivot])):
            return None
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        for r in range(size):
            if r != i:
                factor = matrix[r][i] / matrix[i][i]
                matrix[r] = [a - factor * b for a, b in zip(matrix[r], matrix[i], strict=True)]
    return [matrix[i][size] / matrix[i][i] for i in range(size)]
