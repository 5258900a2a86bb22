"""One endpoint as the pipeline sees it: a completer with its pace, its health and its figures."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from streamproc._log import log
from streamproc.completions import Request, Usage
from streamproc.control.pacing import TokenBucket
from streamproc.errors import Ambiguous, NotSent, ProviderError, RateLimited
from streamproc.flow.clock import Clock
from streamproc.flow.halt import Halt
from streamproc.flow.meter import Meter
from streamproc.llm.batches import Batch
from streamproc.llm.deadlines import Deadlines
from streamproc.llm.health import PROBE_SECONDS, Health

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""The pauses while no connection can be made: doubling from the first to the longest."""
BURST_SECONDS = 1.0
"""How much of a configured rate may be used at once."""


class _Paid(Protocol):
    @property
    def usage(self) -> Usage: ...


Q = TypeVar("Q", bound=Request | Batch)
Q_contra = TypeVar("Q_contra", bound=Request | Batch, contravariant=True)
A = TypeVar("A", bound=_Paid)
A_co = TypeVar("A_co", bound=_Paid, covariant=True)


class Asked(Protocol[Q_contra, A_co]):
    """Who does the sending: a `Completer`, which takes requests, or `Batches`."""

    async def complete(self, request: Q_contra, /) -> A_co:
        """Ask once, see `Completer`."""


class Endpoint(Generic[Q, A]):
    """Send requests, or batches of them, no faster than allowed, and say what errors amount to.

    A provider that asks for a pause gets one from everybody: the whole endpoint waits, not the one call.

    Args:
        completer: does the sending.
        health: judges errors.
        meter: gets the figures.
        halt: cuts waits short.
        clock: seconds of the event loop.
        timeout_seconds: for one attempt, from its first byte to its last, stalls of this process not counted.
        requests_per_minute: most requests; `None` for no limit.
        tokens_per_minute: most text tokens; `None` for no limit.
    """

    def __init__(
        self,
        completer: Asked[Q, A],
        health: Health,
        meter: Meter,
        halt: Halt,
        clock: Clock,
        *,
        timeout_seconds: float,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self._completer = completer
        self._health = health
        self._meter = meter
        self._halt = halt
        self._clock = clock
        self._requests = _bucket(requests_per_minute)
        self._tokens = _bucket(tokens_per_minute)
        self._deadlines = Deadlines(timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._resume_at = 0.0
        self._unreached = 0

    async def turn(self, request: Q) -> None:
        """Wait until this request may be sent, or a halt is requested."""
        if self._requests or self._tokens:
            now = self._clock()
            wait = self._requests.reserve(1, now) if self._requests else 0.0
            if self._tokens:
                wait = max(wait, self._tokens.reserve(estimated_tokens(request), now))
            if wait:
                await self._halt.sleep(wait)
        while self._resume_at and not self._halt.requested and (pause := self._resume_at - self._clock()) > 0:
            await self._halt.sleep(pause)

    async def complete(self, request: Q) -> A:
        """Ask once.

        Raises:
            ProviderError: what it amounts to for the record or the run.
        """
        started_at = self._clock()
        self._meter.add("model_calls_total")
        try:
            completion = await self._attempt(request)
        except ProviderError as error:
            judged = self._health.judge(error, started_at)
            self._meter.add(f"model_errors_{error.kind}_total")
            self._pause_for(judged)
            if not isinstance(error, NotSent):
                self._got_through()
            if judged is error:
                raise
            raise judged from error
        finally:
            self._meter.observe("model_call_seconds", self._clock() - started_at)
        self._health.succeeded()
        self._got_through()
        usage = completion.usage
        self._meter.add("prompt_tokens_total", usage.prompt_tokens)
        self._meter.add("completion_tokens_total", usage.completion_tokens)
        if self._tokens:
            self._tokens.give_back(estimated_tokens(request) - usage.prompt_tokens - usage.completion_tokens)
        return completion

    async def _attempt(self, request: Q) -> A:
        scope = self._deadlines.start()
        try:
            with scope:
                return await self._completer.complete(request)
        finally:
            self._deadlines.finish(scope)
        raise Ambiguous(f"no answer within {self._timeout_seconds:g} s", code="deadline")

    def abort(self) -> None:
        """End every attempt under way, as if its time were over."""
        self._deadlines.cancel_all()

    def _pause_for(self, error: ProviderError) -> None:
        """Have everybody wait where one attempt has shown that nobody can get through."""
        now, pause = self._clock(), 0.0
        if isinstance(error, RateLimited):
            pause = error.retry_after or 0.0
        elif error.status == 401:
            pause = PROBE_SECONDS
        elif isinstance(error, NotSent) and now >= self._resume_at:  # those who failed together count once
            if not self._unreached:
                log.warning("endpoint.unreachable", reason=error.message)
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._unreached)
            self._unreached = min(self._unreached + 1, 10)
        self._resume_at = max(self._resume_at, now + pause)

    def _got_through(self) -> None:
        if self._unreached:
            log.info("endpoint.reachable")
            self._unreached = 0


def estimated_tokens(request: Request | Batch) -> int:
    """Guess the text tokens that a request will use: a quarter of its characters, and the most it may answer."""
    if isinstance(request, Batch):
        return sum(map(estimated_tokens, request.requests))
    if request.kind == "embeddings":
        return len(request.text or "") // 4
    characters = len(request.text or "") + sum(
        len(m.content) if isinstance(m.content, str) else 1000 for m in request.messages
    )
    allowed = request.parameters.get("max_completion_tokens") or request.parameters.get("max_tokens")
    return characters // 4 + (allowed if isinstance(allowed, int) else 256)


def _bucket(per_minute: float | None) -> TokenBucket | None:
    if per_minute is None:
        return None
    rate = per_minute / 60
    return TokenBucket(rate, max(1.0, rate * BURST_SECONDS))
