"""What a run has shown about itself: what limited it, what would help, and what was alerted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc.control.diagnosis import Limiter, diagnose, limiters_of, telling
from streamproc.control.performance import PerformanceOptimizer
from streamproc.control.windows import Window
from streamproc.pipeline.vigil import Vigil


class Findings(Struct, frozen=True):
    """What a run has shown about itself.

    Attributes:
        limited_by: what bounded the speed for most of the time.
        evidence: the figures that say so, when it did so last; empty for a run that was over at once.
        recommendations: what would make it faster, in sentences.
        alerts: what fired and what was resolved, in sentences.
        workers_needed: workers of this size that would have met the deadline; `None` without one.
    """

    limited_by: Limiter
    evidence: str
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
    limited_by: Limiter = next(iter(limiters_of(windows)), "source")
    evidence = [each.evidence for each in map(diagnose, telling(windows)) if each.limited_by == limited_by]
    return Findings(
        limited_by,
        evidence[-1] if evidence else "",
        tuple(each.advice for each in optimizer.analyze(windows, goodput)),
        tuple(f"{alert.metric} {alert.state}: {alert.message}" for alert in vigil.alerts) if vigil else (),
        workers_needed,
    )
