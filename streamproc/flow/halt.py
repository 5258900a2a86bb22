"""The word that a run should end before its input does, and the waits that it cuts short."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from streamproc.errors import ProviderStop


class Drain(enum.Enum):
    """Why a run ends early when nothing is wrong."""

    REQUESTED = "requested"


class Halt:
    """Ask everyone to start nothing new. What is under way ends by itself.

    The source stops reading, calls that were not sent are left undone, sleepers wake. Records left undone stay in
    the ledger, so the next run takes them up.

    Attributes:
        cause: why; `None` until a halt is requested.
    """

    def __init__(self) -> None:
        self.cause: Drain | ProviderStop | None = None
        self._waits: set[anyio.CancelScope] = set()

    @property
    def requested(self) -> bool:
        """Whether the run should end."""
        return self.cause is not None

    def request(self, cause: Drain | ProviderStop) -> None:
        """Ask the run to end. The first cause is kept."""
        if self.cause is None:
            self.cause = cause
            for scope in list(self._waits):
                scope.cancel()

    @contextmanager
    def cuts_short(self) -> Iterator[None]:
        """Have what is awaited inside cancelled by a halt; execution then goes on after the block."""
        with anyio.CancelScope() as scope:
            if self.requested:
                scope.cancel()
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`, or less if a halt is requested."""
        with self.cuts_short():
            await anyio.sleep(seconds)
