"""Concurrency that is searched for, beside five fixed limits, over real HTTP. `python -m bench.control_http`.

Each run is whole, from an input file to its commit, against a simulated endpoint in a process of its own with the
profile named; all runs do the same records. The exit code is 1 if the search gives less than `WANTED` of the best fixed
limit's goodput, or if more than `REFUSED` of its requests are refused after the first ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.machine import CLIENT_CORE, pin
from bench.serving import serving
from bench.workload import write_input
from streamproc.flow.meter import Snapshot
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline

WANTED = 0.9
REFUSED = 0.02
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

    report = asyncio.run(DataProcessingPipeline(config).run(watchers=[watch]))
    calls = report.model_calls - early[0].counter("model_calls_total")
    refused = report.retries - early[0].counter("retries_total")
    return Outcome(report.completion_tokens / report.elapsed_seconds, refused / max(1, calls), report.final_concurrency)


def measure(profile: str, folder: Path, scale: float) -> bool:
    """Try the fixed limits and the search against one profile; show all, and tell whether the search did well."""
    records, limits = CASES[profile]
    source = write_input(folder / f"{profile}.jsonl", round(records * scale))
    fixed: dict[int, Outcome] = {}
    with serving(profile) as base_url:
        for number, limit in enumerate((*limits, None)):
            outcome = run(base_url, source, folder / f"{profile}-{number}.jsonl", limit)
            name = "searched" if limit is None else f"fixed {limit}"
            print(
                f"{profile:>12}  {name:>9}  {outcome.goodput:8.0f} tokens/s  {outcome.refused:7.2%} refused late  "
                f"{outcome.at_end} at the end",
                flush=True,
            )
            if limit is not None:
                fixed[limit] = outcome
    best = max(fixed, key=lambda limit: fixed[limit].goodput)
    ratio = outcome.goodput / fixed[best].goodput
    print(f"{profile:>12}  searched / best (fixed {best}): {ratio:.3f}, wanted >= {WANTED}", flush=True)
    return ratio >= WANTED and outcome.refused <= REFUSED


def main() -> int:
    """Measure the profiles named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.control_http", description=__doc__)
    parser.add_argument("profiles", nargs="*", choices=[*CASES, []], help="all if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number of records")
    options = parser.parse_args()
    pin(CLIENT_CORE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        well = [measure(profile, Path(name), options.scale) for profile in options.profiles or CASES]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
