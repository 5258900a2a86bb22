"""The miss path: every record is a model call. Whole durable runs against a loop written by hand with aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.endpoint import running_endpoint
from bench.figures import Finding
from bench.machine import CLIENT_CORE, pin
from bench.pairs import compare
from bench.scenario import Setting
from bench.workload import body_of, job, run, write_input
from streamproc.cli.own_process import run_quickly

Run = Callable[[Coroutine[Any, Any, None]], None]

RECORDS = 14_000
AGAINST = "aiohttp loop by hand"
CASES: list[tuple[str, int, dict[str, object], Run]] = [
    ("64 at once", 64, {}, asyncio.run),
    ("256 at once", 256, {}, asyncio.run),
    ("64, answers in memory", 64, {"backend": "memory"}, asyncio.run),
    ("256 at once, the loop by hand on uvloop too", 256, {}, run_quickly),
]
"""Names, calls at once, the cache's settings (where there are none it is the durable journal), what the loop by hand
runs on. streamproc runs as its command does, on uvloop."""


async def by_hand(base_url: str, source: Path, sink: Path, concurrency: int) -> None:
    """Do the same work with nothing kept: no retries, no journal, no checkpoint."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Content-Type": "application/json"}
    with source.open("rb") as rows, sink.open("wb") as out:

        async def work(lines: Iterator[bytes]) -> None:
            for line in lines:
                row = decode(line)
                async with session.post(url, data=encode(body_of(row["text"]))) as response:
                    response.raise_for_status()
                    answer = decode(await response.read())
                text = answer["choices"][0]["message"]["content"]
                out.write(encode({"input": row, "output": text, "usage": answer["usage"]}) + b"\n")

        url = f"{base_url}/chat/completions"
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            lines = iter(rows)
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(work(lines))


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare the two in requests a second and in CPU time a record."""
    records = setting.records(RECORDS)
    source = write_input(setting.folder / "miss.jsonl", records)
    with running_endpoint() as base_url:
        pin(CLIENT_CORE)
        for name, concurrency, cache, run_by_hand in CASES:

            def reference(output: Path, concurrency: int = concurrency, run_by_hand: Run = run_by_hand) -> None:
                run_by_hand(by_hand(base_url, source, output / "out.jsonl", concurrency))

            def ours(output: Path, concurrency: int = concurrency, cache: dict[str, object] = cache) -> None:
                sink = output / "out.jsonl"
                run(job(base_url, source, sink, cache=cache, concurrency=concurrency), records)

            yield from compare(name, AGAINST, records, reference, ours, setting.pairs)
