"""One cache file, used by aiocache's decorators; another, used by LangChain's models."""

import asyncio
import tempfile
from pathlib import Path

from aiocache import cached
from langchain_core.language_models import FakeListLLM

from streamproc import CacheConfig
from streamproc.cache.aiocache.frontend import BackendCache
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.extra.langchain import LangChainCache


async def squares(path: Path) -> None:
    computed = 0
    async with SqliteBackend(path, max_bytes=10_000_000) as backend:

        @cached(cache=BackendCache, backend=backend, namespace="squares", ttl=3600)
        async def square(number: int) -> int:
            nonlocal computed
            computed += 1
            return number**2

        print([await square(number) for number in (3, 4, 3)])
    print(f"{computed} computed")


def answers(path: Path) -> None:
    with LangChainCache(CacheConfig(backend="sqlite", path=str(path))) as cache:
        model = FakeListLLM(responses=["Lisbon", "Kyoto"], cache=cache)
        print([model.invoke(prompt) for prompt in ("A city?", "A city?", "Another?")])


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(squares(Path(folder) / "squares.db"))
    answers(Path(folder) / "answers.db")
