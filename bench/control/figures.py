"""What a run is judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

WINDOW_SECONDS = 30


class Figures(Struct, frozen=True):
    """One run of one controller.

    Attributes:
        goodput: output tokens of answered attempts, a second of the whole run.
        p99: seconds within which 99 of 100 answered attempts ended; 0 if none did.
        attempts: that ended.
        wasted: of these, refused or lost ones.
        travel: the sum of the limit's relative moves.
        tokens_by_second: output tokens answered in each second.
        limit_at_end: permits.
        cpu_seconds: that the run took in reality.
    """

    goodput: float
    p99: float
    attempts: int
    wasted: int
    travel: float
    tokens_by_second: list[int]
    limit_at_end: int
    cpu_seconds: float

    @property
    def waste(self) -> float:
        """The share of the attempts that brought nothing."""
        return self.wasted / self.attempts if self.attempts else 0.0

    def t90(self, goodput: float) -> float:
        """Give the end of the first 30 seconds with 90 % of `goodput`, in seconds; the whole run if there are none."""
        by_second, wanted = self.tokens_by_second, 0.9 * goodput * WINDOW_SECONDS
        total = sum(by_second[:WINDOW_SECONDS])
        for end in range(WINDOW_SECONDS, len(by_second)):
            if total >= wanted:
                return float(end)
            total += by_second[end] - by_second[end - WINDOW_SECONDS]
        return float(len(by_second))


class Verdict(Struct, frozen=True):
    """One run beside the oracle's.

    Attributes:
        scenario: its kind.
        seed: of the scenario.
        controller: by name.
        share: of the oracle's goodput.
        p99_ratio: to the oracle's; infinity where nothing was answered.
        waste: share of the attempts.
        t90: seconds.
        travel: of the limit.
        score: at most 101.2.
        limit_at_end: permits.
        cpu_seconds: of the run.
        segment_share: of the goodput of an oracle that knows every change; 0 where nothing changes.
    """

    scenario: str
    seed: int
    controller: str
    share: float
    p99_ratio: float
    waste: float
    t90: float
    travel: float
    score: float
    limit_at_end: int
    cpu_seconds: float
    segment_share: float = 0.0


def score(share: float, p99_ratio: float, waste: float, t90_share: float) -> float:
    """Give the score, of at most 101.2: goodput counts 60 of it, latency 15, waste 15 and the time to get there 10.

    Args:
        share: of the oracle's goodput; above 1.02 it counts as that.
        p99_ratio: to the oracle's; below 1 it counts as 1.
        waste: share of the attempts.
        t90_share: t90 as a share of the run.
    """
    calm = 1.0 / max(1.0, p99_ratio)
    return 100 * (0.60 * min(1.02, share) + 0.15 * calm + 0.15 * 0.05 / (0.05 + waste) + 0.10 * (1 - t90_share))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest of the values that at least `share` of them do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
