"""One computation per key and process: who asks while it is under way waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    """A computation and those who wait for it. Nobody leads: the task belongs to the flight."""

    __slots__ = ("loop", "task", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> None:
        self.loop = loop
        self.task = task
        self.waiters: set[asyncio.Future[T]] = set()


class SingleFlight(Generic[T]):
    """Coalesce computations by key.

    A waiter that is cancelled leaves alone; when the last one has left, the computation is cancelled. What it raises,
    every waiter gets, and nobody who comes later.

    Attributes:
        coalesced: callers so far who joined a computation that another had begun.
    """

    def __init__(self) -> None:
        self.coalesced = 0
        self._flights: dict[str, _Flight[T]] = {}

    async def run(self, key: str, compute: Callable[[], Awaitable[T]]) -> T:
        """Give the result of the computation of `key` that is under way, or of `compute`.

        Raises:
            Exception: what the computation raised.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None or flight.loop is not loop:  # one of a loop that has died will never land
            flight = self._flights[key] = _Flight(loop, loop.create_task(_run(compute)))
            flight.task.add_done_callback(partial(self._land, key, flight))
        else:
            self.coalesced += 1
        waiter: asyncio.Future[T] = loop.create_future()
        flight.waiters.add(waiter)
        try:
            return await waiter
        finally:
            flight.waiters.discard(waiter)
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)  # before it has ended: nobody may join what is being cancelled
                flight.task.cancel()

    def _land(self, key: str, flight: _Flight[T], task: asyncio.Task[T]) -> None:
        self._forget(key, flight)
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
        for waiter in flight.waiters:
            if waiter.done():
                continue
            if cancelled:
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(task.result())

    def _forget(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def aclose(self) -> None:
        """Cancel what is under way, with everyone who waits for it, and see it end."""
        loop = asyncio.get_running_loop()
        tasks = [flight.task for flight in self._flights.values() if flight.loop is loop]
        self._flights.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _run(compute: Callable[[], Awaitable[T]]) -> T:
    return await compute()
