"""The last words of a run: what was done, and where it lies."""

from __future__ import annotations

from pathlib import Path

from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.report import RunReport
from streamproc.sinks.durable import dead_letters_path

ALERTS_SHOWN = 10
"""The summary as JSON has all that are kept."""


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
        f"  limited by    {report.limited_by}: {report.evidence}{workers}",
        *(f"                {advice}" for advice in report.recommendations),
        *(f"  alert         {alert}" for alert in report.alerts[-ALERTS_SHOWN:]),
        f"  memory        {report.peak_memory_bytes / 1e6:.0f} MB at most",
    ]
