"""Resuming: the first request of a run with nine tenths of a million records done, against that of a fresh one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.endpoint import running_endpoint
from bench.figures import Finding, figure
from bench.machine import CLIENT_CORE, HOME, pin
from bench.measures.first_request import first_request
from bench.measures.million import RECORDS, TEXTS
from bench.scenario import Setting
from bench.workload import write_input

DONE = 0.9


def command(source: Path, sink: Path, *more: str) -> Callable[[str], Sequence[str]]:
    """Give the command of a run, once the address is known."""
    return lambda url: [sys.executable, "-m", "bench.measures.long_run", str(source), str(sink), url, *more]


def measure(setting: Setting) -> Iterator[Finding]:
    """Do nine tenths once; then start again and again, and kill each at its first request, which nobody answers."""
    records = setting.records(RECORDS)
    done = round(DONE * records)
    source = write_input(setting.folder / "in.jsonl", records, TEXTS, new_from=done)
    sink = setting.folder / "out.jsonl"
    with running_endpoint() as base_url:
        pin(CLIENT_CORE)
        subprocess.run(command(source, sink, str(done))(base_url), cwd=HOME, check=True, stdout=subprocess.DEVNULL)
    pairs = []
    for number in range(setting.pairs):
        fresh = first_request(command(source, setting.folder / f"fresh-{number}.jsonl"))
        pairs.append((fresh, first_request(command(source, sink))))
    against = "a fresh run"
    yield figure(f"first request, {done:,} of {records:,} done", against, "s", pairs)
    yield figure("seconds to the first request", against, "s", pairs, "ours")
