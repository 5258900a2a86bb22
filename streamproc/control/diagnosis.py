"""What limits a run, and the figures that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from streamproc.control.windows import Window

Limiter = Literal["source", "cache", "rate", "capacity", "goodput", "memory", "cpu", "sink", "user"]
"""What bounds the speed: reading; looking up; a rate of the account; the calls that the endpoint takes at once; the
point from which more calls at once gain nothing; memory; the processor; writing; or a setting."""

USED = 0.8
PACED = 0.1
BUSY = 0.8
FULL_CORE = 0.9
LATE_SECONDS = 0.1
CROWDED = 0.5


class Diagnosis(Struct, frozen=True):
    """What limits a run.

    Attributes:
        limited_by: what does.
        evidence: the figures, in words that can follow "limited by ...:".
    """

    limited_by: Limiter
    evidence: str


def telling(windows: Iterable[Window]) -> list[Window]:
    """Give the windows that tell what limits a run: not its tail, unless there is nothing else."""
    seen = list(windows)
    return [window for window in seen if not window.tail] or seen


def limiters_of(windows: Iterable[Window]) -> dict[Limiter, float]:
    """Give for how many seconds each thing limited a run, the longest first."""
    seconds: dict[Limiter, float] = {}
    for window in telling(windows):
        limiter = diagnose(window).limited_by
        seconds[limiter] = seconds.get(limiter, 0.0) + window.seconds
    return dict(sorted(seconds.items(), key=lambda each: -each[1]))


def diagnose(window: Window) -> Diagnosis:
    """Say what limited a run in a window."""
    if window.intake_closed:
        return Diagnosis("memory", f"reading is held back; {window.span} records are on their way")
    cores, late = window.cores_busy, (window.loop_lag_seconds or 0.0) >= LATE_SECONDS
    if cores is not None and cores >= FULL_CORE and (late or not _model_busy(window)):
        return Diagnosis("cpu", f"{cores:.2f} cores are busy, and the event loop has one")
    if _model_busy(window):
        return _by_model(window)
    if window.sink_busy >= BUSY or window.waiting_outcomes > CROWDED * window.span_limit:
        return Diagnosis(
            "sink", f"it writes {window.sink_busy:.0%} of the time, and {window.waiting_outcomes} outcomes wait for it"
        )
    if window.lookup_busy >= CROWDED or (window.waiting_records and window.lookup_busy > window.sink_busy):
        return Diagnosis(
            "cache", f"lookups take {window.lookup_busy:.0%} of the time, and {window.waiting_records} records wait"
        )
    if cores is not None and cores >= FULL_CORE:
        return Diagnosis("cpu", f"{cores:.2f} cores are busy, and the event loop has one")
    return Diagnosis(
        "source", f"{window.in_flight:.0f} of {window.limit} calls are in the air and none waits: nothing else comes"
    )


def _model_busy(window: Window) -> bool:
    held = window.in_flight + window.paced
    return (
        window.down
        or window.unreachable
        or window.resting > held
        or window.waiting_calls > 0
        or held >= USED * window.limit
    )


def _by_model(window: Window) -> Diagnosis:
    if window.unreachable:
        return Diagnosis("capacity", "no connection can be made")
    if window.down:
        return Diagnosis("capacity", "the endpoint refuses everything; one request at a time asks how it is")
    if window.paced > PACED * max(1, window.limit):
        rate = _rate(window)
        return Diagnosis(
            "user" if window.configured_rate else "rate", f"{window.paced} calls wait for their turn{rate}"
        )
    if window.resting > window.in_flight + window.paced:
        return Diagnosis("capacity", f"{window.resting} records wait before they are tried again")
    if not window.adaptive:
        return Diagnosis("user", f"concurrency is fixed at {window.limit}")
    if window.ceiling is not None and window.limit >= USED * window.ceiling:
        return Diagnosis("capacity", f"the endpoint refuses more than {window.ceiling} calls at once")
    if window.limit >= window.most:
        return Diagnosis("user", f"resources.max_concurrent allows {window.most} calls at once")
    if window.searching:
        return Diagnosis("goodput", f"{window.limit} calls at once, and still growing")
    return Diagnosis("goodput", f"more than {window.limit} calls at once gain nothing")


def _rate(window: Window) -> str:
    rates = []
    if window.requests_per_second is not None:
        rates.append(f"{shown(window.requests_per_second)} requests/s")
    if window.tokens_per_second is not None:
        rates.append(f"{shown(window.tokens_per_second)} text tokens/s")
    return f"; the rate in force is {' and '.join(rates)}" if rates else ""


def shown(figure: float) -> str:
    """Write a figure as a person would: at least three digits of it, and no power of ten."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"
