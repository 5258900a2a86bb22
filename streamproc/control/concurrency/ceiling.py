"""The most that an endpoint takes before it refuses: found by being refused, and tried again now and then."""

from __future__ import annotations

import math

STREAK_FACTORS = (1.0, 0.9, 0.8, 0.7)
"""By how much the first, second, ... refusal in a row cuts. The first needs no margin: what was in the air beside the
refused attempt had been accepted. Refusals with hardly an attempt accepted in between say that there is far less room
than there was."""
STREAK_SHARE = 0.1
"""Attempts accepted since the last cut, in shares of the ceiling, above which a refusal begins a new streak."""
RELAX_SHARE = 0.04
LONGEST_PATIENCE = 8
MOST_DOUBLINGS = 4


class Ceiling:
    """A bound above which attempts were refused.

    Attempts sent before a cut took effect belong to the same cohort: they can lower the ceiling to what was in the air
    beside them, and cause no cut of their own. Once `patience` epochs have passed without a refusal the ceiling is
    raised a little, and by more each time that goes well. A raise that is refused doubles the patience.
    """

    def __init__(self) -> None:
        self.value = math.inf
        self._cut_at = -math.inf
        self._streak = -1
        self._accepted = 0
        self._patience = 1
        self._clean = 0
        self._raises = 0
        self._raised = False

    @property
    def known(self) -> bool:
        """Tell whether anything was ever refused."""
        return self.value < math.inf

    def sent(self) -> None:
        """Count an attempt that sets out."""
        self._accepted += 1

    def refused(self, started_at: float, others_in_flight: int, now: float) -> None:
        """Enter a refusal.

        Args:
            started_at: when the refused attempt was sent.
            others_in_flight: attempts in the air beside it.
            now: seconds.
        """
        room = max(1, others_in_flight)
        self._clean = 0
        if started_at <= self._cut_at:
            self.value = min(self.value, room)
            return
        in_a_row = self.known and self._accepted - 1 <= STREAK_SHARE * self.value
        self._streak = min(self._streak + 1, len(STREAK_FACTORS) - 1) if in_a_row else 0
        self.value = min(self.value, max(1, math.floor(STREAK_FACTORS[self._streak] * room)))
        if self._raised:
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self._raised = False
        self._raises = 0
        self._cut_at = now
        self._accepted = 0

    def passed(self) -> bool:
        """Enter an epoch at the ceiling without a refusal; tell whether the ceiling was raised for it."""
        if not self.known:
            return False
        self._clean += 1
        if self._clean < self._patience:
            return False
        if self._raised:
            self._patience = max(1, self._patience // 2)
            self._raises += 1
        self._clean = 0
        self._raised = True
        self.value += max(1, math.floor(RELAX_SHARE * self.value * 2 ** min(self._raises, MOST_DOUBLINGS)))
        return True
