"""An event loop whose clock jumps to the next thing that happens.

Hours of retries pass in milliseconds, a program in which nothing can ever happen again fails at once in place of
hanging, and a seeded run repeats exactly. Code under test needs no change: it asks its event loop for the time.

Work on threads is waited for in real time, with the virtual clock standing still. Sockets work too, as long as both
ends live on this loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

REAL_SECONDS_FOR_THREADS = 60.0
"""How long work on a thread may take before the loop gives up on it."""


class NothingCanHappen(RuntimeError):
    """Every task waits, and no timer, thread or socket is left that could wake one: a deadlock."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls sockets, and moves the clock where the real one would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if self.threads_at_work:
            events = super().select(REAL_SECONDS_FOR_THREADS)
            if not events:
                raise NothingCanHappen(f"work on a thread took over {REAL_SECONDS_FOR_THREADS} real seconds")
            return events
        if timeout is None:
            raise NothingCanHappen("every task waits for another")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]  # typeshed gives a TypeVarTuple signature that cannot be overridden
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func` on a thread; the clock stands still until it is done."""
        self._jumping.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Join the default executor's threads, in real time."""
        self._jumping.threads_at_work += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jumping.threads_at_work -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads_at_work -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh virtual-time loop, as `asyncio.run` does on a real one.

    Raises:
        NothingCanHappen: it deadlocked.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
