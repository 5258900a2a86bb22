"""An endpoint on a few lines, and a caller that keeps to the limit: exact arithmetic, so that scaling it is exact too.

Not the simulated endpoint: that one has steps, prompts and faults, and its times do not scale.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer

Interference = Callable[[ConcurrencyOptimizer, float, int], None]


def limits_of(
    optimizer: ConcurrencyOptimizer,
    *,
    attempts: int,
    places: float,
    seed: int = 0,
    demand: float = 1.0,
    seconds_unit: float = 1.0,
    tokens_unit: int = 1,
    interfere: Interference = lambda _optimizer, _now, _in_flight: None,
) -> list[int]:
    """Play so many attempts and give the limit after each.

    Args:
        optimizer: sets the limit.
        attempts: how many.
        places: so many are worked on at full speed; more share that.
        seed: of the lengths of prompts and answers.
        demand: the share of the limit that is used.
        seconds_unit: all times are this times longer.
        tokens_unit: all lengths are this times longer.
        interfere: called after each attempt, with the time and how many are in the air.
    """
    draw = random.Random(seed)
    in_the_air: list[tuple[float, int, float, int, int]] = []
    limits: list[int] = []
    now, sent = 0.0, 0
    while len(limits) < attempts:
        while len(in_the_air) < max(1, int(demand * optimizer.limit)):
            prompt, answer = draw.randint(50, 400), draw.randint(20, 200)
            sent += 1
            work = answer + prompt / 64 + 4
            seconds = seconds_unit * (work / 128 * max(1.0, (len(in_the_air) + 1) / places))
            heapq.heappush(in_the_air, (now + seconds, sent, now, prompt, answer))
            optimizer.started(now, len(in_the_air))
        now, _, started_at, prompt, answer = heapq.heappop(in_the_air)
        attempt = Attempt(started_at, now, "answered", tokens_unit * prompt, tokens_unit * answer)
        optimizer.finished(attempt, len(in_the_air))
        interfere(optimizer, now, len(in_the_air))
        limits.append(optimizer.limit)
    return limits
