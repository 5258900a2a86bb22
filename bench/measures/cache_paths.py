"""What the cache costs: lookups in batches, a hit against a model call, and a server that is dead."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import apsw
from msgspec.structs import replace
from redis.asyncio import Redis

from bench.endpoint import running_endpoint
from bench.figures import Figure, Finding, Pair, figure
from bench.machine import CLIENT_CORE, beside, pin
from bench.scenario import Setting
from bench.workload import PROMPT, check_report, job, write_input
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.completions import Completion, Message, Request, Usage
from streamproc.llm.openai import OpenAICompleter
from streamproc.pipeline.paid_answers import Answer
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.secret import SecretStr
from tests.redis_server import RedisServer, free_port

BATCH = 64
BATCHES = 100
CALLS = 400
RECORDS = 8_000
ANSWER = Answer(Completion(text="x" * 1400, model="m", finish_reason="stop", usage=Usage(300, 350)))
KEYS = [f"{number:064x}" for number in range(BATCH * BATCHES)]

Work = Callable[[], Awaitable[None]]
Begin = Callable[[AsyncExitStack], Awaitable[Work]]
"""Opens what the work needs."""


async def seconds(work: Work) -> float:
    """Do it, and give how long that took."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def alternate(reference: Work, ours: Work, pairs: int) -> list[Pair]:
    """Time both in turn on one event loop, `pairs` times after a pair that does not count."""
    return [(await seconds(reference), await seconds(ours)) for _ in range(1 + pairs)][1:]


def an_item(pairs: list[Pair], items: int) -> list[Pair]:
    """Give microseconds an item for seconds."""
    return [(1e6 * reference / items, 1e6 * ours / items) for reference, ours in pairs]


async def lookups(name: str, against: str, backend: CacheBackend, by_hand: Begin, pairs: int) -> list[Figure]:
    """Look up batches of 64 answers of 1.5 KB, checked and decoded, against a bare client that only fetches bytes."""
    async with CacheManager(CacheConfig(), backend, Answer) as cache, AsyncExitStack() as stack:
        for start in range(0, len(KEYS), 500):
            await cache.set_many(dict.fromkeys(KEYS[start : start + 500], ANSWER))

        async def ours() -> None:
            for start in range(0, len(KEYS), BATCH):
                found = await cache.get_many(KEYS[start : start + BATCH])
                assert None not in found

        taken = an_item(await alternate(await by_hand(stack), ours, pairs), len(KEYS))
    return [figure(name, against, "us", taken), figure(f"{name}: us a lookup", against, "us", taken, "ours")]


def redis_by_hand(url: str) -> Begin:
    """Fetch the same from the server with one MGET a batch."""

    async def begin(stack: AsyncExitStack) -> Work:
        client = await stack.enter_async_context(Redis.from_url(url))

        async def fetch() -> None:
            for start in range(0, len(KEYS), BATCH):
                await client.mget([f"streamproc:default:{key}" for key in KEYS[start : start + BATCH]])

        return fetch

    return begin


def sqlite_by_hand(path: Path) -> Begin:
    """Fetch the same from the file, one SELECT a key."""

    async def begin(stack: AsyncExitStack) -> Work:
        connection = apsw.Connection(str(path))
        stack.callback(connection.close)

        async def fetch() -> None:
            for key in KEYS:
                connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchall()

        return fetch

    return begin


async def hit_against_miss(base_url: str, calls: int, pairs: int) -> Figure:
    """Ask for one answer after another: found in memory, against asked of an endpoint without latency."""

    def request(number: int) -> Request:
        prompt = PROMPT.replace("{{ text }}", f"text {number}")
        return Request(
            deployment=base_url, model="m", messages=(Message("user", prompt),), parameters={"temperature": 0}
        )

    asked = iter(range(10**9))
    async with (
        OpenAICompleter(base_url, SecretStr(""), max_connections=4) as completer,
        CacheManager(CacheConfig(), kind=Completion) as cache,
    ):

        async def ask(number: int) -> None:
            await cache.get_or_compute(request(number).fingerprint(), lambda: completer.complete(request(number)))

        async def hits() -> None:
            for _ in range(calls):
                await ask(0)

        async def misses() -> None:
            for _ in range(calls):
                await ask(next(asked))

        taken = await alternate(misses, hits, pairs)
    rates = [(calls / missing, calls / hitting) for missing, hitting in taken]
    return figure("hits a second", "misses without latency", "/s", rates)


async def dead_server(base_url: str, folder: Path, records: int, pairs: int) -> Figure:
    """Run a job whose Redis refuses connections, against the same job with no more than the memory in front of it.

    The endpoint has no latency.
    """
    source = write_input(folder / "dead.jsonl", records)

    def running(cache: CacheConfig) -> Work:
        async def run() -> None:
            with tempfile.TemporaryDirectory() as output:
                config = job(base_url, source, Path(output) / "out.jsonl")
                check_report(await DataProcessingPipeline(replace(config, cache=cache)).run(), records)

        return run

    dead = CacheConfig(backend="redis", url=f"redis://127.0.0.1:{free_port()}/0")
    taken = await alternate(running(CacheConfig(backend="memory")), running(dead), pairs)
    rates = [(records / without, records / ours) for without, ours in taken]
    return figure("a run with a dead Redis", "with memory alone", "/s", rates)


async def found(base_url: str, setting: Setting, server: RedisServer) -> AsyncIterator[Figure]:
    """Measure everything, one after the other."""
    file, pairs = setting.folder / "cache.db", setting.pairs
    redis = RedisBackend(server.url, timeout_seconds=5)
    for one in await lookups("64 at once in Redis", "bare MGET", redis, redis_by_hand(server.url), pairs):
        yield one
    sqlite = SqliteBackend(file, 10**9)
    for one in await lookups("64 at once in SQLite", "64 bare SELECTs", sqlite, sqlite_by_hand(file), pairs):
        yield one
    yield await hit_against_miss(base_url, setting.records(CALLS), pairs)
    yield await dead_server(base_url, setting.folder, setting.records(RECORDS), pairs)


def measure(setting: Setting) -> Iterator[Finding]:
    """Start the servers and measure."""
    logging.getLogger("streamproc").setLevel(logging.ERROR)  # the dead server is meant to be dead
    server = RedisServer(setting.folder)
    with beside():
        server.start()
    try:
        with running_endpoint() as base_url, asyncio.Runner() as runner:
            pin(CLIENT_CORE)
            figures = found(base_url, setting, server)
            while (one := runner.run(anext(figures, None))) is not None:
                yield one
    finally:
        server.kill()
