"""One endpoint as the pipeline sees it: a completer with its pace, its health and its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, runtime_checkable

from streamproc._log import log
from streamproc.completions import Request, Usage
from streamproc.control.admission import Admission
from streamproc.control.attempts import Attempt, Ending
from streamproc.control.retries import VERDICT_SECONDS, Retries
from streamproc.control.silence import Silence
from streamproc.errors import (
    Ambiguous,
    NotSent,
    ProviderError,
    RateLimited,
    RejectedBatch,
    RejectedRequest,
    Unavailable,
)
from streamproc.flow.clock import Clock
from streamproc.flow.halt import Halt
from streamproc.flow.meter import Meter
from streamproc.llm.batches import Batch
from streamproc.llm.deadlines import Deadlines
from streamproc.llm.health import NO_ANSWER_IN_TIME, PROBE_SECONDS, Health
from streamproc.llm.rate_limits import RateLimits

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""The pauses while no connection can be made: doubling from the first to the longest."""
OUTAGE_REST_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 0.001
"""uvloop's timers count whole milliseconds: who waits for less asks again and again. A later sender costs no rate, as
places are taken in advance."""


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


@runtime_checkable
class TellsLimits(Protocol):
    """A completer whose endpoint says what the account may use."""

    @property
    def limits(self) -> RateLimits | None:
        """The account's limits as told last; `None` where nothing was told."""


@runtime_checkable
class Resends(Protocol):
    """A completer that sends a request again at once where its connection turned out to be stale."""

    resent: int
    """Requests that were sent again."""


class Endpoint(Generic[Q, A]):
    """Send requests, or batches of them, as the admission allows, tell it what came of them, and judge errors.

    A provider that asks for a pause with 429 gets one from everybody: the whole endpoint waits, not the one call. With
    503 it gets one from the one call, and from everybody while it refuses everything.

    Args:
        completer: does the sending.
        health: judges errors.
        meter: gets the figures.
        halt: cuts waits short.
        clock: the run's, in seconds.
        admission: says how many, how fast and when.
        resize: told how many calls may be in the air, whenever that changes.
        timeout_seconds: for one attempt, from its first byte to its last, stalls of this process not counted.
    """

    def __init__(
        self,
        completer: Asked[Q, A],
        health: Health,
        meter: Meter,
        halt: Halt,
        clock: Clock,
        admission: Admission,
        resize: Callable[[int], None],
        *,
        timeout_seconds: float,
    ) -> None:
        self._completer = completer
        self._health = health
        self._meter = meter
        self._halt = halt
        self._clock = clock
        self.admission = admission
        self._resize = resize
        self._limit = admission.limit
        self._teller = completer if isinstance(completer, TellsLimits) else None
        self._told: RateLimits | None = None
        self._resender = completer if isinstance(completer, Resends) else None
        self._resent = 0
        self._deadlines = Deadlines(timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._unreached = 0
        self.resting = 0

    @property
    def unreachable(self) -> bool:
        """Tell whether no connection could be made at the last attempt."""
        return self._unreached > 0

    @property
    def silence(self) -> Silence:
        """Who failed since the endpoint's last sign of life."""
        return self.admission.silence

    async def turn(self, request: Q) -> int:
        """Wait until this request may be sent, or a halt is requested; give the tokens that are reserved for it."""
        admission, tokens = self.admission, estimated_tokens(request)
        turn = admission.turn(tokens)
        while not self._halt.requested and (wait := admission.wait(turn, self._clock())) > 0:
            await self._halt.sleep(max(wait, SHORTEST_WAIT_SECONDS))
        return tokens

    async def complete(self, request: Q, tokens: int) -> A:
        """Ask once; right after `turn`, without waiting for anything between.

        Args:
            request: to be sent.
            tokens: what `turn` gave.

        Raises:
            ProviderError: what it amounts to for the record or the run.
        """
        started_at = self._clock()
        records, places = _records(request), self._meter.whereabouts
        places.move(records, "admission", "endpoint", started_at)
        self._meter.add("model_calls_total")
        self.admission.started(tokens, started_at)
        ending: Ending = "failed"
        retry_after: float | None = None
        usage = Usage()
        try:
            completion = await self._attempt(request)
        except ProviderError as error:
            ending, retry_after = "failed" if self._halt.requested else _ending(error), error.retry_after
            judged = self._health.judge(error, started_at, self.silence)
            self._meter.add(f"model_errors_{error.kind}_total")
            self._pause_for(judged)
            if isinstance(error, NotSent):
                self.silence.of_endpoint = True
            else:
                self._got_through()
            if judged is error:
                raise
            raise judged from error
        else:
            ending, usage = "answered", completion.usage
        finally:
            now = self._clock()
            self._meter.observe("model_call_seconds", now - started_at)
            places.move(records, "endpoint", "keeping" if ending == "answered" else "admission", now)
            self.admission.finished(
                Attempt(started_at, now, ending, usage.prompt_tokens, usage.completion_tokens, retry_after), tokens
            )
            self.settle()
            self._count_resent()
        self._health.succeeded(started_at)
        self._got_through()
        self._meter.add("prompt_tokens_total", usage.prompt_tokens)
        self._meter.add("completion_tokens_total", usage.completion_tokens)
        return completion

    def settle(self) -> None:
        """Have as many permits as the admission allows by now, and a pace as the endpoint tells."""
        if (limit := self.admission.limit) != self._limit:
            self._limit = limit
            self._resize(limit)
        if self._teller is not None and (told := self._teller.limits) is not self._told and told is not None:
            self._told = told
            self.admission.pace.told(told.requests_per_minute, told.tokens_per_minute)

    def _count_resent(self) -> None:
        if self._resender is not None and (more := self._resender.resent - self._resent):
            self._resent += more
            self._meter.add("model_calls_total", more)
            self._meter.add(f"model_errors_{Ambiguous.kind}_total", more)

    async def rest(self, request: Q, seconds: float, retries: Retries) -> None:
        """Wait before a record's next attempt, or until a halt is requested.

        While the endpoint is down everybody waits for it together, in `turn`. A wait of the record's own beside that
        would outlast the outage, by up to a minute. One that has no attempt left, if it is to blame, waits until that
        shows: no longer than the attempts in the air take.
        """
        together = self.admission.down and self.silence.of_endpoint
        records, places = _records(request), self._meter.whereabouts
        places.move(records, "admission", "retry", self._clock())
        self.resting += 1
        try:
            await self._halt.sleep(min(seconds, OUTAGE_REST_SECONDS) if together else seconds)
            while retries.undecided and not self._halt.requested:
                await self._halt.sleep(VERDICT_SECONDS)
        finally:
            self.resting -= 1
            places.move(records, "retry", "admission", self._clock())

    async def _attempt(self, request: Q) -> A:
        with self._deadlines.start():
            return await self._completer.complete(request)
        raise Ambiguous(f"no answer within {self._timeout_seconds:g} s", code=NO_ANSWER_IN_TIME)

    def abort(self) -> None:
        """End every attempt under way, as if its time were over."""
        self._deadlines.cancel_all()

    def _pause_for(self, error: ProviderError) -> None:
        """Have everybody wait where one attempt has shown that nobody can get through."""
        now, pace = self._clock(), self.admission.pace
        if error.status == 401:
            pace.hold(now + PROBE_SECONDS)
            self.admission.doubt(now)
        elif isinstance(error, NotSent) and not pace.pause(now):  # those who failed together count once
            if not self._unreached:
                log.warning("endpoint.unreachable", reason=error.message)
            pace.hold(now + min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._unreached))
            self._unreached = min(self._unreached + 1, 10)

    def _got_through(self) -> None:
        if self._unreached:
            log.info("endpoint.reachable")
            self._unreached = 0


def _records(request: Request | Batch) -> int:
    return len(request.requests) if isinstance(request, Batch) else 1


def estimated_tokens(request: Request | Batch) -> int:
    """Guess the text tokens that a request will use: a quarter of its characters, and the most it may answer."""
    if isinstance(request, Batch):
        return sum(map(estimated_tokens, request.requests))
    if request.kind == "embeddings":
        return len(request.text or "") // 4
    characters = len(request.text or "")
    for message in request.messages:
        characters += len(message.content) if isinstance(message.content, str) else 1000
    allowed = request.parameters.get("max_completion_tokens") or request.parameters.get("max_tokens")
    return characters // 4 + (allowed if isinstance(allowed, int) else 256)


def _ending(error: ProviderError) -> Ending:
    """Say what a failed attempt tells about the endpoint's load."""
    if isinstance(error, RateLimited):
        return "rate_limited"
    if isinstance(error, RejectedRequest | RejectedBatch):
        return "rejected"
    if isinstance(error, Unavailable) or (isinstance(error, Ambiguous) and error.status is None):
        return "overloaded"
    return "overloaded" if error.code == "connect_timeout" else "failed"
