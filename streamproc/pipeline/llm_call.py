"""The third stage: a call, its retries, and the moment at which its answer is safe."""

from __future__ import annotations

import random
from collections.abc import Sequence

from streamproc.completions import Completion, Request
from streamproc.control.retries import Retries, RetryPolicy
from streamproc.errors import ProviderError, ProviderStop
from streamproc.flow.channel import Outbox
from streamproc.flow.halt import Halt
from streamproc.flow.meter import Meter
from streamproc.flow.storage_pause import StoragePause
from streamproc.flow.tokens import Permit
from streamproc.llm.endpoint import Endpoint
from streamproc.pipeline.debug_log import tell_retry
from streamproc.pipeline.landing import Landing
from streamproc.pipeline.paid_answers import PaidAnswers
from streamproc.pipeline.task import Call
from streamproc.records import Outcome, RecordError


class LlmCallHandler:
    """Make one call until it is answered, rejected, given up, or a halt is requested.

    An answer is put into the cache before the permit is given back, and parsed after: then a crash loses at most what
    is under way, and a mistake in parsing costs no money. An answer that cannot be encoded is delivered without.

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
    """

    def __init__(
        self,
        endpoint: Endpoint[Request, Completion],
        policy: RetryPolicy,
        answers: PaidAnswers | None,
        landing: Landing,
        outcomes: Outbox[Outcome],
        halt: Halt,
        meter: Meter,
        random: random.Random,
        pause: StoragePause,
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

    async def handle(self, batch: Sequence[Call], permit: Permit) -> None:
        """Make the calls of a batch, one after another."""
        for call in batch:
            await permit.reacquire()
            await self._make(call, permit)

    async def _make(self, call: Call, permit: Permit) -> None:
        retries = Retries(self._policy)
        while True:
            tokens = await self._endpoint.turn(call.request)
            while self._pause.blocked and not self._halt.requested:
                await self._pause.over()
                tokens = await self._endpoint.turn(call.request)
            if self._halt.requested:
                return  # left undone: the next run takes its records up
            try:
                completion = await self._endpoint.complete(call.request, tokens)
            except ProviderStop as stop:
                self._halt.request(stop)
                return
            except ProviderError as error:
                permit.release()
                delay = retries.after(error, self._random.random(), self._endpoint.silence)
                if delay is not None:
                    tell_retry(call.request, error, delay, retries.sent)
                    await self._endpoint.rest(call.request, delay, retries)
                if self._halt.requested:
                    return
                if delay is None or retries.used_up:
                    reason = RecordError(error.kind, error.message, error.status)
                    await self._outcomes.send(self._landing.failed(call, reason, retries.sent))
                    return
                self._meter.add("retries_total")
                await permit.reacquire()
            else:
                retries.succeeded()
                if self._answers is not None:
                    await self._answers.keep(call.flight.key, completion)
                permit.release()
                await self._outcomes.send(self._landing.answered(call, completion, "model", retries.sent))
                return
