"""One thread that does blocking work in order, for code that lives on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkThread:
    """Run blocking functions one after another on a thread of their own.

    Work that has begun is never abandoned: when its waiter is cancelled the function still runs to its end, and
    whatever is submitted later runs after it. That is what lets a commit survive cancellation.

    The thread begins with the first work.

    Args:
        name: shown in thread listings.
    """

    def __init__(self, name: str) -> None:
        self._name = f"streamproc-{name}"
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` on the thread and give what it returns or raises.

        Cancelling the caller stops the waiting, not the work.
        """
        return await asyncio.shield(self.submit(function, *args, **kwargs))

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Have `function` called on the thread after what was submitted before; await the future under a shield."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let the work that was submitted end, then end the thread; a later one begins with the next work."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
