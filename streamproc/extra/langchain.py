"""A cache for LangChain's models over any of our back ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

try:
    from langchain_core.caches import BaseCache
    from langchain_core.outputs import Generation
except ImportError as error:
    raise ImportError("LangChain's cache needs langchain-core: pip install 'streamproc[langchain]'") from error

from streamproc._log import log
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import CacheUnavailable, StorageFailed
from streamproc.extra._generations import pack, unpack
from streamproc.extra._loop_thread import LoopThread

T = TypeVar("T")


class LangChainCache(BaseCache):
    """A `langchain_core` cache, for `set_llm_cache` or a model's `cache`.

        with LangChainCache(CacheConfig(backend="sqlite", path="answers.db")) as cache:
            set_llm_cache(cache)

    It has a thread with an event loop of its own, and all work happens there: LangChain calls from any thread and any
    loop, while a back end belongs to one loop. The thread starts here and ends with `close`.

    It fails open: what cannot be asked or read is a miss, and what cannot be kept is passed over, with one line in the
    log for the first of each. Answers that hold something else than plain data are not kept, and whatever is stored
    only ever becomes a generation or a message of LangChain's own classes.

    Args:
        config: bounds and deadline; also makes the back end unless one is given.
        backend: where the bytes are kept; opened and closed here.

    Raises:
        ConfigError: backend sqlite without a path.
        Refused, StorageFailed: the back end cannot be opened.
    """

    def __init__(self, config: CacheConfig, backend: CacheBackend | None = None) -> None:
        self._manager = CacheManager[bytes](config, backend, bytes)
        self._warned: set[str] = set()
        with ExitStack() as opened:
            thread = LoopThread("langchain-cache")
            opened.callback(thread.close)
            self._portal = thread.portal
            opened.enter_context(self._portal.wrap_async_context_manager(self._manager))
            self._open = opened.pop_all()

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return self._portal.call(self._lookup, _digest(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return await self._there(self._lookup, _digest(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        packed = self._packed(return_val)
        if packed is not None:
            self._portal.call(self._keep, _digest(prompt, llm_string), packed)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        packed = self._packed(return_val)
        if packed is not None:
            await self._there(self._keep, _digest(prompt, llm_string), packed)

    def clear(self, **kwargs: Any) -> None:
        """Forget everything the back end holds.

        Raises:
            CacheUnavailable, StorageFailed: it could not, and still holds it.
        """
        self._portal.call(self._manager.clear)

    async def aclear(self, **kwargs: Any) -> None:
        """Do what `clear` does."""
        await self._there(self._manager.clear)

    def metrics(self) -> CacheMetrics:
        """Give the figures of this cache."""
        return self._manager.metrics()

    def close(self) -> None:
        """Close the back end and end the thread. Harmless when called twice; other calls raise RuntimeError then."""
        self._open.close()

    async def _lookup(self, key: str) -> list[Generation] | None:
        try:
            packed = await self._manager.get(key)
        except CacheUnavailable as error:
            self._warn("lookup", error)
            return None
        return None if packed is None else unpack(packed)

    async def _keep(self, key: str, packed: bytes) -> None:
        try:
            await self._manager.set(key, packed)
        except (CacheUnavailable, StorageFailed) as error:
            self._warn("write", error)

    def _packed(self, generations: Sequence[Generation]) -> bytes | None:
        """Encode in the caller's thread, so that nothing it changes later is stored."""
        try:
            return pack(generations)
        except TypeError as error:
            self._warn("encoding", error)
            return None

    async def _there(self, work: Callable[..., Awaitable[T]], *arguments: str | bytes) -> T:
        return await asyncio.wrap_future(self._portal.start_task_soon(work, *arguments))

    def _warn(self, doing: str, error: Exception) -> None:
        if doing not in self._warned:
            self._warned.add(doing)
            log.warning("cache.unavailable", doing=doing, reason=str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _digest(prompt: str, llm_string: str) -> str:
    """Give a key that only these two have: each text goes in with its length before it."""
    digest = hashlib.blake2b(b"langchain 1", digest_size=32)
    for text in (prompt, llm_string):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
