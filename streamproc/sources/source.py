"""The role of a source."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from streamproc._closing import Closing
from streamproc.config import Config
from streamproc.errors import Refused
from streamproc.records import Checkpoint, Position, Row

DigestsOf = Callable[[Sequence[Position]], Awaitable[Sequence[bytes | None]]]
"""Asks for the digests under which rows were delivered: same length and order, `None` where unknown."""


def digest(raw: bytes) -> bytes:
    """Give the mark by which a later run sees whether a row is still the same (BLAKE2b, 16 bytes)."""
    return hashlib.blake2b(raw, digest_size=16).digest()


async def never_delivered(positions: Sequence[Position]) -> Sequence[bytes | None]:
    """Answer for a run without a past."""
    return [None] * len(positions)


class Source(Closing, ABC):
    """Gives rows, in an order that is the same at each run.

    Use it as an async context manager: leaving closes it.
    """

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """The settings that change which records this source gives, by name. Not where they lie: their bytes tell."""

    @abstractmethod
    async def open(self, after: Checkpoint | None, delivered: DigestsOf) -> None:
        """Get ready to read what was not delivered before.

        Args:
            after: what earlier runs delivered; reading begins after its `low`. Rows in its `above` are read again.
            delivered: tells the digest under which a row was delivered.

        Raises:
            Refused: a delivered row has changed or is gone, or the source cannot be read a second time.
            ConfigError: there is nothing to read from.
        """

    @abstractmethod
    async def read(self, limit: int) -> Sequence[Row]:
        """Wait for the next rows.

        Args:
            limit: most rows wanted, at least 1.

        Returns:
            1 to `limit` rows in order; empty at the end.

        Raises:
            StorageFailed: the input cannot be read any more.
        """

    def remaining(self) -> int | None:
        """Guess how many rows are left to read; `None` where there is no telling."""
        return None

    async def acknowledge(self, positions: Sequence[Position]) -> None:
        """Learn that rows are durably delivered. Most sources need not know."""


class SourceConfig(Config, frozen=True, kw_only=True):
    """The settings of a source, which know how to make it."""

    def build(self) -> Source:
        """Make the source; nothing is opened yet."""
        raise TypeError(f"{type(self).__name__} must define build()")


def changed(place: str, was: bytes, now: bytes | None) -> Refused:
    """Say that a delivered row is no longer what it was."""
    if now is None:
        return Refused(
            f"{place} was delivered by an earlier run and is gone: the input became shorter. "
            "Restore it, or discard the earlier output with --overwrite"
        )
    return Refused(
        f"{place} changed since it was delivered (its digest was {was.hex()[:12]}, now {now.hex()[:12]}). "
        "Restore it, or discard the earlier output with --overwrite"
    )
