"""A run in every detail, for who looks for a cause: wrappers around its parts, there only while debugging is logged.

A request goes by the first twelve digits of its fingerprint. Of what is asked and answered only the size is told; the
words themselves go to a logger of their own, which is off (`_log.bodies`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from streamproc._log import bodies, debugging, log
from streamproc.cache.manager import CacheManager
from streamproc.completions import Completion, Request, Usage
from streamproc.errors import ProviderError
from streamproc.llm.completer import BatchCompleter, Completer
from streamproc.llm.openai import body_of
from streamproc.llm.rate_limits import RateLimits
from streamproc.llm.redaction import redact
from streamproc.pipeline.paid_answers import Answer
from streamproc.pipeline.parts import Parts
from streamproc.pipeline.task import Task
from streamproc.records import Checkpoint, Failed, Outcome, Position, Record, RecordError, Row, RunIdentity
from streamproc.sinks.sink import Sink, Tally
from streamproc.sources.source import DigestsOf, Source

SHOWN_DIGITS = 12
MOST_REMEMBERED = 10_000
"""Requests whose attempts are counted at a time; the count of one that failed for good is forgotten in its turn."""
USERS_WORDS = frozenset({"render_failed", "parse_failed", "unusable_answer"})
"""Errors whose messages may quote a record or an answer."""


def told(parts: Parts) -> Parts:
    """Give parts that log what they do at debug level; the very same where nobody wants to know."""
    if not debugging():
        return parts
    kind = ToldBatchCompleter if isinstance(parts.completer, BatchCompleter) else ToldCompleter
    return msgspec.structs.replace(
        parts,
        task=_told_task(parts.task),
        source=ToldSource(parts.source),
        sink=ToldSink(parts.sink),
        completer=kind(parts.completer),
    )


def tell_retry(request: Request, error: ProviderError, delay: float, attempts: int) -> None:
    """Log that an attempt is to be made again: after how many seconds, and why."""
    if debugging():
        log.debug(
            "attempt.again",
            request=_digits(request),
            error=error.kind,
            asked_to_wait=error.retry_after,
            delay=round(delay, 3),
            attempts=attempts,
        )


def _digits(request: Request) -> str:
    return request.fingerprint()[:SHOWN_DIGITS]


def _told_task(task: Task[Any]) -> Task[Any]:
    def render(record: Record) -> Request:
        request = task.render(record)
        log.debug("record.rendered", id=record.id, request=_digits(request), call=request.kind)
        return request

    return msgspec.structs.replace(task, render=render)


class ToldCompleter:
    """Log each attempt: what is sent, and how it ends.

    Args:
        completer: makes them.
    """

    def __init__(self, completer: Completer) -> None:
        self._completer = completer
        self._attempts: dict[str, int] = {}

    @property
    def limits(self) -> RateLimits | None:
        """The account's limits, where the completer knows them."""
        return getattr(self._completer, "limits", None)

    @property
    def resent(self) -> int:
        """Requests that the completer sent again by itself, where it counts them."""
        return getattr(self._completer, "resent", 0)

    async def complete(self, request: Request) -> Completion:
        """Ask once, see `Completer`."""
        return (await self._tell([request], lambda: self._alone(request)))[0]

    async def _alone(self, request: Request) -> list[Completion]:
        return [await self._completer.complete(request)]

    async def _tell(self, requests: Sequence[Request], ask: Callable[[], Any]) -> list[Completion]:
        first = _digits(requests[0])
        number = self._attempts.pop(first, 0) + 1
        which = {"request": first, "attempt": number, "texts": len(requests)}
        self._tell_sent(requests, which)
        started_at = anyio.current_time()
        try:
            completions: list[Completion] = await ask()
        except ProviderError as error:
            self._remember(first, number)
            why = {"error": error.kind, "status": error.status, "code": error.code, "reason": error.message}
            log.debug("attempt.failed", **which, **why, seconds=_since(started_at))
            raise
        except BaseException as error:  # told and passed on: the deadline, an interruption, a bug of a completer
            self._remember(first, number)
            log.debug("attempt.failed", **which, error=type(error).__name__, seconds=_since(started_at))
            raise
        usages = [completion.usage for completion in completions]
        usage = Usage(sum(each.prompt_tokens for each in usages), sum(each.completion_tokens for each in usages))
        log.debug(
            "attempt.answered",
            **which,
            finish_reason=completions[0].finish_reason if completions else None,
            seconds=_since(started_at),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
        for completion in completions:
            bodies.debug("body.answered", request=first, body=_text(completion))
        return completions

    def _tell_sent(self, requests: Sequence[Request], which: Mapping[str, Any]) -> None:
        sent = [_text(body_of(request)) for request in requests]
        size = sum(len(text.encode(errors="replace")) for text in sent)
        log.debug("attempt.sent", **which, call=requests[0].kind, bytes=size)
        for text in sent:
            bodies.debug("body.sent", request=which["request"], body=text)

    def _remember(self, name: str, attempts: int) -> None:
        self._attempts[name] = attempts
        if len(self._attempts) > MOST_REMEMBERED:
            del self._attempts[next(iter(self._attempts))]


class ToldBatchCompleter(ToldCompleter):
    """The same for a completer that takes many texts at a time."""

    _completer: BatchCompleter

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        """Ask once for all, see `BatchCompleter`."""
        return await self._tell(requests, lambda: self._completer.complete_many(requests))


class ToldCache(CacheManager[Answer]):
    """Log what lookups find, and what is kept."""

    async def get_many(self, keys: Sequence[str]) -> list[Answer | None]:
        """Look keys up, see `CacheManager`."""
        if not keys:
            return []
        started_at = anyio.current_time()
        found = await super().get_many(keys)
        misses = found.count(None)
        log.debug("cache.looked_up", hits=len(found) - misses, misses=misses, seconds=_since(started_at))
        return found

    async def set_many(self, items: Mapping[str, Answer]) -> None:
        """Keep values, see `CacheManager`."""
        started_at = anyio.current_time()
        await super().set_many(items)
        log.debug("cache.kept", answers=len(items), seconds=_since(started_at))


class ToldSource(Source):
    """Log each reading.

    Args:
        source: is read; opened and closed by whoever did so before.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def identity(self) -> dict[str, str]:
        return self._source.identity

    async def open(self, after: Checkpoint | None, delivered: DigestsOf) -> None:
        """Get ready to read, see `Source`."""
        await self._source.open(after, delivered)

    async def read(self, limit: int) -> Sequence[Row]:
        """Wait for the next rows, see `Source`."""
        started_at = anyio.current_time()
        rows = await self._source.read(limit)
        log.debug("source.read", rows=len(rows), wanted=limit, seconds=_since(started_at))
        return rows

    def remaining(self) -> int | None:
        return self._source.remaining()

    async def acknowledge(self, positions: Sequence[Position]) -> None:
        await self._source.acknowledge(positions)


class ToldSink(Sink):
    """Log each commit, and each record that failed.

    Args:
        sink: is written; opened and closed by whoever did so before.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def home(self) -> Path | None:
        return self._sink.home

    @property
    def run_id(self) -> str:
        return self._sink.run_id

    async def tally(self) -> Tally:
        return await self._sink.tally()

    async def digests(self, positions: Sequence[Position]) -> Sequence[bytes | None]:
        return await self._sink.digests(positions)

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        """Take possession of the output, see `Sink`."""
        return await self._sink.open(run)

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        """Make outcomes and checkpoint durable, see `Sink`."""
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        for outcome in failed:
            _tell_failed(outcome.envelope.record.id, outcome.error, outcome.attempts)
        started_at = anyio.current_time()
        await self._sink.write(outcomes, checkpoint)
        log.debug("sink.committed", rows=len(outcomes), failed=len(failed), seconds=_since(started_at))


def _tell_failed(name: str, error: RecordError, attempts: int) -> None:
    message = error.message.partition(":")[0] if error.type in USERS_WORDS else error.message
    log.debug("record.failed", id=name, type=error.type, reason=message, status=error.status, attempts=attempts)
    if message != error.message:
        bodies.debug("body.blamed", id=name, body=redact(error.message))


def _text(value: Any) -> str:
    try:
        return redact(msgspec.json.encode(value).decode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return redact(repr(value))


def _since(started_at: float) -> float:
    return round(anyio.current_time() - started_at, 4)
