"""Waiting for a service on the event loop's clock, without a task of its own.

A `Service` must be looked at whenever one of its events is due. Of those who wait for a ticket, one at a
time drives: it sleeps until the next event, tells everyone who is finished, and hands the wheel to another
when it is finished itself or cancelled. Rejected: a timer for each ticket, since every arrival would move
all of them; a background task, since then a completer would have to be opened and closed.
"""

from __future__ import annotations

import math
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
        self._driving = False
        self._alarm = anyio.Event()
        self._alarm_at = math.inf

    def settle(self) -> list[int]:
        """Look at the service now: wake and report whoever is finished; give their tickets."""
        finished = self._service.advance(anyio.current_time())
        for ticket in finished:
            if waiter := self._waiting.pop(ticket, None):
                waiter.set()
        for ticket in finished:  # only now: whoever is reported may raise, and nobody must wait for ever for that
            self._on_finished(ticket)
        return finished

    async def wait(self, ticket: int) -> None:
        """Return when the service has finished `ticket`, which it has not yet.

        On cancellation the client counts as gone: the service stops working for it.
        """
        self._waiting[ticket] = anyio.Event()
        self._ring_if_earlier()
        try:
            while ticket in self._waiting:
                if self._driving:
                    await self._waiting[ticket].wait()
                else:
                    await self._drive(ticket)
        finally:
            if self._waiting.pop(ticket, None):
                self._service.cancel(ticket, anyio.current_time())
                self.settle()
                self._ring_if_earlier()
            if not self._driving:
                self._hand_over()

    async def _drive(self, ticket: int) -> None:
        self._driving = True
        try:
            while ticket not in self.settle():
                due = self._service.next_event(anyio.current_time())
                self._alarm_at = math.inf if due is None else due
                self._alarm = anyio.Event()
                with anyio.CancelScope(deadline=self._alarm_at):
                    await self._alarm.wait()
        finally:
            self._driving = False

    def _ring_if_earlier(self) -> None:
        """Wake the driver if something is due before it would look."""
        due = self._service.next_event(anyio.current_time())
        if self._driving and due is not None and due < self._alarm_at:
            self._alarm.set()

    def _hand_over(self) -> None:
        """Wake any one of those who wait; it finds nobody at the wheel. Waking two of them does no harm."""
        for ticket, waiter in self._waiting.items():
            self._waiting[ticket] = anyio.Event()
            waiter.set()
            return
