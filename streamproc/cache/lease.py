"""One computation per key among processes, by leases that a shared store gives out.

A lease only saves money. Whoever holds none, or has lost it, may compute and store all the same: the value under a key
is good whoever computed it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar

import anyio

from streamproc.errors import CacheUnavailable

T = TypeVar("T")

FIRST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.5
POLL_GROWTH = 1.5


class LeaseStore(Protocol):
    """Gives out leases: at most one holder a key, until it is released or `seconds` have passed without renewal."""

    @property
    def seconds(self) -> float:
        """How long a lease lives without renewal."""

    async def take(self, key: str, token: str) -> bool:
        """Take the lease of `key` in the name of `token`, a secret of the caller; `False`: another holds it."""

    async def renew(self, key: str, token: str) -> bool:
        """Let the lease live for `seconds` from now; `False`: it is not held in the name of `token` any more."""

    async def release(self, key: str, token: str) -> None:
        """Give the lease up, if it is held in the name of `token`."""


class Leases:
    """Compute a key in one process while the others wait for what it stores.

    Args:
        store: shared by the processes.
        wait_seconds: longest wait for another's computation; after that it is computed twice.
    """

    def __init__(self, store: LeaseStore, wait_seconds: float) -> None:
        self._store = store
        self._wait_seconds = wait_seconds

    async def compute_once(
        self, key: str, look_up: Callable[[], Awaitable[T | None]], compute: Callable[[], Awaitable[T]]
    ) -> T:
        """Give what another process has stored for `key`, or what `compute` gives.

        Args:
            key: what is computed.
            look_up: asks the shared cache; `None` where it holds nothing.
            compute: computes and stores; called by one process at a time, as far as leases hold.

        Raises:
            Exception: what `compute` raised.
        """
        token = secrets.token_hex(16)
        until = anyio.current_time() + self._wait_seconds
        delay = FIRST_POLL_SECONDS
        while not (held := await self._store.take(key, token)) and anyio.current_time() < until:
            await anyio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads polls
            delay = min(delay * POLL_GROWTH, LONGEST_POLL_SECONDS)
            found = await look_up()
            if found is not None:
                return found
        if not held:
            return await compute()
        async with self._kept(key, token):
            found = await look_up()  # another may have stored it between our last look and our lease
            return found if found is not None else await compute()

    @asynccontextmanager
    async def _kept(self, key: str, token: str) -> AsyncIterator[None]:
        """Renew a lease while the block runs, and release it after, however it ends."""
        renewing = asyncio.create_task(self._renew(key, token))
        try:
            yield
        finally:
            renewing.cancel()
            with anyio.CancelScope(shield=True), suppress(CacheUnavailable):  # then it runs out by itself
                await asyncio.wait([renewing])
                await self._store.release(key, token)

    async def _renew(self, key: str, token: str) -> None:
        with suppress(CacheUnavailable):  # lost: whoever takes it now computes, too
            held = True
            while held:
                await anyio.sleep(self._store.seconds / 3)
                held = await self._store.renew(key, token)
