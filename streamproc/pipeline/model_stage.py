"""The parts of the model's stage: one call at a time, or as many as share a request."""

from __future__ import annotations

import random
from typing import Any

from streamproc.control.retries import RetryPolicy
from streamproc.flow.batching import Batcher
from streamproc.flow.channel import Inbox, Outbox
from streamproc.flow.halt import Halt
from streamproc.flow.meter import Meter
from streamproc.flow.storage_pause import StoragePause
from streamproc.llm.endpoint import Endpoint
from streamproc.pipeline.batch_call import BatchCallHandler
from streamproc.pipeline.batch_sizing import Observe
from streamproc.pipeline.landing import Landing
from streamproc.pipeline.llm_call import LlmCallHandler
from streamproc.pipeline.paid_answers import PaidAnswers
from streamproc.pipeline.parts import Parts
from streamproc.pipeline.task import Call
from streamproc.records import Outcome

BATCH_LINGER_SECONDS = 0.02
"""How long a first text waits for others to share its request: less than a request takes."""


class ModelStage:
    """Makes the feed and the handler of the stage that asks the model.

    Args:
        parts: what the run works with.
        endpoint: makes attempts.
        answers: keeps them; `None` to keep none.
        landing: ends flights.
        outcomes: to the sink.
        halt: ends retries.
        meter: gets the figures.
        pause: while nothing can be stored, nothing is sent.
    """

    def __init__(
        self,
        parts: Parts,
        endpoint: Endpoint[Any, Any],
        answers: PaidAnswers | None,
        landing: Landing,
        outcomes: Outbox[Outcome],
        halt: Halt,
        meter: Meter,
        pause: StoragePause,
    ) -> None:
        llm = parts.config.llm
        self._sizes = parts.config.batch_processing
        self._common = (
            endpoint,
            RetryPolicy(llm.max_attempts, llm.ambiguous_retries),
            answers,
            landing,
            outcomes,
            halt,
            meter,
            random.Random(),  # noqa: S311 - spreads retries; nobody gains by guessing it
            pause,
        )

    def handler(self) -> LlmCallHandler:
        """Make the handler of single calls."""
        return LlmCallHandler(*self._common)

    def batcher(self, calls: Inbox[Call]) -> Batcher[Call]:
        """Make the feed of batches that share a request."""
        return Batcher(calls, self._sizes.initial_size, BATCH_LINGER_SECONDS)

    def batch_handler(self, observe: Observe) -> BatchCallHandler:
        """Make the handler of such batches; `observe` learns how they fare."""
        return BatchCallHandler(*self._common, observe)
