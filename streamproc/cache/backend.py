"""The role of a cache back end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

from streamproc._closing import Closing
from streamproc.cache.lease import LeaseStore
from streamproc.cache.metrics import CacheMetrics


class CacheBackend(Closing, ABC):
    """Keeps bytes under string keys, always asked in batches. It may lose entries; it never changes one.

    Use it as an async context manager: entering opens, leaving closes.
    """

    @property
    def name(self) -> str:
        """What it is called in figures and logs (`memory`); unless overridden, as its class."""
        return type(self).__name__

    @property
    def leases(self) -> LeaseStore | None:
        """What lets processes that share this back end compute a value once; `None` where nothing does."""
        return None

    @abstractmethod
    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Look keys up.

        Returns:
            Same length and order as `keys`; `None` where missing.

        Raises:
            CacheUnavailable: the back end cannot be asked.
        """

    async def look_behind(self, keys: Sequence[str]) -> list[bytes | None]:
        """Look keys up of which `get_many` has just given values that are of no use: expired, or not ours.

        Returns:
            What lies behind those values, in a tier that others write to; nothing unless overridden.

        Raises:
            CacheUnavailable: the back end cannot be asked.
        """
        return [None] * len(keys)

    @abstractmethod
    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Keep values; when it returns, they are as safe as this back end makes them.

        Args:
            items: by key.
            ttl: seconds they may be kept; `None` for as long as there is room.

        Raises:
            CacheUnavailable, StorageFailed: they are not kept.
        """

    @abstractmethod
    async def delete_many(self, keys: Sequence[str]) -> None:
        """Forget keys; unknown ones are passed over."""

    async def delete_prefix(self, prefix: str) -> None:
        """Forget every key that begins with `prefix`.

        Raises:
            NotImplementedError: this back end cannot tell which keys it holds.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot tell which of its keys begin with {prefix!r}")

    @abstractmethod
    async def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def metrics(self) -> CacheMetrics:
        """Give the figures of this back end, where it knows them."""

    async def open(self) -> None:
        """Get ready."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self


class LastingBackend(CacheBackend):
    """A back end whose entries outlive the process, and which others may share."""

    @abstractmethod
    async def measure(self) -> CacheMetrics:
        """Count what it holds now, whoever put it there.

        Raises:
            CacheUnavailable, StorageFailed: it cannot be asked.
        """

    @abstractmethod
    async def prune(self) -> int:
        """Remove entries whose time is over, and give their number.

        Raises:
            CacheUnavailable, StorageFailed: it cannot be asked.
        """
