"""The search for the best number of model calls at once."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from msgspec import Struct

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.ceiling import Ceiling
from streamproc.control.concurrency.epoch import Epoch
from streamproc.control.concurrency.goodput_curve import GoodputCurve
from streamproc.control.concurrency.grid import Grid
from streamproc.control.concurrency.work import WorkModel

TOLERANCE = 0.03
"""Goodput that may be given up for a lower limit: it buys latency, and room for whoever else uses the endpoint."""
STARTUP_GAIN = 0.06
"""Doubling goes on while the next one is expected to raise goodput by a tenth (in logarithms)."""
STARTUP_SAMPLES = (6, 96)
CRUISE_SAMPLES = (20, 256)
LONGEST_HOLD = 16
STEPS_UP = 2
STEP_DOWN = 1.6
"""Probes go two levels up, and down to the lowest that may do as well; or so far, where nothing is known there."""
NEAR_CEILING = 0.9
DECISIONS_KEPT = 200

Phase = Literal["startup", "hold", "probe"]


class Decision(Struct, frozen=True):
    """A change of the limit.

    Attributes:
        at: seconds.
        before: the limit until then.
        limit: the limit from then on.
        reason: why, in a few words.
    """

    at: float
    before: int
    limit: int
    reason: str


class ConcurrencyOptimizer:
    """Find the smallest limit that gives the best goodput, and follow it. Pure: the caller brings events and times.

    Starts by doubling while that pays, then keeps a curve of goodput by limit, probes its neighbourhood ever more
    rarely while nothing changes, and backs off below what the endpoint refuses. Rate limits are not its business:
    attempts refused with 429 and a time to wait count as no evidence. Attempts that were too few to use the limit are
    none either, so it never grows when idle.

    Args:
        initial: calls at once to begin with.
        min: the fewest.
        max: the most.

    Raises:
        ValueError: they are not in order, or below 1.
    """

    def __init__(self, initial: int = 8, min: int = 1, max: int = 256) -> None:  # noqa: A002 - the published names
        if not 1 <= min <= initial <= max:
            raise ValueError(f"must be 1 <= min <= initial <= max, got {min}, {initial} and {max}")
        self.history: deque[Decision] = deque(maxlen=DECISIONS_KEPT)
        self.reason = "initial"
        self.ceiling = Ceiling()
        self._grid = Grid(min, max)
        self._min, self._max = min, max
        self._initial = initial
        self._limit = initial
        self._work = WorkModel()
        self.curve = GoodputCurve(TOLERANCE, self._work)
        self._phase: Phase = "startup"
        self._base = initial
        self._in_flight = 0
        self._hold = 1
        self._held = 0
        self._upward = True
        self._epoch: Epoch | None = None

    @property
    def limit(self) -> int:
        """Calls that may be in the air at once."""
        return self._limit

    @property
    def phase(self) -> Phase:
        """What it is doing: doubling, holding what is best, or trying a neighbour."""
        return self._phase

    @property
    def base(self) -> int:
        """The limit that is best so far: in force, but for the time in which a neighbour is tried."""
        return self._base if self._phase == "probe" else self._limit

    def started(self, now: float, in_flight: int) -> None:
        """Enter an attempt that sets out.

        Args:
            now: seconds.
            in_flight: attempts in the air, this one included.
        """
        self.ceiling.sent(in_flight, now)
        self._moved(in_flight, now)

    def finished(self, attempt: Attempt, in_flight: int) -> None:
        """Enter an attempt that ended; figures that make no sense change nothing.

        Args:
            attempt: what became of it.
            in_flight: attempts still in the air, this one not included.
        """
        now = attempt.ended_at
        if not (math.isfinite(attempt.started_at) and math.isfinite(now) and now >= attempt.started_at):
            return
        if min(attempt.prompt_tokens, attempt.completion_tokens) < 0:
            return
        self._moved(in_flight, now)
        if attempt.ending == "overloaded" or (attempt.ending == "rate_limited" and attempt.retry_after is None):
            self._refused(attempt, in_flight)
        elif attempt.ending == "answered" and self._epoch is not None:
            self.ceiling.accepted()
            self._work.enter(attempt)
            if self._epoch.answered(attempt):
                self._measured(self._epoch, now)
            self._try_ceiling(in_flight, now)

    def goodput(self) -> dict[int, float]:
        """Give what was measured: typical answers a second by limit."""
        return {limit: math.exp(value) for limit, value in self.curve.measured().items()}

    def restart(self, now: float, in_flight: int) -> None:
        """Begin the measurement under way anew: what was measured was this machine, not the endpoint."""
        self._begin_epoch(now, in_flight, settle=False)

    def recovered(self, now: float, in_flight: int) -> None:
        """Begin anew after an outage, at half of what was best: what was refused meanwhile says nothing of limits."""
        self.ceiling = Ceiling()
        best = self.curve.best(self._max)
        self._phase, self._in_flight = "startup", in_flight
        self._set(max(self._min, self._initial if best is None else best // 2), now, "the endpoint is back")

    def _moved(self, in_flight: int, now: float) -> None:
        self._in_flight = in_flight
        if self._epoch is None:
            self._begin_epoch(now, in_flight, settle=False)
        else:
            self._epoch.moved(in_flight, now)

    def _refused(self, attempt: Attempt, in_flight: int) -> None:
        now = attempt.ended_at
        self.ceiling.refused(attempt.started_at, in_flight, now)
        top = self._top()
        if top < self._limit:
            self._phase = "hold"
            self._hold, self._held = 1, 0
            self._base = top
            self._set(top, now, "refused above it")

    def _measured(self, epoch: Epoch, now: float) -> None:
        measured = epoch.measure(self._work)
        if measured is None:
            self._begin_epoch(now, self._in_flight, settle=False)
            return
        self.curve.enter(self._limit, measured, settled=self._phase != "startup")
        if self._phase == "startup":
            self._double(now)
        else:
            self._cruise(now)

    def _double(self, now: float) -> None:
        if self.curve.gain_ahead(self._limit) >= STARTUP_GAIN and self._limit < self._top():
            self._set(min(2 * self._limit, self._top()), now, "doubled: goodput still grows with it")
        else:
            self._settle_on_best(now)

    def _cruise(self, now: float) -> None:
        if self.ceiling.trying:
            self.ceiling.settle()
        best = self._best()
        if best != self._base:
            self._settle_on_best(now)
        elif self._phase == "probe":
            self._hold = min(2 * self._hold, LONGEST_HOLD)
            self._phase, self._held = "hold", 0
            self._set(self._base, now, "the neighbour is no better")
        else:
            self._held += 1
            if self._held >= self._hold:
                self._try_neighbour(now)
            else:
                self._begin_epoch(now, self._in_flight, settle=False)

    def _try_ceiling(self, in_flight: int, now: float) -> None:
        """Where refusals alone bound the limit, see now and then whether they still would come."""
        ceiling = self.ceiling
        if not ceiling.known or self._limit < self._top() or in_flight + 1 < self._limit:
            return
        unknown = self._limit >= self.curve.highest
        if ceiling.trying:
            due = ceiling.held(now) and not unknown
        else:
            due = ceiling.answered() and self._best() >= self._limit
        if due:
            ceiling.lift()
            self._base = self._top()
            self._phase, self._held, self._hold = "hold", 0, 1
            self._set(self._base, now, "tried again what was refused once")

    def _settle_on_best(self, now: float) -> None:
        skipped = self._phase == "startup"
        self._base = self._best()
        self._phase, self._held, self._hold = "hold", 0, 1
        if skipped and (between := self._below()) is not None:
            self._phase, self._upward = "probe", False
            self._set(between, now, "between the best and the one below it")
        else:
            self._set(self._base, now, "the least that gives the best goodput")

    def _try_neighbour(self, now: float) -> None:
        self._held = 0
        up, down = min(self._grid.beside(self._base, STEPS_UP), self._top()), self._below()
        self._upward = not self._upward
        level = up if (self._upward and up > self._base) or down is None else down
        if level == self._base:
            self._begin_epoch(now, self._in_flight, settle=False)
        else:
            self._phase = "probe"
            self._set(level, now, "probed")

    def _below(self) -> int | None:
        """Give the lowest level that may do as well as the base, or `None` where none below it may."""
        needed = self.curve.needed_for(self._base)
        level = self._grid.at_least(self._base / STEP_DOWN if needed is None else needed)
        return level if level < self._base else None

    def _best(self) -> int:
        top = self._top()
        best = self.curve.best(top, favoured=self._base)
        if best is None:
            return self._base
        if self.ceiling.known and best >= NEAR_CEILING * top:
            return top  # what is refused is the bound, not what the engine can do
        return max(best, self._min)

    def _top(self) -> int:
        return int(max(self._min, min(self._max, self.ceiling.value)))

    def _set(self, limit: int, now: float, reason: str) -> None:
        if limit != self._limit:
            self.history.append(Decision(now, self._limit, limit, reason))
            self.reason = reason
            self._limit = limit
        self._begin_epoch(now, self._in_flight, settle=True)

    def _begin_epoch(self, now: float, in_flight: int, *, settle: bool) -> None:
        if self._phase == "startup":
            wanted = _within(self._limit / 2, STARTUP_SAMPLES)
            left_out = self._limit * (0.5 if self._limit > 32 else 0)
        else:
            wanted = _within(self._limit, CRUISE_SAMPLES)
            left_out = float(self._limit)
        self._epoch = Epoch(self._limit, now, in_flight, math.ceil(left_out) if settle else 0, wanted)


def _within(samples: float, bounds: tuple[int, int]) -> int:
    return round(min(max(samples, bounds[0]), bounds[1]))
