"""When a figure is worth telling a person, and when that is over. Pure: the caller brings figures and the time.

    OK -> PENDING (for so long) -> FIRING (until it was low for so long) -> OK

It rises at one threshold and falls at a lower one, so a figure that wavers around either makes no noise. A figure that
is missing changes nothing: silence is no recovery, and the time it lasts counts neither way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from streamproc.config import Config

Level = Literal["warning", "critical"]
Unit = Literal["bytes", "seconds", "percent", "share", "count"]
Seconds = Annotated[float, Meta(ge=0)]


class AlertTiming(Config, frozen=True, kw_only=True):
    """How patient alerts are.

    Attributes:
        for_seconds: how long a figure must be over its threshold, seen without a break, before an alert fires.
        keep_firing_seconds: how long it must be well under it before the alert is resolved.
        repeat_seconds: how often an alert that goes on firing is told again.
        fall_ratio: how far under the threshold is well under it: below this share of it.
    """

    for_seconds: Seconds = 5.0
    keep_firing_seconds: Seconds = 15.0
    repeat_seconds: Annotated[float, Meta(gt=0)] = 3600.0
    fall_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.9


class Reading(Struct, frozen=True, kw_only=True):
    """A figure beside its thresholds: more of it is worse. Anything may be watched so, by whatever name.

    Attributes:
        metric: the name under which its alerts go.
        value: the figure; `None` or not a number where it is not known.
        warning: where a warning begins; infinite for none.
        critical: where it becomes critical; infinite for never.
        title: what it is, in words that begin a sentence.
        unit: what it is counted in.
        advice: what a person can do about it.
    """

    metric: str
    value: float | None
    warning: float = math.inf
    critical: float = math.inf
    title: str
    unit: Unit = "count"
    advice: str


class ResourceAlert(Struct, frozen=True, kw_only=True):
    """Something began, went on, or ended that a person may want to know.

    Attributes:
        metric: what it is about, such as `memory`.
        level: `warning` or `critical`.
        value: the figure.
        threshold: what it rose to or above: in the figure's unit.
        state: `firing`, or `resolved` when it is over.
        since: when the figure reached the threshold, in seconds on the clock of its samples.
        at: when this was found, on the same clock.
        repeated: whether it was told before, and still goes on.
        message: what is wrong and what can be done, in a sentence.
    """

    metric: str
    level: Level
    value: float
    threshold: float
    state: Literal["firing", "resolved"]
    since: float
    at: float
    repeated: bool = False
    message: str


class AlertBook:
    """Follow any number of figures, and say when one begins to be, stays, or stops being over a threshold.

    While a figure is critical nothing is said about its warning. An alert that was told as firing is told as resolved
    exactly once before it is told as firing anew.

    Args:
        timing: how patient it is.
        of: how patient it is with single figures, by their names.
    """

    def __init__(self, timing: AlertTiming | None = None, of: Mapping[str, AlertTiming] | None = None) -> None:
        self._timing = timing or AlertTiming()
        self._of = dict(of or {})
        self._alarms: dict[str, tuple[_Alarm, _Alarm]] = {}

    def observe(self, readings: Iterable[Reading], now: float) -> list[ResourceAlert]:
        """Take in figures; give what is to be told.

        Args:
            readings: at most one by each name. One that is left out is not seen at all; one that could not be read
                belongs here, with no value.
            now: seconds on a clock that never goes back.
        """
        told: list[ResourceAlert] = []
        for reading in readings:
            alarms = self._alarms.get(reading.metric)
            if alarms is None:
                timing = self._of.get(reading.metric, self._timing)
                alarms = self._alarms[reading.metric] = (_Alarm("critical", timing), _Alarm("warning", timing))
            critical, warning = alarms
            for alarm in alarms:
                alarm.observe(reading, now)
            if (alert := critical.due(now)) is not None:
                told.append(alert)
            if not critical.firing and (alert := warning.due(now)) is not None:
                told.append(alert)
        return told

    @property
    def firing(self) -> list[ResourceAlert]:
        """The alerts that fire now: for each figure the worst, as it was last seen."""
        return [
            alert
            for alarms in self._alarms.values()
            for alert in [alarm.alert() for alarm in alarms if alarm.firing][:1]
        ]


class _Alarm:
    """One figure at one level."""

    def __init__(self, level: Level, timing: AlertTiming) -> None:
        self._level: Level = level
        self._timing = timing
        self.firing = False
        self._since = 0.0  # when the figure reached the threshold
        self._held = 0.0  # seconds it was seen over the threshold, or, while firing, well under it
        self._turning = False  # whether it was so at the last reading
        self._seen_at: float | None = None  # the reading before this one, if that had a value
        self._last: tuple[Reading, float, float, float] | None = None  # the last seen: reading, value, threshold, time
        self._told_since: float | None = None  # of the alert that was told as firing and not yet as resolved
        self._told_at = 0.0

    def observe(self, reading: Reading, now: float) -> None:
        """Change the state by one reading."""
        value = reading.value
        if value is None or math.isnan(value):
            self._seen_at = None
            return
        threshold = reading.critical if self._level == "critical" else reading.warning
        passed = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        self._last = (reading, value, threshold, now)
        if self.firing:
            turning, patience = value < threshold * self._timing.fall_ratio, self._timing.keep_firing_seconds
        else:
            turning, patience = math.inf > threshold <= value, self._timing.for_seconds
            if turning and not self._turning:
                self._since = now
        self._held = self._held + passed if turning and self._turning else 0.0
        self._turning = turning
        if turning and self._held >= patience:
            self.firing = not self.firing
            self._turning = False

    def due(self, now: float) -> ResourceAlert | None:
        """Give what is to be told now, if anything, and count it as told."""
        if self._last is None or self._last[3] != now:
            return None
        told = self._told_since is not None
        if self.firing == told and not (told and now - self._told_at >= self._timing.repeat_seconds):
            return None
        alert = self.alert(repeated=told and self.firing)
        self._told_since = alert.since if self.firing else None
        self._told_at = now
        return alert

    def alert(self, *, repeated: bool = False) -> ResourceAlert:
        """Put the state into an alert."""
        assert self._last is not None
        reading, value, threshold, at = self._last
        since = self._since if self._told_since is None else self._told_since
        return alert_of(
            reading, self._level, value, threshold, firing=self.firing, since=since, at=at, repeated=repeated
        )


def alert_of(
    reading: Reading,
    level: Level,
    value: float,
    threshold: float,
    *,
    firing: bool,
    since: float,
    at: float,
    repeated: bool = False,
) -> ResourceAlert:
    """Say in a sentence what a reading means."""
    shown, bound = shown_as(value, reading.unit), shown_as(threshold, reading.unit)
    if firing:
        message = f"{reading.title} is {shown}, at or over the {level} threshold of {bound}: {reading.advice}"
    else:
        message = f"{reading.title} is {shown}, back under the {level} threshold of {bound}"
    return ResourceAlert(
        metric=reading.metric,
        level=level,
        value=value,
        threshold=threshold,
        state="firing" if firing else "resolved",
        since=since,
        at=at,
        repeated=repeated,
        message=message,
    )


def shown_as(value: float, unit: Unit) -> str:
    """Put a figure into words for a person."""
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    if unit == "percent":
        return f"{value:.0f} %"
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} s" if unit == "seconds" else f"{value:.6g}"
