"""The second stage: what is asked, and whether it was answered before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamproc.completions import Completion, Request
from streamproc.flow.channel import Outbox
from streamproc.flow.flights import Flights
from streamproc.flow.meter import Meter
from streamproc.flow.tokens import Permit
from streamproc.pipeline.batch_sizing import Observe
from streamproc.pipeline.landing import USER_ERRORS, Landing, contained
from streamproc.pipeline.paid_answers import PaidAnswers
from streamproc.pipeline.task import Call, Task
from streamproc.records import Envelope, Failed, Outcome, Record


class CacheLookupHandler:
    """Render records to requests, join flights that are in the air, and look the others up.

    A flight is boarded before the cache is asked: that closes the race between a miss and a landing.

    Args:
        task: renders records.
        flights: the calls in the air.
        answers: looked up; `None` to look nothing up.
        landing: ends the flights of hits.
        misses: to the model.
        outcomes: to the sink.
        meter: gets the figures.
        share_samples: whether records share an answer that was drawn at random.
        observe: learns how long batches take here.
    """

    def __init__(
        self,
        task: Task[Any],
        flights: Flights[Envelope],
        answers: PaidAnswers | None,
        landing: Landing,
        misses: Outbox[Call],
        outcomes: Outbox[Outcome],
        meter: Meter,
        share_samples: bool,
        observe: Observe,
    ) -> None:
        self._task = task
        self._flights = flights
        self._answers = answers
        self._landing = landing
        self._misses = misses
        self._outcomes = outcomes
        self._meter = meter
        self._share_samples = share_samples
        self._observe = observe

    async def handle(self, batch: Sequence[Envelope], permit: Permit) -> None:
        """Send hits and render errors to the sink, misses to the model; joined records wait with their flight."""
        meter, places, began_at = self._meter, self._meter.whereabouts, self._meter.clock()
        places.move(len(batch), "lookup_queue", "lookup", began_at)
        calls, failed = self._board(batch)
        places.move(len(batch) - len(calls) - len(failed), "lookup", "shared_call", began_at)
        misses, answered = self._land(calls, await self._look_up(calls))
        ended_at, hits = meter.clock(), len(calls) - len(misses)
        places.move(len(misses), "lookup", "admission", ended_at)
        places.move(len(failed) + hits, "lookup", "sink_queue", ended_at)
        places.move(len(answered) - hits, "shared_call", "sink_queue", ended_at)  # they had joined a hit
        meter.add("cache_hits_total", hits)
        meter.add("cache_misses_total", len(misses))
        meter.observe("cache_lookup_seconds", ended_at - began_at)
        self._observe(len(batch), ended_at - began_at, len(batch), 0)
        await self._outcomes.send(failed + answered)
        await self._misses.send(misses)

    def _board(self, batch: Sequence[Envelope]) -> tuple[list[Call], list[Outcome]]:
        """Render records, and board flights; give the calls of those who were first, and render errors."""
        calls: list[Call] = []
        failed: list[Outcome] = []
        for envelope in batch:
            try:
                request: Request = self._task.render(envelope.record)
                key = self._key(request, envelope.record)
            except USER_ERRORS as raised:
                failed.append(Failed(envelope, contained("render_failed", raised)))
                continue
            flight = self._flights.board(key, envelope)
            if flight is not None:
                calls.append(Call(request, flight))
        return calls, failed

    def _land(
        self, calls: Sequence[Call], completions: Sequence[Completion | None]
    ) -> tuple[list[Call], list[Outcome]]:
        """End the flights of hits; give the calls that miss, and what becomes of everyone who waited for a hit."""
        misses: list[Call] = []
        answered: list[Outcome] = []
        for call, completion in zip(calls, completions, strict=True):
            if completion is None:
                misses.append(call)
            else:
                answered.extend(self._landing.answered(call, completion, "cache", 0))
        return misses, answered

    def _key(self, request: Request, record: Record) -> str:
        """A sample belongs to its record, in this run and in later ones, unless the task says which draw it is."""
        own = request.sampled and not request.draw and not self._share_samples
        return request.fingerprint(sample=record.id) if own else request.fingerprint()

    async def _look_up(self, calls: Sequence[Call]) -> Sequence[Completion | None]:
        if self._answers is None or not calls:
            return [None] * len(calls)
        return await self._answers.look_up([call.flight.key for call in calls])
