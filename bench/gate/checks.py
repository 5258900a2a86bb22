"""What is counted: the work on a record, on each of the ways through streamproc that must stay short.

Each check prepares so many records, which is not counted, and gives the work on them, which is. Runs are on virtual
time, so that what happens once a second does not happen more often on a slow machine.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.endpoint import ANSWER, FixedAnswer
from bench.workload import check_report, job, write_input
from streamproc.cache.config import CacheConfig
from streamproc.cache.lru import LRUCache
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.completions import Completion, Request
from streamproc.llm.answers import completion_from
from streamproc.llm.openai import OpenAICompleter
from streamproc.pipeline.config import PipelineConfig, ResourcesConfig
from streamproc.pipeline.paid_answers import Answer
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.task import prompt_task
from streamproc.records import Completed, Record
from streamproc.secret import SecretStr
from streamproc.simulation.virtual_time import run_virtual

Work = Callable[[], object]
Prepare = Callable[[Path, int], Work]


class Check(Struct, frozen=True):
    """Something to count.

    Attributes:
        name: in the table and among the baselines.
        prepare: makes the work on so many records, with files in a folder of its own.
        few: records.
        many: records; what `many` cost beyond `few` is what records cost, without start and end.
    """

    name: str
    prepare: Prepare
    few: int
    many: int


def _rows(folder: Path, records: int) -> Path:
    return write_input(folder / "in.jsonl", records)


def _job(folder: Path) -> PipelineConfig:
    config = job("http://127.0.0.1:9/v1", folder / "in.jsonl", folder / "out.jsonl")
    return replace(config, resources=ResourcesConfig(max_memory_mb=1e6))  # how full this process is says nothing


class _AtOnce:
    """Answers within the process, after one turn of the event loop."""

    def __init__(self) -> None:
        self._answer = completion_from(ANSWER)

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        return self._answer


class _Nobody:
    """Is not to be asked."""

    async def complete(self, request: Request) -> Completion:
        raise AssertionError("every answer is in memory")


def reference(folder: Path, records: int) -> Work:
    """Give a loop by hand: what a record costs on this interpreter where next to nothing is done about it."""
    source, sink = _rows(folder, records), folder / "out.jsonl"
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    async def work() -> None:
        seen: dict[str, bool] = {}
        with source.open("rb") as rows, sink.open("wb") as out:
            for line in rows:
                row = decode(line)
                body = {"model": "bench", "messages": [{"role": "user", "content": f"Label: {row['text']}"}]}
                seen[hashlib.blake2b(encode(body), digest_size=32).hexdigest()] = True
                await asyncio.sleep(0)
                out.write(encode({"input": row, "output": "positive", "status": "completed"}) + b"\n")

    return lambda: run_virtual(work())


def miss_path(folder: Path, records: int) -> Work:
    """Give a durable run whose every record is a call, but for the call itself."""
    _rows(folder, records)
    return lambda: check_report(run_virtual(DataProcessingPipeline(_job(folder), completer=_AtOnce()).run()), records)


def hit_path(folder: Path, records: int) -> Work:
    """Give a durable run whose every answer is in memory."""
    source, config, backend = _rows(folder, records), _job(folder), MemoryBackend(1_000_000_000)
    render, answer = prompt_task(config.llm).render, Answer(completion_from(ANSWER))
    decode = msgspec.json.Decoder().decode
    with source.open("rb") as rows:
        answers = {render(Record("", decode(line))).fingerprint(): answer for line in rows}
    asyncio.run(CacheManager(CacheConfig(), backend, Answer).set_many(answers))

    def work() -> None:
        pipeline = DataProcessingPipeline(config, cache=backend, completer=_Nobody())
        check_report(run_virtual(pipeline.run()), records)

    return work


def stream(folder: Path, records: int) -> Work:
    """Give a stream through a program whose every record is a call, but for the call itself."""
    rows = [{"number": number, "text": f"Review {number}: it is well made."} for number in range(records)]

    async def work() -> None:
        async with DataProcessingPipeline(_job(folder), completer=_AtOnce()) as pipeline:
            completed = [isinstance(outcome, Completed) async for outcome in pipeline.stream(rows)]
        assert sum(completed) == records

    return lambda: run_virtual(work())


def lru_get(folder: Path, records: int) -> Work:
    """Give so many hits in the cache in memory."""
    cache: LRUCache[str, bytes] = LRUCache(max_entries=records)
    keys = [f"{number:064x}" for number in range(records)]
    cache.update(dict.fromkeys(keys, b"value"))

    def work() -> None:
        get = cache.get
        for key in keys:
            get(key)

    return work


def completer(folder: Path, records: int) -> Work:
    """Give calls over HTTP, one after another, at an endpoint in the same process."""

    ask = prompt_task(_job(folder).llm).render
    requests = [ask(Record("", {"text": f"Review {number}: it is well made."})) for number in range(records)]

    async def work() -> None:
        async with _served() as base_url, OpenAICompleter(base_url, SecretStr("none"), max_connections=64) as asked:
            for request in requests:
                await asked.complete(request)

    return lambda: run_virtual(work())


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(FixedAnswer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


REFERENCE = Check("a loop by hand", reference, few=300, many=1_300)
CHECKS = (
    Check("miss path", miss_path, few=100, many=400),
    Check("hit path", hit_path, few=300, many=1_300),
    Check("stream", stream, few=100, many=400),
    Check("LRUCache.get", lru_get, few=2_000, many=12_000),
    Check("an HTTP call", completer, few=50, many=250),
)
