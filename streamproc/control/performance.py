"""From what was seen to what to do: one plan a tick, and advice for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc.control.diagnosis import Diagnosis, Limiter, diagnose, limiters_of, shown, telling
from streamproc.control.scalability import fit_scalability
from streamproc.control.windows import Window

LAG_SECONDS = 0.25
LAGGING_WINDOWS = 5
"""An event loop that was so late for so many windows gets fewer calls at once."""
CALM_SECONDS = 0.1
CAP_STEP = 0.8
QUIET_LAG_SECONDS = 0.05
"""Above this, the times of attempts are those of this machine, not of the endpoint."""
EASY_HEADROOM = 0.5
REOPEN_HEADROOM = 0.25
SMALLEST_GAIN = 0.05
BUSY_LOOKUPS = 0.5


class Plan(Struct, frozen=True):
    """What the knobs should be.

    Attributes:
        span: records that may be on their way; 1 holds reading back without ever stopping it for good.
        cap: calls at once that this machine can bear; infinite for no such bound.
        learning: whether attempts may be measured by their time.
        reason: what set the span, in a few words.
        diagnosis: what limits the run.
    """

    span: int
    cap: float
    learning: bool
    reason: str
    diagnosis: Diagnosis


class Recommendation(Struct, frozen=True):
    """What a person could do about the speed of a run.

    Attributes:
        about: what limits it.
        advice: a sentence with the figures.
    """

    about: Limiter
    advice: str


class PerformanceOptimizer:
    """Join what was seen and the memory that is left into a plan. Pure.

    More memory pressure never gives a larger span. Once memory is critical, reading is held back until there is clearly
    room again.

    Args:
        span: records that may be on their way where there is room.
        least_span: what is left of that shortly before memory is critical.
    """

    def __init__(self, span: int = 1024, least_span: int = 1) -> None:
        if not 1 <= least_span <= span:
            raise ValueError(f"must be 1 <= least_span <= span, got {least_span} and {span}")
        self._span = span
        self._least_span = least_span
        self._closed = False
        self._late = 0
        self._calm = 0
        self._cap = math.inf

    @property
    def intake_closed(self) -> bool:
        """Tell whether reading is held back for want of memory."""
        return self._closed

    def span_for(self, headroom: float) -> int:
        """Give the records that may be on their way; as often as wanted, since memory fills faster than a tick.

        Args:
            headroom: of memory: 1 for plenty, 0 for critical.
        """
        if headroom <= 0:
            self._closed = True
        elif self._closed and headroom >= REOPEN_HEADROOM:
            self._closed = False
        if self._closed:
            return 1
        return max(self._least_span, math.floor(min(1.0, headroom / EASY_HEADROOM) * self._span))

    def plan(self, windows: Sequence[Window], headroom: float) -> Plan:
        """Decide.

        Args:
            windows: what was seen, oldest first; at least one. The last one decides.
            headroom: of memory, 0 to 1.
        """
        window, span = windows[-1], self.span_for(headroom)
        self._watch_lag(window)
        reason = "memory is critical" if self._closed else f"memory headroom {headroom:.0%}"
        return Plan(
            span=span,
            cap=self._cap,
            learning=(window.loop_lag_seconds or 0.0) <= QUIET_LAG_SECONDS,
            reason=reason,
            diagnosis=diagnose(window),
        )

    def _watch_lag(self, window: Window) -> None:
        lag = window.loop_lag_seconds
        if lag is None:
            return
        self._late = self._late + 1 if lag > LAG_SECONDS else 0
        self._calm = self._calm + 1 if lag < CALM_SECONDS else 0
        if self._late >= LAGGING_WINDOWS:
            self._cap = max(1.0, math.floor(CAP_STEP * min(self._cap, window.limit)))
            self._late = 0
        elif self._calm >= LAGGING_WINDOWS and self._cap < math.inf:
            self._cap = math.ceil(self._cap / CAP_STEP) if self._cap < window.most else math.inf
            self._calm = 0

    def analyze(self, windows: Sequence[Window], goodput: Mapping[int, float] | None = None) -> list[Recommendation]:
        """Say what would make a run faster.

        Args:
            windows: what was seen.
            goodput: answers a second by calls at once, as measured.

        Returns:
            One piece of advice for each thing that limited the run a tenth of the time or more, the longest first.
        """
        seconds = limiters_of(windows)
        last = {diagnose(window).limited_by: window for window in telling(windows)}
        total = sum(seconds.values())
        return [
            Recommendation(limiter, advice)
            for limiter, share in seconds.items()
            if share >= 0.1 * total and (advice := advise(limiter, last[limiter], goodput or {}))
        ]


def advise(limiter: Limiter, window: Window, goodput: Mapping[int, float]) -> str | None:
    """Say what a person can do about a limit; `None` where nothing would help.

    Args:
        limiter: what limits.
        window: when it did.
        goodput: answers a second by calls at once, as measured.
    """
    match limiter:
        case "rate":
            return _about_rate(window)
        case "capacity" if window.unreachable:
            return "for a time no connection could be made: look whether the endpoint runs and the network holds"
        case "capacity" if window.down:
            return "for a time the endpoint refused everything: look whether it runs, and whether its address is right"
        case "capacity" if window.ceiling is None:
            return "records wait before they are tried again: look at the errors that the endpoint answers with"
        case "capacity":
            return (
                f"the endpoint refuses more than {window.ceiling} calls at once: raising concurrency cannot help; "
                "ask for more, or add workers on the endpoint's side"
            )
        case "user":
            return _about_settings(window, goodput)
        case "goodput":
            return _about_goodput(window, goodput)
        case "memory":
            return "memory is short: raise resources.max_memory_mb, or lower cache.max_size_mb or max_concurrent"
        case "cpu":
            return (
                "one core is busy all the time and asyncio uses one: share the input between several processes, "
                "or make Task.render and Task.parse cheaper"
            )
        case "sink":
            return f"the sink writes {window.sink_busy:.0%} of the time: put the output on a faster disk or database"
        case "cache" if window.lookup_busy < BUSY_LOOKUPS:
            return None
        case "cache":
            return f"lookups take {window.lookup_busy:.0%} of the time: move the cache nearer, or into memory"
        case "source":
            return "the model waits for input: the source is the slowest part"


def _about_rate(window: Window) -> str:
    if window.requests_per_second is not None:
        above = f"{shown(window.requests_per_second)} requests/s"
    elif window.tokens_per_second is not None:
        above = f"{shown(window.tokens_per_second)} text tokens/s"
    else:
        above = "the account's rate"
    says = "tells a limit of" if window.told_rate else "answers 429 above"
    return f"the endpoint {says} {above}: raising concurrency cannot help; ask for a higher limit"


def _about_settings(window: Window, goodput: Mapping[int, float]) -> str:
    if window.configured_rate and window.paced:
        return "llm.requests_per_minute or llm.tokens_per_minute holds calls back: raise it if the account allows more"
    if not window.adaptive:
        return f"concurrency is fixed at {window.limit}: let concurrency.adaptive find the best"
    gain = _gain(goodput, 2 * window.most)
    tail = f"; twice as many would give about {gain.more:.0%} more" if gain and gain.more >= SMALLEST_GAIN else ""
    return f"resources.max_concurrent allows {window.most} calls at once{tail}"


def _about_goodput(window: Window, goodput: Mapping[int, float]) -> str | None:
    gain = _gain(goodput, window.most)
    if gain is None:
        return None
    if gain.more < SMALLEST_GAIN:
        return f"the endpoint does its best at about {window.limit} calls at once: only a faster or a second one helps"
    return f"about {gain.best} calls at once are predicted to give {gain.more:.0%} more than {gain.reached}"


class _Gain(Struct, frozen=True):
    """What the best number of calls at once would give more than the best one measured."""

    best: int
    more: float
    reached: int


def _gain(goodput: Mapping[int, float], most: int) -> _Gain | None:
    law = fit_scalability(goodput)
    if law is None:
        return None
    reached = max(goodput, key=lambda n: goodput[n])
    return _Gain(law.best(most), law.gain_left(reached, most), reached)
