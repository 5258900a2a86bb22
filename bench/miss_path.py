"""The miss path: every record is a model call. Whole durable runs against a loop written by hand with aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec

from bench.pairs import Figure, compare
from bench.workload import CONCURRENCY, body_of, check_report, job, write_input
from streamproc.pipeline.pipeline import DataProcessingPipeline

RECORDS = 14_000
WANTED = 0.75


async def by_hand(base_url: str, source: Path, sink: Path) -> None:
    """Do the same work with nothing kept: no retries, no journal, no checkpoint."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
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
                for _ in range(CONCURRENCY):
                    workers.create_task(work(lines))


def measure(base_url: str, folder: Path, scale: float, cache: str | None = None) -> Figure:
    """Compare the two in requests a second.

    Args:
        base_url: the endpoint.
        folder: for files.
        scale: so many times the usual number of records.
        cache: the back end of the answers; `None` for the default, the durable journal.
    """
    records = round(RECORDS * scale)
    source = write_input(folder / "miss.jsonl", records)

    def reference(output: Path) -> None:
        asyncio.run(by_hand(base_url, source, output / "out.jsonl"))

    def streamproc(output: Path) -> None:
        config = job(base_url, source, output / "out.jsonl", cache=cache)
        check_report(asyncio.run(DataProcessingPipeline(config).run()), records)

    return compare("miss path" if cache is None else f"miss, cache in {cache}", records, WANTED, reference, streamproc)
