"""Parts that fail on purpose: scripted models, and crashes at chosen moments.

A crash is a `BaseException`, so nothing on its way can mistake it for an error to be handled. Nothing is cleaned up
that a killed process would not have cleaned up: no commit, no flush.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import anyio

from streamproc.cache.backend import CacheBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.completions import Completion, Request, Usage
from streamproc.records import Checkpoint, Outcome, Position, RunIdentity
from streamproc.sinks.sink import Sink, Tally


class Crash(BaseException):
    """The process dies here."""


class CrashPlan:
    """Counts the moments at which a process could die, and dies at one of them.

    Args:
        at: which moment, from 0; `None` never to die.
    """

    def __init__(self, at: int | None = None) -> None:
        self._at = at
        self.moments = 0

    def moment(self) -> None:
        """Pass a moment, or die."""
        moment, self.moments = self.moments, self.moments + 1
        if moment == self._at:
            raise Crash


class ScriptedCompleter:
    """A model that answers as a function says, after as long as another says, and keeps account of what it billed.

    Args:
        answer: gives the text for a request and which attempt at it this is, from 1; or raises a `ProviderError`.
        seconds: how long an attempt takes.
    """

    def __init__(
        self, answer: Callable[[Request, int], str], seconds: Callable[[Request, int], float] = lambda *_: 1.0
    ) -> None:
        self._answer = answer
        self._seconds = seconds
        self.attempts: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0

    async def complete(self, request: Request) -> Completion:
        """Answer once."""
        key = request.fingerprint()
        self.attempts[key] += 1
        attempt = self.attempts[key]
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await anyio.sleep(self._seconds(request, attempt))
            text = self._answer(request, attempt)
        finally:
            self.in_flight -= 1
        self.billed[key] += 1
        return Completion(text=text, model=request.model, finish_reason="stop", usage=Usage(3, 1))


class CrashingBackend(CacheBackend):
    """A back end around which the process may die: before a write, and after it."""

    def __init__(self, inner: CacheBackend, plan: CrashPlan) -> None:
        self._inner = inner
        self._plan = plan

    async def open(self) -> None:
        await self._inner.open()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._inner.get_many(keys)

    async def look_behind(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._inner.look_behind(keys)

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        self._plan.moment()
        await self._inner.put_many(items, ttl=ttl)
        self._plan.moment()

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many(keys)

    async def delete_prefix(self, prefix: str) -> None:
        await self._inner.delete_prefix(prefix)

    async def clear(self) -> None:
        await self._inner.clear()

    def metrics(self) -> CacheMetrics:
        return self._inner.metrics()

    async def aclose(self) -> None:
        await self._inner.aclose()


class CrashingSink(Sink):
    """A sink around which the process may die: before a write is durable, and after it."""

    def __init__(self, inner: Sink, plan: CrashPlan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def run_id(self) -> str:
        return self._inner.run_id

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        self._plan.moment()
        return await self._inner.open(run)

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        self._plan.moment()
        await self._inner.write(outcomes, checkpoint)
        self._plan.moment()

    async def digests(self, positions: Sequence[Position]) -> Sequence[bytes | None]:
        return await self._inner.digests(positions)

    async def tally(self) -> Tally:
        return await self._inner.tally()

    async def aclose(self) -> None:
        await self._inner.aclose()
