"""Waiting for a service on the event loop's clock, without a task of its own.

A `Service` must be looked at whenever one of its events is due. One timer does that, set anew whenever something has
changed. A background task would do it too, but then a completer would have to be opened and closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from streamproc.simulation.service import Service


class Driver:
    """Moves one service through real time.

    Args:
        service: nobody else may advance it or cancel in it.
        on_finished: called with each ticket once, when the service finished it, even if its client is gone.
    """

    def __init__(self, service: Service, on_finished: Callable[[int], None]) -> None:
        self._service = service
        self._on_finished = on_finished
        self._waiting: dict[int, anyio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    def settle(self) -> list[int]:
        """Look at the service now: wake and report whoever is finished; give their tickets."""
        finished = self._service.advance(_now())
        for ticket in finished:
            if waiter := self._waiting.pop(ticket, None):
                waiter.set()
        self._set_timer()
        for ticket in finished:  # only now: whoever is reported may raise, and nobody must wait for ever for that
            self._on_finished(ticket)
        return finished

    async def wait(self, ticket: int) -> None:
        """Return when the service has finished `ticket`, which it has not yet.

        On cancellation the client counts as gone: the service stops working for it.
        """
        waiter = self._waiting[ticket] = anyio.Event()
        self._set_timer()
        try:
            await waiter.wait()
        finally:
            if self._waiting.pop(ticket, None):
                self._service.cancel(ticket, _now())
                self.settle()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._service.next_event(_now())
        self._timer = None
        if due is not None and self._waiting:
            self._timer = asyncio.get_running_loop().call_at(due, self.settle)


def _now() -> float:
    """Ask the loop itself: anyio, where sniffio is installed beside it, does not know the loop outside of tasks."""
    return asyncio.get_running_loop().time()
