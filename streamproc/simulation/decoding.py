"""How fast everybody who decodes gains tokens: one virtual clock V, in tokens, for all of them.

A step takes T seconds and gives each decoding sequence a token, so whoever begins at V and writes k tokens is finished
at V + k, whatever T does meanwhile. T grows with those who run and with the tokens held in cache memory. The latter
grow by one a sequence and step, so the time for v tokens is a quadratic in v. An event costs O(log n).
"""

from __future__ import annotations

import heapq
import math
from typing import Literal

from msgspec import Struct

from streamproc.simulation.profiles import Profile


class Sequence(Struct, eq=False):
    """One request on its way through the engine.

    Attributes:
        ticket: as the client knows it.
        prompt_tokens: to be read; after a preemption also those written already.
        output_tokens: still to be written when decoding begins.
        stage: where it is; `gone` when finished or cancelled.
        turn: counts the admissions to a place; entries of an earlier turn are void.
        ends_at: the V at which its last token is written, while it decodes.
    """

    ticket: int
    prompt_tokens: float
    output_tokens: float
    stage: Literal["queued", "reading", "decoding", "gone"] = "queued"
    turn: int = 0
    ends_at: float = 0.0


class Decoder:
    """Everybody who decodes, and the cache memory held. Knows no wall clock: callers bring spans of seconds.

    Args:
        profile: its speed; may be replaced at any time.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.count = 0
        self.reading_tokens = 0.0  # the cache memory of those who do not decode yet
        self._tokens = 0.0  # V
        self._held_at_zero = 0.0  # what those who decode would hold at V = 0, by going back in a line
        self._ends: list[tuple[float, int, Sequence]] = []  # heap; whoever left stays in it until its turn comes

    @property
    def cache_tokens(self) -> float:
        """The cache memory held, in tokens: prompts and what was written so far."""
        return self.reading_tokens + self._held_at_zero + self.count * self._tokens

    def add(self, sequence: Sequence) -> None:
        """Begin to decode what was read."""
        sequence.stage = "decoding"
        sequence.ends_at = self._tokens + sequence.output_tokens
        self.count += 1
        self._held_at_zero += sequence.prompt_tokens - self._tokens
        heapq.heappush(self._ends, (sequence.ends_at, sequence.turn, sequence))

    def remove(self, sequence: Sequence) -> float:
        """Stop decoding a sequence, finished or not; give the tokens that it wrote since it began."""
        began_at = sequence.ends_at - sequence.output_tokens
        self.count -= 1
        self._held_at_zero -= sequence.prompt_tokens - began_at
        written = self._tokens - began_at
        if not self.count:  # nobody holds a mark on the clock, and small numbers are the exact ones
            self._tokens = self._held_at_zero = 0.0
            self._ends.clear()
        return written

    def first(self) -> Sequence | None:
        """Give the sequence that will be finished first."""
        ends = self._ends
        while ends and (ends[0][2].turn != ends[0][1] or ends[0][2].stage != "decoding"):
            heapq.heappop(ends)
        return ends[0][2] if ends else None

    def seconds_to(self, sequence: Sequence) -> float:
        """Give the seconds until the last token of a decoding sequence if nothing changes."""
        return self._seconds_for(max(0.0, sequence.ends_at - self._tokens))

    def seconds_to_full(self) -> float:
        """Give the seconds until the cache memory is full if nothing changes; infinity if that never happens."""
        capacity = self.profile.kv_tokens
        if capacity is None or not self.count:
            return math.inf
        return self._seconds_for(max(0.0, (capacity - self.cache_tokens) / self.count))

    def move(self, seconds: float) -> None:
        """Let time pass, to no later than the first end."""
        if self.count:
            linear, quadratic = self._cost()
            root = math.sqrt(linear * linear + 4 * quadratic * seconds) if quadratic else linear
            if linear + root > 0:
                self._tokens += 2 * seconds / (linear + root)

    def move_to(self, sequence: Sequence) -> None:
        """Let time pass until the end of a sequence, exactly: a rounding error must not leave it short."""
        self._tokens = max(self._tokens, sequence.ends_at)

    def _seconds_for(self, tokens: float) -> float:
        linear, quadratic = self._cost()
        return tokens * (linear + quadratic * tokens)

    def _cost(self) -> tuple[float, float]:
        """Give p and q: the next v steps take p * v + q * v * v seconds."""
        profile = self.profile
        step = profile.step_seconds(self.count + profile.neighbours)
        per_token = profile.step_seconds_per_cached_token
        if not per_token:
            return step, 0.0
        return step + per_token * self.cache_tokens, per_token * self.count / 2
