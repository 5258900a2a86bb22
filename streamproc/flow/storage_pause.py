"""The pause of a run that cannot store what it has: a disk is full, or another process holds a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from streamproc._log import log
from streamproc.errors import StorageBlocked
from streamproc.flow.halt import Halt

PROBE_SECONDS = 1.0
LAST_PROBE_SECONDS = 0.1
"""While a halted run waits for the last calls under way."""


class StoragePause:
    """Have writes that are blocked tried again until they succeed, and nothing new begun meanwhile.

    Answers that come in during a pause wait as writes of their own, with their permits held, or are stored where there
    is room. A halted run does not wait for room: a write that is still blocked when no call is under way any more ends
    it.

    Args:
        halt: ends the waiting.
        calls_under_way: tells whether an answer may still come that could be stored.
    """

    def __init__(self, halt: Halt, calls_under_way: Callable[[], bool]) -> None:
        self._halt = halt
        self._calls_under_way = calls_under_way
        self._blocked = 0
        self._began_at = 0.0
        self._passed = anyio.Event()

    @property
    def blocked(self) -> int:
        """How many writes wait."""
        return self._blocked

    async def insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Do a write; while it is blocked, again about once a second.

        Args:
            write: stores all of what it has or nothing, and may be called again after it raised `StorageBlocked`.

        Raises:
            StorageBlocked: it was blocked to the end of a halted run.
        """
        try:
            await write()
        except StorageBlocked as error:
            self._begin(error)
            try:
                await self._try_again(write)
            finally:
                self._blocked -= 1
            self._end()

    async def _try_again(self, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            if self._halt.requested:
                await anyio.sleep(LAST_PROBE_SECONDS)
            else:
                await self._halt.sleep(PROBE_SECONDS)
            last = self._halt.requested and not self._calls_under_way()
            try:
                await write()
            except StorageBlocked:
                if last:
                    raise
            else:
                return

    def _begin(self, error: StorageBlocked) -> None:
        if not self._blocked:
            log.error("storage.blocked", reason=str(error), next="nothing is read or sent until it can be stored")
            self._began_at = anyio.current_time()
            self._passed = anyio.Event()
        self._blocked += 1

    def _end(self) -> None:
        if not self._blocked:
            self._passed.set()
            log.info("storage.passed", seconds=round(anyio.current_time() - self._began_at, 1))

    async def over(self) -> None:
        """Wait while anything is blocked, or until a halt is requested."""
        if self._blocked:
            with self._halt.cuts_short():
                while self._blocked:
                    await self._passed.wait()
