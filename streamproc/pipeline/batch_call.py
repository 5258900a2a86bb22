"""The third stage where one request carries many texts: batches, their retries, and the search for who spoils one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from streamproc.control.retries import RetryPolicy
from streamproc.errors import ProviderError, ProviderStop
from streamproc.flow.channel import Outbox
from streamproc.flow.halt import Halt
from streamproc.flow.meter import Meter
from streamproc.flow.storage_pause import StoragePause
from streamproc.flow.tokens import Permit
from streamproc.llm.batches import Answers, Batch
from streamproc.llm.endpoint import Endpoint
from streamproc.pipeline.batch_sizing import Observe
from streamproc.pipeline.debug_log import tell_retry
from streamproc.pipeline.landing import Landing
from streamproc.pipeline.paid_answers import PaidAnswers
from streamproc.pipeline.splitting import Part, parts_of
from streamproc.pipeline.task import Call
from streamproc.records import Outcome, RecordError


class BatchCallHandler:
    """Make the calls of a batch as one, until each is answered, rejected, given up, or a halt is requested.

    What `LlmCallHandler` promises holds here for each record: its answer is put into the cache before the permit is
    given back, and parsed after.

    Args:
        endpoint: makes attempts.
        policy: how often.
        answers: keeps them; `None` to keep none.
        landing: ends flights.
        outcomes: to the sink.
        halt: ends retries; gets the errors that end the run.
        meter: gets the figures.
        random: spreads retries.
        pause: while nothing can be stored, nothing is sent.
        observe: learns how batches fare.
    """

    def __init__(
        self,
        endpoint: Endpoint[Batch, Answers],
        policy: RetryPolicy,
        answers: PaidAnswers | None,
        landing: Landing,
        outcomes: Outbox[Outcome],
        halt: Halt,
        meter: Meter,
        random: random.Random,
        pause: StoragePause,
        observe: Observe,
    ) -> None:
        self._endpoint = endpoint
        self._policy = policy
        self._answers = answers
        self._landing = landing
        self._outcomes = outcomes
        self._halt = halt
        self._meter = meter
        self._random = random
        self._pause = pause
        self._observe = observe

    async def handle(self, batch: Sequence[Call], permit: Permit) -> None:
        """Make the calls of a batch; parts of it, where it falls apart, one after another."""
        parts = parts_of(batch, self._policy)
        while parts and not self._halt.requested:  # what is left undone, the next run takes up
            await permit.reacquire()
            parts += reversed(await self._make(parts.pop(), permit))

    async def _make(self, part: Part, permit: Permit) -> list[Part]:
        """Make the calls of a part as one; give its halves, where these are to be made in its place."""
        retries = part.retries
        while True:
            tokens = await self._endpoint.turn(part.batch)
            while self._pause.blocked and not self._halt.requested:
                await self._pause.over()
                tokens = await self._endpoint.turn(part.batch)
            if self._halt.requested:
                return []
            started_at = self._meter.clock()
            try:
                answers = await self._endpoint.complete(part.batch, tokens)
            except ProviderStop as stop:
                self._halt.request(stop)
                return []
            except ProviderError as error:
                permit.release()
                delay = retries.after(error, self._random.random(), self._endpoint.silence)
                if delay is not None:
                    tell_retry(part.batch.requests[0], error, delay, retries.sent)
                    await self._endpoint.rest(part.batch, delay, retries)
                if self._halt.requested:
                    return []
                if delay is None or retries.used_up:
                    halves = part.halves(error)
                    if halves:
                        self._meter.add("batches_split_total")
                    else:
                        await self._give_up(part, error)
                    return halves
                self._meter.add("retries_total")
                await permit.reacquire()
            else:
                retries.succeeded()
                self._learn(part, self._meter.clock() - started_at)
                await self._keep(part, answers)
                permit.release()
                await self._deliver(part, answers)
                return []

    def _learn(self, part: Part, seconds: float) -> None:
        size, rejection = len(part.calls), part.half_of
        self._observe(size, seconds, size, 0)
        if rejection is not None and rejection.half_answered():
            self._observe(rejection.size, seconds, 0, rejection.size)

    async def _keep(self, part: Part, answers: Answers) -> None:
        if self._answers is not None:
            keys = [call.flight.key for call in part.calls]
            await self._answers.keep_many(dict(zip(keys, answers.completions, strict=True)))

    async def _deliver(self, part: Part, answers: Answers) -> None:
        outcomes: list[Outcome] = []
        for call, completion in zip(part.calls, answers.completions, strict=True):
            outcomes += self._landing.answered(call, completion, "model", part.retries.sent)
        await self._outcomes.send(outcomes)

    async def _give_up(self, part: Part, error: ProviderError) -> None:
        reason = RecordError(error.kind, error.message, error.status)
        outcomes: list[Outcome] = []
        for call in part.calls:
            outcomes += self._landing.failed(call, reason, part.retries.sent)
        await self._outcomes.send(outcomes)
