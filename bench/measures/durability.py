"""What durability costs: whole runs as they are against the same runs with nothing flushed to the disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from bench.endpoint import running_endpoint
from bench.figures import Finding
from bench.machine import CLIENT_CORE, pin
from bench.measures.hit_path import BATCH, BYTES, NOWHERE, fill
from bench.pairs import Work, alternate, seconds
from bench.scenario import Setting
from bench.workload import job, run, write_input
from streamproc import _sqlite
from streamproc.cache.memory import MemoryBackend

MISSES = 14_000
HITS = 200_000
AGAINST = "the same without fsync"


@contextmanager
def without_flushes() -> Iterator[None]:
    """Have nothing flushed to the disk in the block: what a program without durability would save."""
    connect = _sqlite._connect  # noqa: SLF001 - a switch for this would be one too many in the program

    def volatile(path: Path, application_id: int) -> _sqlite.Connection:
        connection = connect(path, application_id)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def nothing(descriptor: int) -> None:
        pass

    with (
        patch.object(_sqlite, "_connect", volatile),
        patch("streamproc.sinks.append_file._sync", nothing),
        patch.object(os, "fsync", nothing),
    ):
        yield


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare how long runs take: all of their records model calls, or all of them hits in memory."""
    folder = setting.folder
    misses, hits = setting.records(MISSES), setting.records(HITS)
    asked, known = write_input(folder / "miss.jsonl", misses), write_input(folder / "hit.jsonl", hits)
    cache = MemoryBackend(BYTES)
    with running_endpoint() as base_url:
        pin(CLIENT_CORE)

        def miss(output: Path) -> None:
            run(job(base_url, asked, output / "out.jsonl"), misses)

        yield _flushing("miss path", miss, setting.pairs)
    asyncio.run(fill(known, cache))

    def hit(output: Path) -> None:
        run(job(NOWHERE, known, output / "out.jsonl", batch=BATCH), hits, cache)

    yield _flushing("hit path", hit, setting.pairs)


def _flushing(name: str, durable: Work, pairs: int) -> Finding:
    def volatile(output: Path) -> None:
        with without_flushes():
            durable(output)

    return seconds(name, AGAINST, alternate(volatile, durable, pairs))
