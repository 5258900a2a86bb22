"""The most that an endpoint takes before it refuses: found by being refused, and tried again now and then."""

from __future__ import annotations

import math
from collections import deque

CROWD = 6
CROWD_EVENTS = 14
"""So many refusals with no more attempts sent or answered between them are no chance: endpoints that fail now and then
at random do so under any load, and must not be given less for it."""
MANY_CHANCE_REFUSALS = 0.01
RAISE_EVENTS = 4
"""Where a larger share than this is refused by chance, a raise has failed only if a second refusal follows at once."""
CHANCE_MEMORY = 0.99
STREAK_FACTORS = (1.0, 0.9, 0.8, 0.7)
"""By how much a first crowd of refusals cuts, and further ones in a row. The first needs no margin: what was in
the air beside the refused attempt had been accepted. More of them say that there is far less room than there was."""
FIRST_RAISE_SHARE = 0.04
LONGEST_PATIENCE = 4
SURVIVAL_SECONDS = 1.0
SURVIVAL_REFUSALS = 4.0
"""Attempts above the old ceiling that were not refused for a second, and for four times as long as refusals take, were
accepted."""


class Ceiling:
    """A bound above which attempts were refused.

    One refusal alone says little; a crowd of them cuts. Attempts sent before a cut took effect belong to the same
    cohort: they can lower the ceiling to what was in the air beside them, and cause no cut of their own.

    After `patience` times as many answers as it allows attempts, the ceiling is raised a little. An attempt above the
    old one shows within moments whether that holds. If it does the next raise follows at once and is twice as large; if
    not, the patience doubles.
    """

    def __init__(self) -> None:
        self.value = math.inf
        self._cut_at = -math.inf
        self._streak = -1
        self._events = 0
        self._chance = 0.0
        self._refusals: deque[int] = deque(maxlen=CROWD)
        self._last: tuple[float, float] | None = None
        self._refusal_seconds = 0.0
        self._patience = 1
        self._answers = 0
        self._proven = math.inf
        self._step = 0.0
        self._tested_at: float | None = None

    @property
    def known(self) -> bool:
        """Tell whether anything was ever refused."""
        return self.value < math.inf

    @property
    def trying(self) -> bool:
        """Tell whether a raise is under way, of which it is not known yet whether it holds."""
        return self._step > 0

    def sent(self, in_flight: int, now: float) -> None:
        """Enter an attempt that sets out; `in_flight` includes it."""
        self._events += 1
        if self.trying and self._tested_at is None and in_flight > self._proven:
            self._tested_at = now

    def refused(self, started_at: float, others_in_flight: int, now: float) -> None:
        """Enter a refusal.

        Args:
            started_at: when the refused attempt was sent.
            others_in_flight: attempts in the air beside it.
            now: seconds.
        """
        room = max(1, others_in_flight)
        self._refusal_seconds = max(now - started_at, 0.9 * self._refusal_seconds)
        if started_at <= self._cut_at:
            self._answers = 0
            self.value = min(self.value, room)
            return
        if (started_at, now) == self._last:
            return  # entered twice
        self._last = (started_at, now)
        gap = self._events - self._refusals[-1] if self._refusals else CROWD_EVENTS
        self._refusals.append(self._events)
        crowd = len(self._refusals) == CROWD and self._events - self._refusals[0] <= CROWD_EVENTS
        alone = self._chance > MANY_CHANCE_REFUSALS and gap > RAISE_EVENTS
        if self.trying and others_in_flight >= self._proven and not alone:
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self.value, self._streak = min(self.value, room), -1
        elif crowd:
            self._patience = 1
            self._streak = min(self._streak + 1, len(STREAK_FACTORS) - 1)
            self.value = min(self.value, max(1, math.floor(STREAK_FACTORS[self._streak] * room)))
        else:
            self._chance = CHANCE_MEMORY * self._chance + (1 - CHANCE_MEMORY)
            if gap > CROWD_EVENTS:
                self._streak = -1
            return
        self._answers = 0
        self._stop_trying()
        self._cut_at = now

    def accepted(self) -> None:
        """Count an answer: what it is an answer to was not refused."""
        self._events += 1
        self._chance *= CHANCE_MEMORY

    def answered(self) -> bool:
        """Enter an answer that came while the ceiling was reached; tell whether it is time to try a higher one."""
        self._answers += 1
        return self.known and self._answers >= self._patience * self.value

    def held(self, now: float) -> bool:
        """Tell whether the raise under way has held."""
        return self._tested_at is not None and now - self._tested_at >= max(
            SURVIVAL_SECONDS, SURVIVAL_REFUSALS * self._refusal_seconds
        )

    def lift(self) -> None:
        """Raise the ceiling: a little at first, twice as much after a raise that held."""
        self._answers = 0
        if self.trying:
            self._patience = max(1, self._patience // 2)
        self._step = 2 * self._step if self.trying else max(1.0, FIRST_RAISE_SHARE * self.value)
        self._proven = self.value
        self.value += math.floor(self._step)
        self._tested_at = None

    def settle(self) -> None:
        """Take the raise under way for good: an epoch has passed under it."""
        self._patience = max(1, self._patience // 2)
        self._stop_trying()

    def _stop_trying(self) -> None:
        self._step, self._tested_at, self._proven = 0.0, None, math.inf
