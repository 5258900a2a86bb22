"""What the cache costs: lookups in batches, a hit against a model call, and a server that is dead.

Run as `python -m bench.cache_paths`. Each figure is a ratio to a reference that is measured in turn with it.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import apsw
import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from bench.endpoint import running_endpoint
from bench.machine import CLIENT_CORE, pin
from bench.pairs import PAIRS
from bench.workload import PROMPT, check_report, job, write_input
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.completions import Completion, Message, Request, Usage
from streamproc.llm.openai import OpenAICompleter
from streamproc.pipeline.landing import Answer
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


class Cost(Struct, frozen=True):
    """One comparison: microseconds an item, ours and the reference's, and the ratio that was asked for."""

    name: str
    ours: float
    reference: float
    ratio: float
    lowest: float
    highest: float
    wanted: str
    good: bool


async def seconds(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def alternate(ours: Work, reference: Work) -> list[tuple[float, float]]:
    """Time both in turn, `PAIRS` times after a pair that does not count."""
    return [(await seconds(ours), await seconds(reference)) for _ in range(1 + PAIRS)][1:]


def cost(
    name: str, items: int, times: Sequence[tuple[float, float]], wanted: str, judge: Callable[[float, float], bool]
) -> Cost:
    """Put pairs of times into a figure; `judge` gets our microseconds an item and the reference's over ours."""
    ratios = [reference / ours for ours, reference in times]
    mine, theirs = (1e6 * statistics.median(column) / items for column in zip(*times, strict=True))
    ratio = statistics.median(ratios)
    return Cost(name, mine, theirs, ratio, min(ratios), max(ratios), wanted, judge(mine, ratio))


async def lookups(
    name: str, backend: CacheBackend, by_hand: Callable[[AsyncExitStack], Awaitable[Work]], most: float
) -> Cost:
    """Look up batches of 64 answers of 1.5 KB, checked and decoded, against a bare client that only fetches bytes."""
    async with CacheManager(CacheConfig(), backend, Answer) as cache, AsyncExitStack() as stack:
        for start in range(0, len(KEYS), 500):
            await cache.set_many(dict.fromkeys(KEYS[start : start + 500], ANSWER))

        async def ours() -> None:
            for start in range(0, len(KEYS), BATCH):
                found = await cache.get_many(KEYS[start : start + BATCH])
                assert None not in found

        times = await alternate(ours, await by_hand(stack))
    return cost(name, len(KEYS), times, f"<= {most:g} us", lambda mine, _: mine <= most)


def redis_by_hand(url: str) -> Begin:
    async def begin(stack: AsyncExitStack) -> Work:
        client = await stack.enter_async_context(Redis.from_url(url))

        async def fetch() -> None:
            for start in range(0, len(KEYS), BATCH):
                await client.mget([f"streamproc:default:{key}" for key in KEYS[start : start + BATCH]])

        return fetch

    return begin


def sqlite_by_hand(path: Path) -> Begin:
    async def begin(stack: AsyncExitStack) -> Work:
        connection = apsw.Connection(str(path))
        stack.callback(connection.close)

        async def fetch() -> None:
            for key in KEYS:
                connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchall()

        return fetch

    return begin


async def hit_against_miss(base_url: str) -> Cost:
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
            for _ in range(CALLS):
                await ask(0)

        async def misses() -> None:
            for _ in range(CALLS):
                await ask(next(asked))

        times = await alternate(hits, misses)
    return cost(
        "a hit, a miss at an endpoint without latency", CALLS, times, ">= 50 times", lambda _, ratio: ratio >= 50
    )


async def dead_server(base_url: str, folder: Path) -> Cost:
    """Run a job whose Redis refuses connections, against the same job without a cache; the endpoint has no latency."""
    source = write_input(folder / "dead.jsonl", RECORDS)

    def running(cache: CacheConfig) -> Work:
        async def run() -> None:
            with tempfile.TemporaryDirectory() as output:
                config = job(base_url, source, Path(output) / "out.jsonl")
                pipeline = DataProcessingPipeline(msgspec.structs.replace(config, cache=cache))
                check_report(await pipeline.run(), RECORDS)

        return run

    dead = CacheConfig(backend="redis", url=f"redis://127.0.0.1:{free_port()}/0")
    times = await alternate(running(dead), running(CacheConfig(enabled=False)))
    return cost(
        "a run with a dead Redis, a run without cache", RECORDS, times, ">= 0.95", lambda _, ratio: ratio >= 0.95
    )


async def measure(base_url: str, folder: Path, server: RedisServer) -> list[Cost]:
    """Measure everything."""
    file = folder / "cache.db"
    redis = RedisBackend(server.url, timeout_seconds=5)
    return [
        await lookups("64 lookups on Redis, bare MGET", redis, redis_by_hand(server.url), 15),
        await lookups("64 lookups in SQLite, 64 bare SELECTs", SqliteBackend(file, 10**9), sqlite_by_hand(file), 25),
        await hit_against_miss(base_url),
        await dead_server(base_url, folder),
    ]


def table_of(costs: Sequence[Cost]) -> Table:
    """Lay the figures out for a person."""
    table = Table(title="What the cache costs", caption="times: the reference's time over ours, median (worst to best)")
    for heading in ("scenario, reference", "us an item", "reference", "times", "wanted"):
        table.add_column(heading, justify="left" if heading.startswith("scenario") else "right", no_wrap=True)
    for figure in costs:
        verdict = "green" if figure.good else "red"
        times = f"{figure.ratio:.2f} ({figure.lowest:.2f} to {figure.highest:.2f})"
        rates = (f"{figure.ours:.1f}", f"{figure.reference:.1f}", times)
        table.add_row(figure.name, *rates, f"[{verdict}]{figure.wanted}[/]")
    return table


def main() -> None:
    """Start the servers, measure, and show the figures."""
    logging.getLogger("streamproc").setLevel(logging.ERROR)  # the dead server is meant to be dead
    with (
        running_endpoint() as base_url,
        tempfile.TemporaryDirectory(prefix="streamproc-bench-") as name,
        RedisServer(Path(name)) as server,
    ):
        pin(CLIENT_CORE)
        console = Console()
        if not console.is_terminal:
            console.width = 140
        console.print(table_of(asyncio.run(measure(base_url, Path(name), server))))


if __name__ == "__main__":
    main()
