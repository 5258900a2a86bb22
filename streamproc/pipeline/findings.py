"""What a run has shown about itself: what limited it, what would help, and what was alerted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc.control.diagnosis import Limiter, limiters_of
from streamproc.control.performance import PerformanceOptimizer
from streamproc.control.windows import Window
from streamproc.pipeline.vigil import Vigil


class Findings(Struct, frozen=True):
    """What a run has shown about itself.

    Attributes:
        limited_by: what bounded the speed for most of the time.
        recommendations: what would make it faster, in sentences.
        alerts: what fired and what was resolved, in sentences.
        workers_needed: workers of this size that would have met the deadline; `None` without one.
    """

    limited_by: Limiter
    recommendations: tuple[str, ...]
    alerts: tuple[str, ...]
    workers_needed: int | None


def find_out(
    optimizer: PerformanceOptimizer,
    windows: Sequence[Window],
    goodput: Mapping[int, float],
    vigil: Vigil | None,
    workers_needed: int | None,
) -> Findings:
    """Gather the findings of a run.

    Args:
        optimizer: gives advice.
        windows: what was seen, oldest first.
        goodput: answers a second by calls at once, as measured.
        vigil: knows the alerts; `None` where nothing was monitored.
        workers_needed: workers of this size that would have met the deadline; `None` without one.
    """
    return Findings(
        next(iter(limiters_of(windows)), "source"),
        tuple(each.advice for each in optimizer.analyze(windows, goodput)),
        tuple(f"{alert.metric} {alert.state}: {alert.message}" for alert in vigil.alerts) if vigil else (),
        workers_needed,
    )
