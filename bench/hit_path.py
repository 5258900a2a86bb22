"""The hit path: every answer is in memory already. Durable delivery against a loop over a dict."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec

from bench.endpoint import ANSWER
from bench.pairs import Figure, compare
from bench.workload import body_of, check_report, job, write_input
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.llm.answers import completion_from
from streamproc.pipeline.landing import Answer
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.task import prompt_task
from streamproc.records import Record

RECORDS = 450_000
WANTED = 0.15
BATCH = 100
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


async def warm_cache(source: Path) -> CacheBackend:
    """Make a cache in memory that holds the answer to every row."""
    backend = MemoryBackend(1_000_000_000)
    cache = CacheManager(CacheConfig(), backend, Answer)
    render = prompt_task(job(NOWHERE, source, source.with_suffix(".unused")).llm).render
    answer = Answer(completion_from(ANSWER))
    with source.open("rb") as rows:
        await cache.set_many({render(Record("", _decode(line))).fingerprint(): answer for line in rows})
    return backend


def measure(folder: Path, scale: float) -> Figure:
    """Compare the two in records a second."""
    records = round(RECORDS * scale)
    source = write_input(folder / "hit.jsonl", records)
    cache = asyncio.run(warm_cache(source))
    with source.open("rb") as rows:
        answers = {_hash(_decode(line)["text"]): "positive" for line in rows}

    def reference(output: Path) -> None:
        by_hand(answers, source, output / "out.jsonl")

    def streamproc(output: Path) -> None:
        config = job(NOWHERE, source, output / "out.jsonl", batch=BATCH)
        check_report(asyncio.run(DataProcessingPipeline(config, cache=cache).run()), records)

    return compare("hit path", records, WANTED, reference, streamproc)
