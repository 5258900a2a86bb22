"""What a run did between two looks at it, as figures for whoever decides."""

from __future__ import annotations

from msgspec import Struct


class Window(Struct, frozen=True, kw_only=True):
    """A stretch of a run, about a second long. Counts are of that stretch; levels are those at its end.

    Attributes:
        seconds: how long it was, > 0.
        delivered: records that reached the sink.
        in_flight: model calls in the air, on average.
        limit: model calls allowed at once.
        most: the most that may ever be allowed, by configuration.
        adaptive: whether the limit is searched for.
        searching: whether it still grows by doubling.
        ceiling: the most calls at once that the endpoint takes; `None` while it has refused none.
        down: whether the endpoint refuses everything.
        unreachable: whether no connection can be made.
        told_rate: whether the rate in force is one that the endpoint tells, not one that its refusals have taught.
        resting: records that wait before they are tried again.
        tail: whether the source has ended, so that only stragglers are left.
        paced: calls that hold a permit and wait for their turn by a rate, or for the end of a pause.
        requests_per_second: the slowest rate of requests in force; `None` for none.
        tokens_per_second: the slowest rate of text tokens in force; `None` for none.
        configured_rate: whether that rate comes from the configuration.
        waiting_calls: calls that wait for a permit or in the queue before.
        waiting_records: records that wait for the cache lookup.
        waiting_outcomes: outcomes that wait for the sink.
        span: records on their way.
        span_limit: records that may be on their way.
        lookup_busy: the share of the time that the cache lookup was at work.
        sink_busy: the share of the time that the sink was writing.
        cores_busy: processor cores that this process used; `None` where unknown.
        loop_lag_seconds: the longest delay of the event loop; `None` where unknown.
        intake_closed: whether reading was held back for want of memory.
    """

    seconds: float
    delivered: int = 0
    in_flight: float = 0.0
    limit: int = 1
    most: int = 1
    adaptive: bool = True
    searching: bool = False
    ceiling: int | None = None
    down: bool = False
    unreachable: bool = False
    told_rate: bool = False
    resting: int = 0
    tail: bool = False
    paced: int = 0
    requests_per_second: float | None = None
    tokens_per_second: float | None = None
    configured_rate: bool = False
    waiting_calls: int = 0
    waiting_records: int = 0
    waiting_outcomes: int = 0
    span: int = 0
    span_limit: int = 1
    lookup_busy: float = 0.0
    sink_busy: float = 0.0
    cores_busy: float | None = None
    loop_lag_seconds: float | None = None
    intake_closed: bool = False
