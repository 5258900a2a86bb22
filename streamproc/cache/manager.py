"""Values in a cache: encoding, expiry, doubt, figures. What is stored are bytes, so no caller can change them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.envelope import seal, unseal
from streamproc.cache.fail_open import ReadsFailOpen, WritesFailOpen
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import ConfigError
from streamproc.flow.clock import Clock

V = TypeVar("V")

FRONT_BYTES = 32_000_000
"""Most memory for the tier in front of a lasting back end."""


class CacheManager(Generic[V]):
    """An asynchronous cache of typed values.

    Whatever cannot be read back as a whole, living value of the very key that was asked is a miss.

    Use it as an async context manager. Values must be plain data, or of a type msgspec knows.

    Args:
        config: bounds and deadline; also makes the back end unless one is given.
        backend: where the bytes are kept.
        kind: the type of the values.
        wall: seconds since 1970.

    Raises:
        ConfigError: backend sqlite without a path.
    """

    def __init__(
        self,
        config: CacheConfig,
        backend: CacheBackend | None = None,
        kind: type[V] | None = None,
        wall: Clock = time.time,
    ) -> None:
        self._ttl = config.ttl_seconds
        self._backend = backend or build_backend(config)
        self._encode = msgspec.msgpack.Encoder().encode
        decode: Any = msgspec.msgpack.Decoder(kind or Any).decode
        self._decode: Callable[[bytes], V] = decode
        self._wall = wall
        self._hits = 0
        self._misses = 0

    async def get(self, key: str) -> V | None:
        """Give the value of `key`, or `None`."""
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> list[V | None]:
        """Look keys up.

        Returns:
            Same length and order as `keys`; `None` where missing.
        """
        stored = await self._backend.get_many(keys)
        now = self._wall()
        values = [self._read(key, sealed, now) for key, sealed in zip(keys, stored, strict=True)]
        missing = sum(value is None for value in values)
        self._misses += missing
        self._hits += len(values) - missing
        return values

    def _read(self, key: str, sealed: bytes | None, now: float) -> V | None:
        payload = unseal(key, sealed, now) if sealed is not None else None
        if payload is None:
            return None
        try:
            return self._decode(payload)
        except msgspec.DecodeError:
            return None  # of another version of the type

    async def set(self, key: str, value: V) -> None:
        """Keep a value.

        Raises:
            StorageFailed: a back end that must not lose values could not keep it.
        """
        await self.set_many({key: value})

    async def set_many(self, items: Mapping[str, V]) -> None:
        """Keep values; when it returns they are as safe as the back end makes them.

        Raises:
            StorageFailed: a back end that must not lose values could not keep them.
        """
        expires_at = self._wall() + self._ttl
        sealed = {key: seal(key, self._encode(value), expires_at) for key, value in items.items()}
        await self._backend.put_many(sealed, ttl=self._ttl)

    async def delete(self, key: str) -> None:
        """Forget a key."""
        await self._backend.delete_many([key])

    async def clear(self) -> None:
        """Forget everything."""
        await self._backend.clear()

    def metrics(self) -> CacheMetrics:
        """Give the figures: lookups as the callers saw them, sizes as the back end counts them."""
        return msgspec.structs.replace(self._backend.metrics(), hits=self._hits, misses=self._misses)

    async def aclose(self) -> None:
        """Close the back end. Harmless when called twice."""
        await self._backend.aclose()

    async def __aenter__(self) -> Self:
        await self._backend.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def build_backend(config: CacheConfig) -> CacheBackend:
    """Make the back end of a cache that is only a convenience: when it fails it forgets."""
    if config.backend != "sqlite":
        return MemoryBackend(config.max_bytes)
    if config.path is None:
        raise ConfigError("path: backend sqlite needs a path")
    return WritesFailOpen(ReadsFailOpen(build_journal(config, Path(config.path))))


def build_journal(config: CacheConfig, path: Path, keep_newest: int = 1) -> CacheBackend:
    """Make the back end that keeps a run's paid answers: what it has taken it keeps, or the run stops.

    Args:
        config: bounds.
        path: the file.
        keep_newest: entries that never make room; as many as may be paid for and not delivered yet.
    """
    front = MemoryBackend(min(config.max_bytes, FRONT_BYTES))
    return TieredBackend(front, SqliteBackend(path, config.max_bytes, keep_newest=keep_newest))
