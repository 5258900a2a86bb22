"""One run: four stages wired together, from opened parts to the last commit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from streamproc.cache.manager import CacheManager
from streamproc.control.batch_size import BatchSizeOptimizer
from streamproc.control.retries import RetryPolicy
from streamproc.errors import ProviderStop, StreamprocError, first_of
from streamproc.flow.batching import Batcher
from streamproc.flow.channel import Inbox, Outbox, open_channel
from streamproc.flow.flights import Flights
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.ledger import Ledger
from streamproc.flow.meter import Meter, Snapshot
from streamproc.flow.stage import Feed, Handler, Stage
from streamproc.flow.tokens import TokenPool
from streamproc.llm.batches import Batches
from streamproc.llm.completer import BatchCompleter, Completer
from streamproc.llm.endpoint import Endpoint
from streamproc.llm.health import Health
from streamproc.monitoring.process import ProcessMemory
from streamproc.pipeline.assembly import admission
from streamproc.pipeline.batch_call import BatchCallHandler
from streamproc.pipeline.batch_sizing import AdaptiveSize, keep_size
from streamproc.pipeline.cache_figures import measure_cache
from streamproc.pipeline.cache_lookup import CacheLookupHandler
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.landing import Answer, Landing
from streamproc.pipeline.llm_call import LlmCallHandler
from streamproc.pipeline.report import Ending
from streamproc.pipeline.sink import InOrder, SinkHandler
from streamproc.pipeline.source import SourceFeed, SourceHandler
from streamproc.pipeline.supervisor import Supervisor, Watcher
from streamproc.pipeline.task import Call, Task
from streamproc.records import Checkpoint, Envelope, Outcome
from streamproc.sinks.sink import Sink
from streamproc.sources.source import Source

CHANNEL_BATCHES = 4
"""Batches that wait before the lookup and the model. What bounds memory is the ledger; as many outcomes as it holds may
wait for the sink, so that calls which end while it writes go on at once."""
BATCH_LINGER_SECONDS = 0.02
"""How long a first text waits for others to share its request: less than a request takes."""
SINK_BATCH = 1000
SINK_LINGER_SECONDS = 0.02
"""How long a first outcome waits for company: a commit costs three flushes however many rows it holds."""


class Parts(Struct, frozen=True):
    """What a run works with; opened before it begins, closed after it ends by whoever opened it.

    Attributes:
        config: sizes and limits.
        task: what is asked and what becomes of it.
        source: where records come from.
        sink: where outcomes go.
        ordered: whether the sink wants the order of the input.
        cache: paid answers; `None` to keep none.
        completer: does the calls.
        checkpoint: what earlier runs delivered.
        limit: most records to accept; `None` for all.
    """

    config: PipelineConfig
    task: Task[Any]
    source: Source
    sink: Sink
    ordered: bool
    cache: CacheManager[Answer] | None
    completer: Completer
    checkpoint: Checkpoint | None
    limit: int | None = None


class Run:
    """Source, cache lookup, model call and sink as four stages around one ledger.

    Attributes:
        meter: the figures.
        halt: ends the run early.

    Args:
        parts: what it works with.
        watchers: called with a snapshot each second.
    """

    def __init__(self, parts: Parts, watchers: Sequence[Watcher] = ()) -> None:
        config = parts.config
        clock = asyncio.get_running_loop().time
        self.meter = Meter(clock)
        self.halt = Halt()
        self._ledger = Ledger(config.span, parts.checkpoint)
        self._admission = admission(config)
        self._pool = TokenPool(self._admission.limit)
        asked = _asked(config, parts.completer)
        self._batched = isinstance(asked, Batches)
        self._endpoint: Endpoint[Any, Any] = Endpoint(
            asked,
            Health(config.llm.unreachable_seconds, RetryPolicy().backoff.longest_hint_seconds, clock),
            self.meter,
            self.halt,
            clock,
            self._admission,
            self._pool.resize,
            timeout_seconds=config.llm.timeout_seconds,
        )
        self._ends: list[Inbox[Any] | Outbox[Any]] = []
        self._stages = self._wire(parts)
        self._supervisor = Supervisor(self.meter, watchers)

    def _wire(self, parts: Parts) -> list[Stage[Any]]:
        config, meter = parts.config, self.meter
        size = config.batch_processing.max_size if self._batched else config.batch_processing.initial_size
        to_lookup: Outbox[Envelope]
        to_model: Outbox[Call]
        to_sink: Outbox[Outcome]
        to_lookup, records = open_channel("records", CHANNEL_BATCHES)
        to_model, calls = open_channel("calls", CHANNEL_BATCHES)
        to_sink, outcomes = open_channel("outcomes", self._ledger.capacity)
        lookup_to_sink, model_to_sink = to_sink.clone(), to_sink.clone()
        flights: Flights[Envelope] = Flights()
        landing = Landing(parts.task, flights, meter)
        run_id = parts.sink.run_id
        feed = SourceFeed(parts.source, self._ledger, self.halt, size, parts.limit)
        delivery: Batcher[Outcome] = Batcher(outcomes, SINK_BATCH, SINK_LINGER_SECONDS)
        due: Feed[Outcome] = InOrder(delivery, self._ledger) if parts.ordered else delivery
        batches, handler = self._model_call(parts, calls, landing, model_to_sink)
        self._ends += [records, calls, outcomes, to_lookup, to_model, to_sink, lookup_to_sink, model_to_sink]
        self._measure([records, calls, outcomes])
        if parts.cache is not None:
            measure_cache(meter, parts.cache)
        return [
            Stage("source", feed, TokenPool(1), SourceHandler(to_lookup, to_sink, meter), [to_lookup, to_sink]),
            Stage(
                "cache_lookup",
                Batcher(records, config.batch_processing.max_size),  # without linger: what is there
                TokenPool(1),
                CacheLookupHandler(
                    parts.task,
                    flights,
                    parts.cache,
                    landing,
                    to_model,
                    lookup_to_sink,
                    meter,
                    run_id,
                    config.cache.share_samples,
                ),
                [to_model, lookup_to_sink],
            ),
            Stage("llm_call", batches, self._pool, handler, [model_to_sink]),
            Stage("sink", due, TokenPool(1), SinkHandler(parts.sink, parts.source, self._ledger, meter)),
        ]

    def _model_call(
        self, parts: Parts, calls: Inbox[Call], landing: Landing, outcomes: Outbox[Outcome]
    ) -> tuple[Batcher[Call], Handler[Call]]:
        """Make the parts of the model's stage: one call at a time, or as many as share a request."""
        config, clock = parts.config, asyncio.get_running_loop().time
        policy = RetryPolicy(config.llm.max_attempts, config.llm.ambiguous_retries)
        dice = random.Random()  # noqa: S311 - spreads retries; nobody gains by guessing it
        common = (
            self._endpoint,
            policy,
            parts.cache,
            landing,
            outcomes,
            self.halt,
            self.meter,
            parts.sink.run_id,
            dice,
        )
        if not self._batched:
            return Batcher(calls, 1), LlmCallHandler(*common)
        sizes = config.batch_processing
        batcher = Batcher(calls, sizes.initial_size, BATCH_LINGER_SECONDS)
        self.meter.gauge("llm_call_batch_size", lambda: batcher.size)
        if not sizes.adaptive_sizing:
            return batcher, BatchCallHandler(*common, clock, keep_size)
        optimizer = BatchSizeOptimizer(sizes.initial_size, sizes.min_size, sizes.max_size)
        return batcher, BatchCallHandler(*common, clock, AdaptiveSize(optimizer, batcher))

    def _measure(self, inboxes: Sequence[Inbox[Any]]) -> None:
        meter, pool, memory = self.meter, self._pool, ProcessMemory()
        for inbox in inboxes:
            meter.gauge(f"{inbox.name}_queued", lambda inbox=inbox: inbox.queued)  # type: ignore[misc]  # mypy#12557
        meter.gauge("records_in_flight", lambda: self._ledger.in_flight)
        meter.gauge("records_span", lambda: self._ledger.span)
        meter.gauge("llm_call_permits", lambda: pool.size)
        meter.gauge("llm_call_permits_in_use", lambda: pool.in_use)
        meter.gauge("llm_call_permits_waiting", lambda: pool.waiting)
        meter.gauge("llm_call_peak_permits", lambda: pool.peak_in_use)
        meter.gauge("process_resident_bytes", memory.resident_bytes)

    async def execute(self) -> Ending:
        """Work until the source ends or a halt is done with, and everything that has an outcome is committed.

        Raises:
            ProviderStop: the provider ended it; what was answered is committed.
            StorageFailed, Refused: a part failed; nothing after the last commit is claimed.
            StreamprocError: records were lost inside, which no run should ever see.
        """
        try:
            async with asyncio.TaskGroup() as group:
                supervisor = group.create_task(self._supervisor.run())
                async with asyncio.TaskGroup() as stages:
                    for stage in self._stages:
                        stages.create_task(stage.run(), name=f"streamproc {stage.name}")
                supervisor.cancel()
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            for end in self._ends:
                end.close()
        self._supervisor.tick()
        if isinstance(self.halt.cause, ProviderStop):
            raise self.halt.cause
        if self.halt.requested:
            return "drained"
        if self._ledger.in_flight:
            raise StreamprocError(f"{self._ledger.in_flight} records have no outcome; the same command continues")
        return "finished"

    def drain(self) -> None:
        """Read no more and send no more; end when the calls under way are delivered."""
        self.halt.request(Drain.REQUESTED)

    def abort(self) -> None:
        """End the calls under way too; what has arrived is delivered."""
        self.drain()
        self._endpoint.abort()

    def snapshot(self) -> Snapshot:
        """Give the figures of this moment."""
        return self.meter.snapshot()


def _asked(config: PipelineConfig, completer: Completer) -> Completer | Batches:
    """Have texts asked many at a time, by a completer that can do that."""
    if config.llm.endpoint != "chat_completions" and isinstance(completer, BatchCompleter):
        return Batches(completer)
    return completer
