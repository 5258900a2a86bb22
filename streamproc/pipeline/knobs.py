"""The knobs of a run, and the log of every turn of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from streamproc._log import log


class Knob(Struct, frozen=True):
    """Something whose size is decided while a run goes on.

    Attributes:
        name: as in the log and the figures.
        size: gives what it is set to.
        reason: says what it was set by.
        step: changes smaller than this share are not worth a line in the log.
        level: of its lines: `info`, or `debug` for what nobody can act on.
    """

    name: str
    size: Callable[[], int]
    reason: Callable[[], str]
    step: float = 0.0
    level: Literal["info", "debug"] = "info"


class KnobLog:
    """Log how knobs have turned since they were looked at last: once a tick, however often they moved within.

    Args:
        knobs: to look at.
    """

    def __init__(self, knobs: list[Knob]) -> None:
        self._knobs = knobs
        self._sizes = {knob.name: knob.size() for knob in knobs}

    def look(self) -> None:
        """Write `knob.changed` for each knob that has another size than at the last look."""
        for knob in self._knobs:
            before, size = self._sizes[knob.name], knob.size()
            if size != before and abs(size - before) >= knob.step * before:
                self._sizes[knob.name] = size
                tell = log.info if knob.level == "info" else log.debug
                tell("knob.changed", knob=knob.name, old=before, new=size, reason=knob.reason())
