"""An event loop on a thread of its own, for code that is called from anywhere."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import anyio
from anyio.from_thread import BlockingPortal


class LoopThread:
    """Starts the thread at once; `close` ends it.

    A program may end without closing it: the thread is a daemon and nothing waits for it. (The generator inside
    anyio's `start_blocking_portal` joins its thread when it is collected, which at the end of a program never returns.)

    Args:
        name: shown in thread listings.

    Attributes:
        portal: the way in, from any other thread.
    """

    def __init__(self, name: str) -> None:
        started: Future[BlockingPortal] = Future()

        async def serve() -> None:
            async with BlockingPortal() as portal:
                started.set_result(portal)
                await portal.sleep_until_stopped()

        self._thread = threading.Thread(target=anyio.run, args=(serve,), name=name, daemon=True)
        self._thread.start()
        self.portal = started.result()

    def close(self) -> None:
        """Let the calls that are under way end, then the thread."""
        self.portal.call(self.portal.stop)
        self._thread.join()
