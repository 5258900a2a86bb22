"""The hit path: every answer is in the cache already. Durable delivery against a loop by hand over a dict."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.endpoint import ANSWER
from bench.figures import Finding, figure
from bench.machine import CLIENT_CORE, beside, pin
from bench.pairs import alternate, cpu_beyond, rates
from bench.scenario import Setting
from bench.workload import body_of, job, run, write_input
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.llm.answers import completion_from
from streamproc.pipeline.paid_answers import Answer
from streamproc.pipeline.task import prompt_task
from streamproc.records import Record
from tests.redis_server import RedisServer

RECORDS = 200_000
SLOWER = 4
"""So many times fewer records where the cache is a file or a server."""
BATCH = 100
AGAINST = "loop over a dict by hand"
BYTES = 1_000_000_000
NOWHERE = "http://127.0.0.1:9/v1"
"""Nobody is asked here."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _hash(text: str) -> str:
    return hashlib.blake2b(_encode(body_of(text)), digest_size=32).hexdigest()


def by_hand(answers: dict[str, str], source: Path, sink: Path) -> None:
    """Look every row up, and write it with its answer."""
    with source.open("rb") as rows, sink.open("wb") as out:
        for line in rows:
            row = _decode(line)
            out.write(_encode({"input": row, "output": answers[_hash(row["text"])]}) + b"\n")


def in_a_dict(source: Path) -> dict[str, str]:
    """Give the answers for the loop by hand."""
    with source.open("rb") as rows:
        return {_hash(_decode(line)["text"]): "positive" for line in rows}


async def fill(source: Path, backend: CacheBackend) -> None:
    """Put the answer to every row into a cache, and close it."""
    render = prompt_task(job(NOWHERE, source, source.with_suffix(".unused")).llm).render
    answer = Answer(completion_from(ANSWER))
    async with CacheManager(CacheConfig(), backend, Answer) as cache:
        with source.open("rb") as rows:
            lines = list(rows)
        for start in range(0, len(lines), 500):
            part = lines[start : start + 500]
            await cache.set_many({render(Record("", _decode(line))).fingerprint(): answer for line in part})


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare in records a second: memory, a SQLite file, a Redis server."""
    folder = setting.folder
    server = RedisServer(folder)
    with beside():
        server.start()
    pin(CLIENT_CORE)
    try:
        memory = MemoryBackend(BYTES)
        file = folder / "answers.db"
        sqlite = {"backend": "sqlite", "path": str(file), "max_size_mb": BYTES // 10**6}
        yield from _measure(setting, "memory", 1, memory, {})
        yield from _measure(setting, "SQLite", SLOWER, SqliteBackend(file, BYTES), sqlite)
        redis = RedisBackend(server.url, timeout_seconds=5)
        yield from _measure(setting, "Redis", SLOWER, redis, {"backend": "redis", "url": server.url})
    finally:
        server.kill()


def _measure(
    setting: Setting, name: str, slower: int, backend: CacheBackend, cache: dict[str, object]
) -> Iterator[Finding]:
    records = setting.records(RECORDS // slower)
    source = write_input(setting.folder / f"hit-{name}.jsonl", records)
    asyncio.run(fill(source, backend))
    answers = in_a_dict(source)
    held = backend if isinstance(backend, MemoryBackend) else None  # the others are opened as the job says

    def reference(output: Path) -> None:
        by_hand(answers, source, output / "out.jsonl")

    def ours(output: Path) -> None:
        run(job(NOWHERE, source, output / "out.jsonl", batch=BATCH, cache=cache), records, held)

    timings = alternate(reference, ours, setting.pairs)
    compared = rates(name, AGAINST, records, timings)
    yield compared
    yield figure(f"{name}: records a second", AGAINST, "/s", compared.pairs, "ours")
    yield cpu_beyond(f"{name}: CPU a record beyond it", AGAINST, records, timings)
