"""The pipeline as its user holds it: run it from a configuration, or stream records through it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio

from streamproc._log import log
from streamproc.cache.backend import CacheBackend
from streamproc.errors import ConfigError, ProviderStop, Refused, StreamprocError
from streamproc.flow.meter import Snapshot
from streamproc.flow.stage import cancelled_by_others_only
from streamproc.llm.completer import Completer
from streamproc.llm.deadlines import Deadlines
from streamproc.monitoring.configured_webhook import webhook_from
from streamproc.monitoring.listeners import AlertListener
from streamproc.pipeline import assembly
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.debug_log import told
from streamproc.pipeline.open_files import within_open_files
from streamproc.pipeline.parts import Parts
from streamproc.pipeline.report import Ending, RunReport, log_end, report_of
from streamproc.pipeline.run import Run
from streamproc.pipeline.stream import OutcomeStream
from streamproc.pipeline.supervisor import Watcher
from streamproc.pipeline.task import Task, keeping_records, prompt_task, with_plain_values
from streamproc.pipeline.vigil import keeping_watch
from streamproc.sinks.sink import Sink, Tally
from streamproc.sources.memory import Item, MemorySource
from streamproc.sources.source import Source, never_delivered


class DataProcessingPipeline:
    """Send records through a model, each exactly once.

    Args:
        config: sizes, limits, and whatever is not given here.
        task: what is asked and what becomes of it; without it `llm.prompt` is asked and the answer's text kept.
        source: in place of the configured one.
        sink: in place of the configured one.
        completer: in place of a client of `llm.base_url`. An asynchronous context manager is entered and left.
        cache: keeps paid answers in place of the configured back end; the caller opens and closes it.
        on_alert: told of alerts, on the event loop.

    Raises:
        ConfigError: there is neither a task nor a prompt, or the prompt is malformed.
    """

    def __init__(
        self,
        config: PipelineConfig,
        *,
        task: Task[Any] | None = None,
        source: Source | None = None,
        sink: Sink | None = None,
        completer: Completer | None = None,
        cache: CacheBackend | None = None,
        on_alert: AlertListener | None = None,
    ) -> None:
        self.config = config
        self._task = prompt_task(config.llm) if task is None else keeping_records(task)
        self._source = source
        self._sink = sink
        self._completer = completer
        self._cache = cache
        self._listeners = [on_alert] if on_alert is not None else []
        self._run: Run | None = None
        self._draining = False
        self._idle = anyio.Event()
        self._idle.set()
        self._report: RunReport | None = None
        self._last: Snapshot | None = None
        self._children: asyncio.TaskGroup | None = None
        self._stream: OutcomeStream | None = None

    async def run(self, *, limit: int | None = None, watchers: Sequence[Watcher] = ()) -> RunReport:
        """Work through the source until its end, or until `drain` is called.

        A run that was stopped, however it was, is continued; one that is finished does nothing.

        Args:
            limit: most records to accept this time; `None` for all.
            watchers: called with a snapshot each second.

        Raises:
            ConfigError: source or sink are missing, or cannot be made.
            Refused: the output belongs to other work, is damaged or in use, or delivered input has changed.
            ProviderStop: the provider ended the run; `report` tells how far it came.
            StorageFailed: a disk failed.
        """
        source, sink = self._parts()
        return await self._execute(source, sink, with_plain_values(self._task), limit, watchers)

    async def check(self) -> None:
        """Find out, changing nothing and using no network, whether `run` could begin: parts can be made and input read.

        Raises:
            ConfigError: source or sink are missing, or cannot be made or read.
            Refused: two records have the same id, or the cache is another program's file.
        """
        source, _ = self._parts()
        if self._completer is None:
            assembly.completer(self.config.llm, self.config.resources.max_concurrent)
        if self._cache is None:
            assembly.check_cache(self.config)
        webhook_from(self.config.alerts, os.getenv)
        async with source:
            await source.open(None, never_delivered)

    def _parts(self) -> tuple[Source, Sink]:
        source, sink = self._source, self._sink
        if source is None:
            if self.config.source is None:
                raise ConfigError("source: is required to run; stream() takes records instead")
            source = self.config.source.build()
        if sink is None:
            if self.config.sink is None:
                raise ConfigError("sink: is required to run; stream() gives outcomes instead")
            sink = self.config.sink.build()
        return source, sink

    def stream(self, records: Iterable[Item] | AsyncIterable[Item]) -> OutcomeStream:
        """Send records through, and give their outcomes as they come, in order of completion.

        Nothing is kept that is not on its way: records are read as outcomes are taken. Use it inside `async with` on
        the pipeline. A further call ends the stream before it.

        Args:
            records: `Record`s, or mappings, which get their ordinal as id; any iterable, asynchronous or not.
        """
        if self._children is None:
            raise StreamprocError("stream() works inside `async with pipeline:`")
        earlier, stream = self._stream, OutcomeStream()
        if earlier is not None:
            earlier.cancel()
        stream.work = self._children.create_task(self._feed(MemorySource(records), stream, earlier))
        self._stream = stream
        return stream

    async def _feed(self, source: Source, stream: OutcomeStream, earlier: OutcomeStream | None) -> None:
        if earlier is not None:
            await earlier.finish()
        error: Exception | None = None
        try:
            with cancelled_by_others_only("stream"):
                await self._execute(source, stream, self._task, None, ())
        except Exception as raised:  # noqa: BLE001 - the border to the caller's iterable; raised where it iterates
            error = raised
        finally:
            stream.end(error)

    async def _execute(
        self, source: Source, sink: Sink, task: Task[Any], limit: int | None, watchers: Sequence[Watcher]
    ) -> RunReport:
        if not self._idle.is_set():
            raise StreamprocError("this pipeline is running already; make another one to run beside it")
        self._idle = anyio.Event()
        started_at = anyio.current_time()
        run: Run | None = None
        before = Tally()
        ending: Ending = "stopped"
        stack = AsyncExitStack()
        try:
            parts = await self._open(stack, source, sink, task, limit)
            before = await sink.tally()
            self._run = run = Run(parts, watchers)
            if self._draining:
                run.drain()
            _log_start(parts, before)
            ending = await run.execute()
        except ProviderStop as stop:
            log.error("run.stopped", status=stop.status, code=stop.code)  # the exception says why
            raise
        except Refused:
            log.error("run.refused")
            raise
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await stack.aclose()
            finally:
                self._run, self._draining = None, False
                self._idle.set()  # before the report: should that fail, the next run is not refused
                if run is not None:
                    self._last = run.snapshot()
                    elapsed = anyio.current_time() - started_at
                    self._report = report_of(ending, self._last, before, elapsed, run.findings())
        assert self._report is not None
        log_end(self._report)
        return self._report

    async def _open(
        self, stack: AsyncExitStack, source: Source, sink: Sink, task: Task[Any], limit: int | None
    ) -> Parts:
        config = self.config
        vigil = await stack.enter_async_context(keeping_watch(config, self._listeners, os.getenv))
        await stack.enter_async_context(sink)
        checkpoint = await sink.open(assembly.identity(config, task, source, config.sink))
        await stack.enter_async_context(source)
        await source.open(checkpoint, sink.digests)
        if self._cache is not None:
            cache = assembly.answers_cache(config.cache, self._cache)
        else:
            cache = assembly.answers_cache(config.cache, assembly.answers_backend(config, sink.home))
            if cache is not None:
                await stack.enter_async_context(cache)
        completer = self._completer
        if completer is None:
            config = within_open_files(config)
            completer = assembly.completer(config.llm, config.resources.max_concurrent)
        if isinstance(completer, AbstractAsyncContextManager):
            await stack.enter_async_context(completer)
        ordered = config.sink.ordered if config.sink is not None else False
        return told(Parts(config, task, source, sink, ordered, cache, completer, checkpoint, limit, vigil))

    @property
    def report(self) -> RunReport | None:
        """The report of the last run, also of one that raised; `None` before the first."""
        return self._report

    @property
    def under_way(self) -> bool:
        """Tell whether records may be on their way: not before everything is opened, nor once it is closed."""
        return self._run is not None

    def snapshot(self) -> Snapshot:
        """Give the figures of this moment, or of the last run's end.

        Raises:
            StreamprocError: nothing has run yet.
        """
        if self._run is not None:
            return self._run.snapshot()
        if self._last is None:
            raise StreamprocError("nothing has run yet")
        return self._last

    async def drain(self) -> None:
        """End the run softly: read no more, send no more, deliver what is under way, and wait for that.

        Calls that take longer than `drain_seconds` are ended; their records are left to the next run. Never touches the
        host's signal handlers. Does nothing when nothing runs.
        """
        if self._idle.is_set():
            return
        self._draining = True
        if self._run is not None:
            self._run.drain()
        deadlines = Deadlines(self.config.drain_seconds)  # in which a stall does not count: it would cost paid answers
        with deadlines.start():
            await self._idle.wait()
            return
        self.abort()
        if self._stream is not None:
            self._stream.cancel()  # it may wait for the very consumer that waits here
        await self._idle.wait()

    def abort(self) -> None:
        """End the run now: calls under way are ended, what has arrived is delivered. Does nothing when nothing runs."""
        if self._idle.is_set():
            return
        self._draining = True
        if self._run is not None:
            self._run.abort()

    async def __aenter__(self) -> Self:
        self._children = asyncio.TaskGroup()
        await self._children.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        children, self._children = self._children, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
        if children is not None:
            await children.__aexit__(kind, error, trace)
        if stream is not None:
            await stream.finish()


def _log_start(parts: Parts, before: Tally) -> None:
    delivered = before.completed + before.failed
    event = "run.resumed" if delivered else "run.started"
    llm = parts.config.llm
    log.info(event, model=llm.model, endpoint=llm.address, concurrency=parts.config.fixed_concurrency, done=delivered)
