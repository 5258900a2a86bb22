"""Play a scenario under a controller, event by event, as the pipeline would: an endless backlog, permits, retries.

A permit is taken first; the waits for pace and pauses happen under it. A failed attempt gives it back and comes again
after a back-off, before new work. Records that are begun and not answered are bounded, as the pipeline bounds them.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from functools import lru_cache
from itertools import cycle
from typing import Any

from bench.control.controller import Controller, Turn
from bench.control.figures import Figures, percentile
from bench.control.scenarios import Scenario
from streamproc.control.attempts import Attempt, Ending
from streamproc.control.pacing import Backoff
from streamproc.simulation.lengths import Workload
from streamproc.simulation.service import Accepted, Rejected, Service

OPEN_RECORDS = 2048
REFUSAL_SECONDS = 0.05
"""From sending to the word that the endpoint will not."""
SHORTEST_WAIT = 1e-6
"""Adding less than this to the time might not change it."""
LENGTHS = 20_000
_TICK, _CHANGE, _SEND, _AGAIN, _REFUSED = range(5)


class _Record:
    __slots__ = ("failures", "output", "prompt", "started_at", "turn")
    turn: Turn

    def __init__(self, prompt: int, output: int) -> None:
        self.prompt = prompt
        self.output = output
        self.failures = 0
        self.started_at = 0.0


@lru_cache(maxsize=16)
def lengths_of(workload: Workload, seed: int) -> tuple[list[tuple[int, int]], float]:
    """Draw prompts and outputs, in tokens, and give the mean output with them."""
    source = random.Random(f"lengths:{seed}")
    drawn = [workload.draw(source) for _ in range(LENGTHS)]
    return drawn, math.fsum(output for _, output in drawn) / LENGTHS


class Player:
    """One run; `play` is the whole of it.

    Args:
        scenario: what to play.
        controller: who decides.
    """

    def __init__(self, scenario: Scenario, controller: Controller) -> None:
        self._scenario = scenario
        self._controller = controller
        self._service = Service(scenario.profile, scenario.seed)
        drawn, mean = lengths_of(scenario.workload, scenario.seed)
        self._lengths = cycle(drawn)
        self._mean_output = round(mean)
        self._random = random.Random(f"retries:{scenario.seed}")
        self._backoff = Backoff()
        self._events: list[tuple[float, int, int, Any]] = []
        self._serial = 0
        self._again: deque[_Record] = deque()
        self._by_ticket: dict[int, _Record] = {}
        self._open = self._held = self._in_flight = 0
        self._seconds: list[float] = []
        self._wasted = 0
        self._travel = 0.0
        self._limit = controller.limit
        self._tokens_by_second = [0] * math.ceil(scenario.seconds)

    def play(self) -> Figures:
        """Play to the end and give the figures."""
        cpu = time.process_time()
        service, events, end = self._service, self._events, self._scenario.seconds
        for at, profile in self._scenario.changes:
            self._push(at, _CHANGE, profile)
        self._push(1.0, _TICK, None)
        self._launch(0.0)
        now = 0.0
        while True:
            due = service.next_event(now)
            if due is not None and due <= events[0][0]:
                now = due
                if now >= end:
                    break
                for ticket in service.advance(now):
                    self._answered(self._by_ticket.pop(ticket), now)
            else:
                now, _, kind, what = heapq.heappop(events)
                if now >= end:
                    break
                self._handle(kind, what, now)
            self._launch(now)
        tokens = sum(self._tokens_by_second)
        return Figures(
            goodput=tokens / end,
            p99=percentile(self._seconds, 0.99),
            attempts=len(self._seconds) + self._wasted,
            wasted=self._wasted,
            travel=self._travel,
            tokens_by_second=self._tokens_by_second,
            limit_at_end=self._limit,
            cpu_seconds=time.process_time() - cpu,
        )

    def _push(self, at: float, kind: int, what: Any) -> None:
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, kind, what))

    def _handle(self, kind: int, what: Any, now: float) -> None:
        if kind == _TICK:
            self._controller.tick(now)
            self._push(now + 1.0, _TICK, None)
        elif kind == _CHANGE:
            self._service.change(what, now)
        elif kind == _SEND:
            self._send(what, now)
        elif kind == _AGAIN:
            self._again.append(what)
        else:
            self._refused(what[0], what[1], what[2], now)

    def _launch(self, now: float) -> None:
        controller = self._controller
        limit = controller.limit
        if limit != self._limit:
            self._travel += abs(limit - self._limit) / self._limit
            self._limit = limit
        while self._held < controller.limit:
            if self._again:
                record = self._again.popleft()
            elif self._open < OPEN_RECORDS:
                self._open += 1
                record = _Record(*next(self._lengths))
            else:
                return
            self._held += 1
            record.turn = controller.turn(record.prompt + self._mean_output)
            self._send(record, now)

    def _send(self, record: _Record, now: float) -> None:
        wait = record.turn.wait(now)
        if wait > SHORTEST_WAIT:
            self._push(now + wait, _SEND, record)
            return
        self._in_flight += 1
        self._controller.started(now, self._in_flight)
        record.started_at = now
        reply = self._service.arrive(record.prompt, record.output, now)
        if isinstance(reply, Accepted):
            self._by_ticket[reply.ticket] = record
            return
        ending: Ending = "failed"
        hint = None
        if isinstance(reply, Rejected) and reply.status in (429, 503):
            ending = "rate_limited" if reply.status == 429 else "overloaded"
            hint = None if reply.retry_after is None else float(max(1, math.ceil(reply.retry_after)))
        self._push(now + REFUSAL_SECONDS, _REFUSED, (record, ending, hint))

    def _answered(self, record: _Record, now: float) -> None:
        self._held -= 1
        self._in_flight -= 1
        self._open -= 1
        self._seconds.append(now - record.started_at)
        self._tokens_by_second[int(now)] += record.output
        self._controller.finished(Attempt(record.started_at, now, "answered", record.prompt, record.output), now)

    def _refused(self, record: _Record, ending: Ending, hint: float | None, now: float) -> None:
        self._held -= 1
        self._in_flight -= 1
        self._wasted += 1
        record.failures += 1
        self._controller.finished(Attempt(record.started_at, now, ending, retry_after=hint), now)
        delay = self._backoff.delay(record.failures, hint=hint, draw=self._random.random())
        self._push(now + (delay or 0.0), _AGAIN, record)


def play(scenario: Scenario, controller: Controller) -> Figures:
    """Play a scenario under a new controller; equal ones give equal figures."""
    return Player(scenario, controller).play()
