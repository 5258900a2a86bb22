"""Concurrency that is searched for, beside five fixed limits, over real HTTP.

Each run is whole, from an input file to its commit, against a simulated endpoint in a process of its own with the
profile named; all runs do the same records. It takes nine minutes, so it is run only where it is named.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from bench.figures import Finding, figure
from bench.machine import CLIENT_CORE, pin
from bench.scenario import Setting
from bench.serving import serving
from bench.workload import write_input
from streamproc.cli.own_process import run_quickly
from streamproc.flow.meter import Snapshot
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline

EARLY_SECONDS = 10.0
CASES = {"hard-knee": (2500, (32, 48, 64, 96, 192)), "rate-limited": (400, (4, 8, 16, 32, 64))}
"""By profile: records, and the limits that are tried."""


class Outcome(Struct, frozen=True):
    """What a run did.

    Attributes:
        goodput: answered text tokens a second.
        refused: the share of requests refused after the first ten seconds.
        at_end: calls allowed at once at the end.
    """

    goodput: float
    refused: float
    at_end: int


def run(base_url: str, source: Path, sink: Path, limit: int | None) -> Outcome:
    """Do the job with a fixed limit, or with one that is searched for."""
    config = PipelineConfig.from_tree(
        {
            "source": {"type": "jsonl", "path": str(source)},
            "llm": {"base_url": base_url, "model": "bench", "prompt": "{{ text }}", "parameters": {"temperature": 0}},
            "concurrency": {"adaptive": limit is None, "initial": limit or 8},
            "sink": {"type": "jsonl", "path": str(sink)},
        }
    )
    early: list[Snapshot] = []
    began = time.monotonic()

    def watch(snapshot: Snapshot) -> None:
        if time.monotonic() - began <= EARLY_SECONDS or not early:
            early[:] = [snapshot]

    report = run_quickly(DataProcessingPipeline(config).run(watchers=[watch]))
    calls = report.model_calls - early[0].counter("model_calls_total")
    refused = report.retries - early[0].counter("retries_total")
    return Outcome(report.completion_tokens / report.elapsed_seconds, refused / max(1, calls), report.final_concurrency)


def measure(setting: Setting) -> Iterator[Finding]:
    """Try the fixed limits and the search against each profile."""
    pin(CLIENT_CORE)
    for profile, (usual, limits) in CASES.items():
        records = setting.records(usual)
        source = write_input(setting.folder / f"{profile}.jsonl", records)
        with serving(profile) as base_url:

            def outcome(limit: int | None, source: Path = source, base_url: str = base_url) -> Outcome:
                return run(base_url, source, source.with_suffix(f".{limit}.out"), limit)

            fixed = {limit: outcome(limit) for limit in limits}
            searched = outcome(None)
        best = max(fixed, key=lambda limit: fixed[limit].goodput)
        pair = (fixed[best].goodput, searched.goodput)
        yield figure(f"{profile}: goodput", f"best fixed: {best}", "tokens/s", [pair])
        refused = (100 * fixed[best].refused, 100 * searched.refused)
        yield figure(f"{profile}: refused after {EARLY_SECONDS:.0f} s", f"best fixed: {best}", "%", [refused], "ours")
