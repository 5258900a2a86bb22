"""From an answer, or the lack of one, to the outcome of everyone who waited for it."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, Literal

from streamproc._log import debugging, log
from streamproc.completions import Completion
from streamproc.flow.flights import Flights
from streamproc.flow.meter import Meter
from streamproc.flow.whereabouts import Place
from streamproc.pipeline.task import Call, Task
from streamproc.records import Completed, Envelope, Failed, Outcome, RecordError

USER_ERRORS = (Exception, asyncio.CancelledError)
"""What a task's functions may raise at the cost of their record alone. They are called where nothing is awaited, so a
cancellation is none of the host's. `SystemExit` and `KeyboardInterrupt` mean the process, and pass."""


class Landing:
    """End flights.

    Args:
        task: parses answers.
        flights: where the flights are in the air.
        meter: gets the figures.
    """

    def __init__(self, task: Task[Any], flights: Flights[Envelope], meter: Meter) -> None:
        self._task = task
        self._flights = flights
        self._meter = meter

    def answered(
        self, call: Call, completion: Completion, origin: Literal["cache", "model"], sent: int
    ) -> list[Outcome]:
        """Land a flight with its answer: one outcome a waiter, good or failed.

        Args:
            call: it lands.
            completion: the answer.
            origin: where it came from. Only the first waiter of a model's answer paid for it.
            sent: calls made for it.
        """
        waiters = self._flights.land(call.flight)
        if origin == "model":
            self._leave("keeping", len(waiters))
        if len(waiters) > 1:
            self._meter.add("records_coalesced_total", len(waiters) - 1)
        error = _unusable(completion)
        value: Any = None
        if error is None:
            try:
                value = self._task.parse(completion)
            except USER_ERRORS as raised:
                error = contained("parse_failed", raised)
        outcomes: list[Outcome] = []
        for waiter in waiters:
            if error is not None:
                outcomes.append(Failed(waiter, error, sent, completion))
            else:
                outcomes.append(Completed(waiter, value, completion, origin, sent))
            origin, sent = "cache", 0
        return outcomes

    def failed(self, call: Call, error: RecordError, sent: int) -> list[Outcome]:
        """Land a flight without an answer: everyone who waited fails alike."""
        waiters = self._flights.land(call.flight)
        self._leave("admission", len(waiters))
        return [Failed(waiter, error, sent) for waiter in waiters]

    def _leave(self, place: Place, waiters: int) -> None:
        """Have a call's record leave where it was, and those who shared the call."""
        places, now = self._meter.whereabouts, self._meter.clock()
        places.move(1, place, "sink_queue", now)
        if waiters > 1:
            places.move(waiters - 1, "shared_call", "sink_queue", now)


def contained(kind: str, raised: BaseException) -> RecordError:
    """Turn an exception of user code into a record's error, and log at debug level where it was raised.

    What it says is not logged: it may quote a record or an answer.
    """
    if debugging():
        trace = "".join(traceback.format_tb(raised.__traceback__)).rstrip()
        log.debug("user_code.raised", error_type=kind, raised=type(raised).__name__, trace=trace)
    try:
        text = str(raised)
    except Exception:  # noqa: BLE001 - user code, too
        text = "its text cannot be had"
    return RecordError(kind, f"{type(raised).__name__}: {text[:500]}")


def _unusable(completion: Completion) -> RecordError | None:
    reason = completion.unusable
    return RecordError("unusable_answer", reason) if reason else None
