"""From two snapshots of a run to the window between them."""

from __future__ import annotations

from streamproc.control.admission import Admission
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from streamproc.control.windows import Window
from streamproc.flow.meter import Snapshot
from streamproc.monitoring.sample import ResourceSample


def window_between(
    before: Snapshot,
    after: Snapshot,
    admission: Admission,
    most: int,
    sample: ResourceSample | None,
    *,
    intake_closed: bool,
) -> Window:
    """Put what happened between two snapshots into a window.

    Args:
        before: the earlier snapshot.
        after: the later one.
        admission: of the endpoint, as it is now.
        most: model calls that may ever be in the air at once.
        sample: of the machine, if one was taken.
        intake_closed: whether reading is held back for want of memory.
    """
    seconds = max(after.at - before.at, 1e-6)
    gauges, optimizer = after.gauges, admission.concurrency
    searched = optimizer if isinstance(optimizer, ConcurrencyOptimizer) else None
    pace = admission.pace
    in_flight = max(float(admission.in_flight), _seconds(before, after, "model_call_seconds") / seconds)
    paced = max(0, int(gauges["llm_call_permits_in_use"]) - admission.in_flight) if pace.holding(after.at) else 0
    return Window(
        seconds=seconds,
        delivered=_count(before, after, "records_completed_total") + _count(before, after, "records_failed_total"),
        in_flight=min(in_flight, float(most)),
        limit=admission.limit if searched is None else admission.limit_of(searched.base),
        most=most,
        adaptive=searched is not None,
        searching=searched is not None and searched.phase == "startup",
        ceiling=int(searched.ceiling.value) if searched is not None and searched.ceiling.known else None,
        down=admission.down,
        unreachable=bool(gauges["endpoint_unreachable"]),
        told_rate=pace.by_word,
        resting=int(gauges["records_resting"]),
        tail=bool(gauges["source_ended"]),
        paced=paced,
        requests_per_second=pace.requests_per_second,
        tokens_per_second=pace.tokens_per_second,
        configured_rate=pace.by_configuration,
        waiting_calls=int(gauges["calls_queued"] + gauges["llm_call_permits_waiting"]),
        waiting_records=int(gauges["records_queued"]),
        waiting_outcomes=int(gauges["outcomes_queued"]),
        span=int(gauges["records_span"]),
        span_limit=int(gauges["records_span_limit"]),
        lookup_busy=min(1.0, _seconds(before, after, "cache_lookup_seconds") / seconds),
        sink_busy=min(1.0, _seconds(before, after, "sink_write_seconds") / seconds),
        cores_busy=_cores(sample),
        loop_lag_seconds=sample.loop_lag_seconds if sample is not None else None,
        intake_closed=intake_closed,
    )


def _count(before: Snapshot, after: Snapshot, name: str) -> int:
    return after.counter(name) - before.counter(name)


def _seconds(before: Snapshot, after: Snapshot, name: str) -> float:
    earlier, later = before.distributions.get(name), after.distributions.get(name)
    return (later.total if later else 0.0) - (earlier.total if earlier else 0.0)


def _cores(sample: ResourceSample | None) -> float | None:
    if sample is None or sample.cpu_percent is None or sample.cpus is None:
        return None
    return sample.cpu_percent / 100 * sample.cpus
