"""The last words of a run: what was done, and where it lies."""

from __future__ import annotations

from pathlib import Path

from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.report import RunReport
from streamproc.sinks.durable import dead_letters_path

ALERTS_SHOWN = 10
"""The summary as JSON has all that are kept."""
LEAST_SHARE = 0.01
"""Stages that took less of a record's time are not shown."""

WORDS: dict[str, str] = {
    "lookup_queue": "waiting for the lookup",
    "lookup": "cache lookup",
    "shared_call": "waiting for a shared call",
    "admission": "waiting for admission",
    "endpoint": "endpoint",
    "retry": "sleeping before retries",
    "keeping": "keeping the answer",
    "sink_queue": "waiting for the sink",
    "sink": "sink",
}
"""What the stages in which a record spends its time are called."""


def summary_of(report: RunReport, config: PipelineConfig) -> str:
    """Put a report into a few lines."""
    output = getattr(config.sink, "path", None)
    if report.ending == "finished" and report.records == 0 and report.delivered_before:
        lines = [f"nothing left to do: all {report.delivered_before} records were delivered by earlier runs"]
    else:
        lines = _figures(report)
    if output is not None:
        lines.append(f"  output        {output}")
        if report.dead_letters:
            lines.append(f"  dead letters  {report.dead_letters} in {dead_letters_path(Path(output))}")
    if report.ending != "finished":
        lines.append("  not finished: the same command continues")
    return "\n".join(lines)


def _figures(report: RunReport) -> list[str]:
    earlier = f", {report.delivered_before} by earlier runs" if report.delivered_before else ""
    workers = f"; {report.workers_needed} workers would meet the deadline" if (report.workers_needed or 1) > 1 else ""
    away = f"; the cache failed {report.cache_errors} times" if report.cache_errors else ""
    return [
        f"{report.records} records in {report.elapsed_seconds:.1f} s ({report.records_per_second:.0f}/s){earlier}",
        f"  completed     {report.completed}",
        f"  failed        {report.failed}",
        f"  cache hits    {report.cache_hits}, and {report.coalesced} shared a call under way{away}",
        f"  model calls   {report.model_calls}, of these {report.retries} retries",
        f"  tokens        {report.prompt_tokens} sent, {report.completion_tokens} received",
        f"  at once       {report.peak_concurrency} calls at most, {report.final_concurrency} at the end",
        *_time_of_a_record(report),
        f"  limited by    {report.limited_by}: {report.evidence}{workers}",
        *(f"                {advice}" for advice in report.recommendations),
        *(f"  alert         {alert}" for alert in report.alerts[-ALERTS_SHOWN:]),
        f"  memory        {report.peak_memory_bytes / 1e6:.0f} MB at most",
    ]


def _time_of_a_record(report: RunReport) -> list[str]:
    """Say where a record spent its time, the longest stay first."""
    whole = sum(report.stage_seconds.values())
    if whole <= 0:
        return []
    shares = {stage: seconds / whole for stage, seconds in report.stage_seconds.items()}
    told = sorted((stage for stage in shares if shares[stage] >= LEAST_SHARE), key=lambda stage: -shares[stage])
    stays = ", ".join(f"{shares[stage]:.0%} {WORDS[stage]}" for stage in told)
    return [f"  a record      {report.mean_record_seconds:.3g} s: {stays}"]
