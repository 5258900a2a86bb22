"""What a run did, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from streamproc._log import log
from streamproc.flow.meter import Snapshot
from streamproc.flow.whereabouts import STAGES
from streamproc.monitoring.process import peak_resident_bytes
from streamproc.pipeline.findings import Findings
from streamproc.sinks.sink import Tally

Ending = Literal["finished", "drained", "stopped"]


class RunReport(Struct, frozen=True, kw_only=True):
    """The figures of one run.

    Attributes:
        ending: `finished`: the source ended; `drained`: it was asked to end early; `stopped`: by the provider.
        records: delivered by this run: `completed + failed`.
        completed: records that got their value in this run.
        failed: records that became dead letters in this run.
        delivered_before: records that earlier runs had delivered.
        dead_letters: dead letters of this output, those of earlier runs included.
        unfinished: records read and left to the next run.
        cache_hits: calls answered by the cache.
        cache_errors: lookups in the cache, and writes to it, that failed and were passed over.
        coalesced: records that shared another's call.
        model_calls: requests that left this machine, retries included.
        retries: attempts made again after a failed one.
        prompt_tokens: text tokens sent, as the provider counts and bills them.
        completion_tokens: text tokens received.
        elapsed_seconds: from opening to closing.
        records_per_second: over that time.
        peak_concurrency: most calls at once.
        final_concurrency: calls allowed at once at the end.
        peak_memory_bytes: most resident memory of this process so far.
        limited_by: what bounded the speed for most of the time: source, cache, rate, capacity, goodput, memory, cpu,
            sink or user (a setting).
        evidence: the figures that say so, when it did so last.
        recommendations: what would make it faster.
        alerts: what was alerted, the last hundred.
        stage_seconds: where records spent their time, in seconds of all of them together: `lookup_queue`, `lookup`,
            `shared_call` (another record's), `admission` (permit, pace, a pause of the storage), `endpoint`, `retry`
            (the sleep before one), `keeping` (of the answer), `sink_queue`, `sink`.
        mean_record_seconds: from a record's acceptance to its delivery, on average; the sum of the former by record.
        workers_needed: workers of this size that would have met `resources.deadline_seconds`; `None` without one.
    """

    ending: Ending
    records: int
    completed: int
    failed: int
    delivered_before: int
    dead_letters: int
    unfinished: int
    cache_hits: int
    cache_errors: int
    coalesced: int
    model_calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    elapsed_seconds: float
    records_per_second: float
    peak_concurrency: int
    final_concurrency: int
    peak_memory_bytes: int
    limited_by: str
    evidence: str
    recommendations: tuple[str, ...]
    alerts: tuple[str, ...]
    stage_seconds: Mapping[str, float]
    mean_record_seconds: float
    workers_needed: int | None

    def as_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def report_of(
    ending: Ending, snapshot: Snapshot, before: Tally, elapsed_seconds: float, findings: Findings
) -> RunReport:
    """Make the report of the last snapshot of a run.

    Args:
        ending: how it ended.
        snapshot: taken after the last delivery.
        before: what earlier runs had delivered.
        elapsed_seconds: from opening to closing.
        findings: what it has shown about itself.
    """
    completed, failed = snapshot.counter("records_completed_total"), snapshot.counter("records_failed_total")
    stage_seconds: dict[str, float] = {stage: snapshot.seconds_in(stage) for stage in STAGES}
    return RunReport(
        ending=ending,
        records=completed + failed,
        completed=completed,
        failed=failed,
        delivered_before=before.completed + before.failed,
        dead_letters=before.failed + failed,
        unfinished=int(snapshot.gauges["records_in_flight"]),
        cache_hits=snapshot.counter("cache_hits_total"),
        cache_errors=int(snapshot.gauges.get("cache_errors", 0)),
        coalesced=snapshot.counter("records_coalesced_total"),
        model_calls=snapshot.counter("model_calls_total") - snapshot.counter("model_errors_not_sent_total"),
        retries=snapshot.counter("retries_total"),
        prompt_tokens=snapshot.counter("prompt_tokens_total"),
        completion_tokens=snapshot.counter("completion_tokens_total"),
        elapsed_seconds=elapsed_seconds,
        records_per_second=(completed + failed) / elapsed_seconds if elapsed_seconds > 0 else 0.0,
        peak_concurrency=int(snapshot.gauges["llm_call_peak_permits"]),
        final_concurrency=int(snapshot.gauges["llm_call_permits"]),
        peak_memory_bytes=peak_resident_bytes(),
        limited_by=findings.limited_by,
        evidence=findings.evidence,
        recommendations=findings.recommendations,
        alerts=findings.alerts,
        stage_seconds=stage_seconds,
        mean_record_seconds=sum(stage_seconds.values()) / max(1, snapshot.counter("records_accepted_total")),
        workers_needed=findings.workers_needed,
    )


def log_end(report: RunReport) -> None:
    """Log how a run ended."""
    log.info(
        f"run.{report.ending}",
        records=report.records,
        failed=report.failed,
        cache_hits=report.cache_hits,
        model_calls=report.model_calls,
        seconds=round(report.elapsed_seconds, 3),
    )
