"""Four stages wired together: channels between them, one ledger around them, and the knobs that they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from streamproc.control.batch_size import BatchSizeOptimizer
from streamproc.control.retries import RetryPolicy
from streamproc.flow.batching import Batcher
from streamproc.flow.channel import Inbox, Outbox, open_channel
from streamproc.flow.flights import Flights
from streamproc.flow.halt import Halt
from streamproc.flow.ledger import Ledger
from streamproc.flow.meter import Meter
from streamproc.flow.stage import Feed, Stage
from streamproc.flow.storage_pause import StoragePause
from streamproc.flow.tokens import TokenPool
from streamproc.llm.batches import Batches
from streamproc.llm.endpoint import Endpoint
from streamproc.llm.health import Health
from streamproc.monitoring.process import ProcessMemory
from streamproc.pipeline.assembly import admission, asked
from streamproc.pipeline.batch_sizing import AdaptiveSize, Observe, keep_size
from streamproc.pipeline.cache_figures import measure_cache
from streamproc.pipeline.cache_lookup import CacheLookupHandler
from streamproc.pipeline.knobs import Knob
from streamproc.pipeline.landing import Landing
from streamproc.pipeline.model_stage import ModelStage
from streamproc.pipeline.paid_answers import PaidAnswers
from streamproc.pipeline.parts import Parts
from streamproc.pipeline.sink import InOrder, SinkHandler
from streamproc.pipeline.source import SourceFeed, SourceHandler
from streamproc.pipeline.task import Call
from streamproc.records import Envelope, Outcome

CHANNEL_BATCHES = 4
"""Batches that wait before the lookup and the model. What bounds memory is the ledger; as many outcomes as it holds may
wait for the sink, so that calls which end while it writes go on at once."""
SINK_BATCH = 1000
SINK_LINGER_SECONDS = 0.02
"""How long a first outcome waits for company: a commit costs three flushes however many rows it holds."""
BATCH_STEP = 0.25
"""Smaller changes of a batch size are not worth a line in the log."""


class Wiring:
    """The stages of a run, and what the rest of it holds on to.

    Attributes:
        ledger: bounds the records on their way.
        endpoint: makes attempts.
        feed: reads.
        stages: from source to sink.
        ends: of all channels, to be closed at the end.
        knobs: of the stages.
        headroom: gives how much memory is free, 0 to 1; asked after each batch.

    Args:
        parts: what the run works with.
        meter: gets the figures.
        halt: ends the run early.
    """

    def __init__(self, parts: Parts, meter: Meter, halt: Halt) -> None:
        config, clock = parts.config, meter.clock
        self.ledger = Ledger(config.span, parts.checkpoint)
        self.knobs: list[Knob] = []
        self.ends: list[Inbox[Any] | Outbox[Any]] = []
        self._meter = meter
        self.headroom: Callable[[], float] = lambda: 1.0
        allowed = admission(config)
        self._pool = TokenPool(allowed.limit)
        sender = asked(config, parts.completer)
        self.endpoint: Endpoint[Any, Any] = Endpoint(
            sender,
            Health(config.llm.unreachable_seconds, RetryPolicy().backoff.longest_hint_seconds, clock),
            meter,
            halt,
            clock,
            allowed,
            self._pool.resize,
            timeout_seconds=config.llm.timeout_seconds,
        )
        self._pause = StoragePause(halt, lambda: self.endpoint.admission.in_flight > 0)
        self.stages = self._wire(parts, halt, batched=isinstance(sender, Batches))

    def _wire(self, parts: Parts, halt: Halt, *, batched: bool) -> list[Stage[Any]]:
        config, meter, ledger = parts.config, self._meter, self.ledger
        sizes = config.batch_processing
        to_lookup: Outbox[Envelope]
        to_model: Outbox[Call]
        to_sink: Outbox[Outcome]
        to_lookup, records = open_channel("records", CHANNEL_BATCHES)
        to_model, calls = open_channel("calls", CHANNEL_BATCHES)
        to_sink, outcomes = open_channel("outcomes", ledger.capacity)
        lookup_to_sink, model_to_sink = to_sink.clone(), to_sink.clone()
        flights: Flights[Envelope] = Flights()
        landing = Landing(parts.task, flights, meter)
        answers = None if parts.cache is None else PaidAnswers(parts.cache, parts.sink.run_id, self._pause)
        model = ModelStage(parts, self.endpoint, answers, landing, model_to_sink, halt, meter, self._pause)
        read_at_a_time = sizes.max_size if batched else sizes.initial_size
        self.feed = feed = SourceFeed(parts.source, ledger, halt, read_at_a_time, parts.limit, self._pause, meter.clock)
        lookups = Batcher(records, sizes.max_size)  # without linger: what is there
        delivery: Batcher[Outcome] = Batcher(outcomes, SINK_BATCH, SINK_LINGER_SECONDS)
        due: Feed[Outcome] = InOrder(delivery, ledger) if parts.ordered else delivery
        self.ends += [records, calls, outcomes, to_lookup, to_model, to_sink, lookup_to_sink, model_to_sink]
        self._measure([records, calls, outcomes])
        if parts.cache is not None:
            measure_cache(meter, parts.cache)
        lookup = CacheLookupHandler(
            parts.task,
            flights,
            answers,
            landing,
            to_model,
            lookup_to_sink,
            meter,
            config.cache.share_samples,
            keep_size if batched else self._adapted("source_batch_size", parts, feed.resize, sizes.initial_size),
        )
        if batched:
            texts = model.batcher(calls)
            meter.gauge("llm_call_batch_size", lambda: texts.size)
            handler = model.batch_handler(self._adapted("llm_call_batch_size", parts, texts.resize, sizes.min_size))
            asking: Stage[Any] = Stage("llm_call", texts, self._pool, handler, [model_to_sink])
        else:
            asking = Stage("llm_call", Batcher(calls, 1), self._pool, model.handler(), [model_to_sink])
        return [
            Stage("source", feed, TokenPool(1), SourceHandler(to_lookup, to_sink, meter), [to_lookup, to_sink]),
            Stage("cache_lookup", lookups, TokenPool(1), lookup, [to_model, lookup_to_sink]),
            asking,
            Stage("sink", due, TokenPool(1), SinkHandler(parts.sink, parts.source, ledger, meter, self._pause)),
        ]

    def _adapted(self, name: str, parts: Parts, resize: Callable[[int], None], least: int) -> Observe:
        """Have a batch size follow what batches cost, where the configuration wants that."""
        sizes = parts.config.batch_processing
        if not sizes.adaptive_sizing:
            return keep_size
        optimizer = BatchSizeOptimizer(sizes.initial_size, least, sizes.max_size)
        level: Literal["info", "debug"] = "info" if name.startswith("llm_call") else "debug"
        self.knobs.append(Knob(name, lambda: optimizer.wanted, lambda: optimizer.reason, BATCH_STEP, level))
        return AdaptiveSize(optimizer, resize, lambda: self.headroom())

    def _measure(self, inboxes: Sequence[Inbox[Any]]) -> None:
        meter, pool, memory, allowed = self._meter, self._pool, ProcessMemory(), self.endpoint.admission
        for inbox in inboxes:
            meter.gauge(f"{inbox.name}_queued", lambda inbox=inbox: inbox.queued)  # type: ignore[misc]  # mypy#12557
        meter.gauge("records_in_flight", lambda: self.ledger.in_flight)
        meter.gauge("records_span", lambda: self.ledger.span)
        meter.gauge("records_span_limit", lambda: self.ledger.capacity)
        meter.gauge("llm_call_permits", lambda: pool.size)
        meter.gauge("llm_call_permits_in_use", lambda: pool.in_use)
        meter.gauge("llm_call_permits_waiting", lambda: pool.waiting)
        meter.gauge("llm_call_peak_permits", lambda: pool.peak_in_use)
        meter.gauge("llm_call_in_flight", lambda: allowed.in_flight)
        meter.gauge("records_resting", lambda: self.endpoint.resting)
        meter.gauge("endpoint_unreachable", lambda: self.endpoint.unreachable)
        meter.gauge("writes_blocked", lambda: self._pause.blocked)
        meter.gauge("source_ended", lambda: self.feed.ended)
        meter.gauge("process_resident_bytes", memory.resident_bytes)
