"""Many texts to a request: each record ends once, with its own answer, whatever becomes of those it travelled with."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import (
    BatchConfig,
    Completed,
    Completion,
    DataProcessingPipeline,
    Failed,
    LlmConfig,
    MemorySink,
    MemorySource,
    Message,
    PipelineConfig,
    ProviderStop,
    Request,
    Task,
    Usage,
)
from streamproc.cache.memory import MemoryBackend
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    NotSent,
    ProviderError,
    RateLimited,
    RejectedBatch,
    RejectedRequest,
    Unavailable,
)
from streamproc.flow.flights import Flight
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.pipeline.splitting import Part, Retries, RetryPolicy, parts_of
from streamproc.pipeline.task import Call
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import Crash, CrashingBackend, CrashPlan

TRANSIENT = [Unavailable, RateLimited, NotSent, Ambiguous, BadAnswer]


def vector(text: str) -> tuple[float, ...]:
    return float(len(text)), *(float(byte) for byte in text.encode())


def embedded(text: str) -> Completion:
    return Completion(text="", model="m", finish_reason="stop", usage=Usage(1), embedding=vector(text))


class Embedder:
    """Embeds texts; rejects a batch with a guilty one or more than `limit`; fails at attempts as a script says.

    Attributes:
        sizes: of the batches that were answered.
        asked: how often each text was sent.
        billed: how often each was answered.
        rejected: batches refused.
    """

    def __init__(
        self,
        limit: int = 10**9,
        fault: Callable[[int], type[ProviderError] | None] = lambda _: None,
        seconds: Callable[[int], float] = lambda size: 0.02 + 0.0002 * size,
    ) -> None:
        self.limit = limit
        self.fault = fault
        self.seconds = seconds
        self.attempts = 0
        self.rejected = 0
        self.sizes: list[int] = []
        self.asked: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        return (await self.complete_many([request]))[0]

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        assert len({request.terms for request in requests}) == 1
        texts = [request.text or "" for request in requests]
        self.attempts += 1
        attempt = self.attempts
        self.asked.update(texts)
        await anyio.sleep(self.seconds(len(texts)))
        if (fault := self.fault(attempt)) is not None:
            raise fault("scripted", status=503)
        if len(texts) > self.limit or any(text.startswith("bad") for text in texts):
            self.rejected += 1
            raise RejectedRequest("no", status=413 if len(texts) > self.limit else 400)
        self.sizes.append(len(texts))
        self.billed.update(texts)
        return [
            Completion(text="", model="m", finish_reason="stop", usage=Usage(1), embedding=vector(text))
            for text in texts
        ]


def config(concurrency: int = 4, *, max_attempts: int = 6, **batches: Any) -> PipelineConfig:
    llm = LlmConfig(
        model="m",
        endpoint="embeddings",
        prompt="{{ text }}",
        base_url="http://127.0.0.1:1/v1",
        max_attempts=max_attempts,
        ambiguous_retries=1 if max_attempts <= 6 else max_attempts,
    )
    return PipelineConfig(
        llm=llm,
        concurrency=ConcurrencyConfig(initial=concurrency, adaptive=False),
        batch_processing=BatchConfig(**batches),
    )


def run(model: Any, rows: list[dict[str, Any]], settings: PipelineConfig | None = None, **options: Any) -> MemorySink:
    sink = MemorySink()
    pipeline = DataProcessingPipeline(
        settings or config(), source=MemorySource(rows), sink=sink, completer=model, **options
    )
    run_virtual(pipeline.run())
    return sink


good = st.integers(0, 40).map("t{}".format)
guilty = st.sampled_from(["bad1", "bad2", "bad3"])
rows = st.tuples(st.lists(good, min_size=1, max_size=60), st.lists(guilty, max_size=15)).flatmap(
    lambda lists: st.permutations(lists[0] + lists[1])
)


@settings(max_examples=150)
@given(
    rows,
    st.integers(1, 5),
    st.integers(1, 20),
    st.integers(1, 12),
    st.booleans(),
    st.lists(st.sampled_from([None, None, *TRANSIENT]), max_size=19),
)
def test_each_record_ends_once_with_its_own_answer(
    given: list[str], concurrency: int, size: int, limit: int, adaptive: bool, faults: list[type[ProviderError] | None]
) -> None:
    """Good, guilty and doubled records, requests too large, and failures of any kind at the first attempts: each record
    has one outcome. The good are completed, each with its own vector and paid once; the guilty are dead letters."""
    model = Embedder(limit, lambda attempt: faults[attempt - 1] if attempt <= len(faults) else None)
    job = config(concurrency, max_attempts=50, initial_size=size, max_size=20, adaptive_sizing=adaptive)
    sink = run(model, [{"text": text} for text in given], job)
    assert sorted(outcome.envelope.position for outcome in sink.outcomes) == list(range(len(given)))
    for outcome in sink.outcomes:
        text = outcome.envelope.record.data["text"]
        assert isinstance(outcome, Failed) == text.startswith("bad")
        assert 0 <= outcome.attempts <= model.asked[text]
        if isinstance(outcome, Completed):
            assert outcome.value == list(vector(text))
        else:
            assert outcome.error.type == "rejected"
    assert set(model.billed.values()) <= {1}
    assert model.billed.keys() == {text for text in given if not text.startswith("bad")}
    assert max(model.sizes) <= min(limit, 20)


def test_the_guilty_is_found_and_the_others_complete() -> None:
    """One record that the endpoint rejects costs a batch of 64 six more rejections, one dead letter and no other."""
    rows = [{"text": "bad" if number == 37 else f"t{number}"} for number in range(64)]
    model = Embedder()
    sink = run(model, rows, config(1, initial_size=64, max_size=64, adaptive_sizing=False))
    (failed,) = sink.failed
    assert (failed.envelope.position, failed.error.type, failed.error.status) == (37, "rejected", 400)
    assert failed.attempts == 7
    assert model.rejected == 7
    assert sorted(model.sizes) == [1, 2, 4, 8, 16, 32]
    assert {outcome.attempts for outcome in sink.completed if outcome.envelope.position < 32} == {2}


def test_requests_that_are_too_large_become_smaller() -> None:
    """Where the endpoint takes at most 16 texts a request, sizes settle below that, and nobody is a dead letter."""
    model = Embedder(limit=16)
    sink = run(model, [{"text": f"t{number}"} for number in range(4000)], config(4, initial_size=10, max_size=500))
    assert len(sink.completed) == 4000
    assert model.rejected <= 0.1 * model.attempts
    assert sum(model.sizes) / len(model.sizes) >= 8


def test_what_may_have_been_paid_is_not_tried_beyond_its_retries() -> None:
    """Two ambiguous failures give a batch up, each of its records with both attempts; nobody is asked a third time."""
    model = Embedder(fault=lambda _: Ambiguous)
    sink = run(model, [{"text": f"t{number}"} for number in range(6)], config(1, initial_size=6))
    assert {(outcome.error.type, outcome.attempts) for outcome in sink.failed} == {("ambiguous", 2)}
    assert len(sink.failed) == 6
    assert set(model.asked.values()) == {2}


def test_a_record_at_which_the_endpoint_fails_takes_no_others_with_it() -> None:
    """Where one text makes the endpoint answer 500 each time, that one is the dead letter."""

    class Fragile(Embedder):
        async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
            if any(request.text == "t5" for request in requests):
                self.attempts += 1
                raise Unavailable("it fell over", status=500)
            return await super().complete_many(requests)

    model = Fragile()
    sink = run(model, [{"text": f"t{number}"} for number in range(16)], config(1, initial_size=16, max_attempts=3))
    (failed,) = sink.failed
    assert (failed.envelope.record.data["text"], failed.error.type) == ("t5", "unavailable")
    assert failed.attempts == 3 + 4


@pytest.mark.parametrize("size", [1, 100, 500])
def test_batches_fill_where_there_is_a_backlog(size: int) -> None:
    """With more records than can be asked at once, requests carry as many as they may, to the last."""
    model, count = Embedder(), 40 * size
    job = config(8, initial_size=size, max_size=500, adaptive_sizing=False)
    run(model, [{"text": f"t{number}"} for number in range(count)], job)
    assert model.sizes == [size] * 40


def test_an_idle_permit_waits_for_company() -> None:
    """Texts that come one a millisecond share requests, though there is leave to send each alone."""

    async def steadily() -> Any:
        for number in range(200):
            yield {"text": f"t{number}"}
            await anyio.sleep(0.001)

    async def main() -> None:
        async with DataProcessingPipeline(config(8), completer=model) as pipeline:
            async for _ in pipeline.stream(steadily()):
                pass

    model = Embedder()
    run_virtual(main())
    assert sum(model.sizes) == 200
    assert len(model.sizes) <= 40


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_permit_is_held_until_its_answers_are_kept(concurrency: int) -> None:
    """Requests under way and answers on their way to the cache are never more than permits; each batch is one write."""
    present = peak = writes = 0

    class Slow(MemoryBackend):
        async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
            nonlocal present, peak, writes
            present += 1
            writes += 1
            peak = max(peak, present + model.in_flight)
            await anyio.sleep(3)
            await super().put_many(items, ttl=ttl)
            present -= 1

    class Watched(Embedder):
        in_flight = 0

        async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
            self.in_flight += 1
            try:
                return await super().complete_many(requests)
            finally:
                self.in_flight -= 1

    model = Watched(seconds=lambda _: 1.0)
    job = config(concurrency, initial_size=10, adaptive_sizing=False)
    run(model, [{"text": f"t{number}"} for number in range(100)], job, cache=Slow(10**9))
    assert (peak, writes) == (concurrency, 10)


def test_texts_that_trickle_do_not_wait_for_others() -> None:
    """A record whose successor is far away is asked about within a fraction of a second."""

    async def slowly() -> Any:
        for number in range(5):
            yield {"text": f"t{number}"}
            await anyio.sleep(10)

    async def main() -> list[float]:
        model = Embedder(seconds=lambda _: 0.5)
        pipeline = DataProcessingPipeline(config(), completer=model)
        came = []
        async with pipeline:
            async for _ in pipeline.stream(slowly()):
                came.append(anyio.current_time())
        return came

    assert run_virtual(main()) == pytest.approx([0.5, 10.5, 20.5, 30.5, 40.5], abs=0.2)


def test_requests_of_unlike_terms_never_travel_together() -> None:
    """A task whose records ask for unlike parameters, and some for a conversation, gets them in calls of their
    own; each has its own answer."""

    class Both(Embedder):
        async def complete(self, request: Request) -> Completion:
            if request.text is None:
                return Completion(text="hello", model="m", finish_reason="stop", usage=Usage(1, 1))
            return await super().complete(request)

    def render(record: Any) -> Request:
        number = int(record.id)
        if number % 3 == 2:
            return Request(deployment="d", model="m", messages=(Message("user", "hi"),), draw=record.id)
        terms = {"dimensions": number % 3}
        return Request(deployment="d", model="m", kind="embeddings", text=f"t{number}", parameters=terms)

    task = Task(render, lambda completion: completion.text or list(completion.embedding or ()))
    sink = run(Both(), [{"n": number} for number in range(30)], config(2), task=task)
    for outcome in sink.completed:
        number = int(outcome.envelope.record.id)
        assert outcome.value == ("hello" if number % 3 == 2 else list(vector(f"t{number}")))
    assert len(sink.completed) == 30


def test_a_completer_that_knows_no_batches_is_asked_one_by_one() -> None:
    """A completer of one's own needs only `complete`, for embeddings, too."""

    class Single:
        async def complete(self, request: Request) -> Completion:
            return embedded(request.text or "")

    sink = run(Single(), [{"text": f"t{number}"} for number in range(30)])
    assert [outcome.value for outcome in sink.completed] == [list(vector(f"t{n}")) for n in range(30)]


def test_doubled_records_share_an_answer() -> None:
    """Equal texts are sent once, and only one of their records says that it paid."""
    model = Embedder()
    sink = run(model, [{"text": f"t{number % 10}"} for number in range(100)])
    assert set(model.asked.values()) == {1}
    assert Counter(outcome.origin for outcome in sink.completed) == {"model": 10, "cache": 90}


@pytest.mark.parametrize("moment", range(6))
def test_after_a_crash_what_was_kept_is_not_paid_again(moment: int) -> None:
    """A batch's answers are kept together, before its permit is given back: a crash re-pays at most those under way."""
    store, model = MemoryBackend(10**9), Embedder()
    rows = [{"text": f"t{number}"} for number in range(60)]
    with pytest.raises(Crash):
        run(model, rows, config(2, initial_size=10), cache=CrashingBackend(store, CrashPlan(moment)))
    sink = run(model, rows, config(2, initial_size=10), cache=store)
    assert len(sink.completed) == 60
    assert sum(model.billed.values()) - 60 <= 2 * 20
    if moment == 1:  # just after the first batch was kept
        assert all(model.billed[f"t{number}"] == 1 for number in range(10))


def test_only_whole_and_storable_answers_serve_others() -> None:
    """Of a batch, what cannot be stored is delivered all the same, what is empty belongs to its run, and the others are
    found again: a second run asks for those two only."""

    class Odd(Embedder):
        async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
            odd = {"t3": {"embedding": None, "text": "half \ud800"}, "t5": {"embedding": ()}}
            return [
                msgspec.structs.replace(answer, **odd.get(request.text or "", {}))
                for request, answer in zip(requests, await super().complete_many(requests), strict=True)
            ]

    store, model = MemoryBackend(10**9), Odd()
    texts = [{"text": f"t{number}"} for number in range(10)]
    for times in (1, 2):
        sink = run(model, texts, config(1), cache=store)
        assert len(sink.completed) == 9
        (failed,) = sink.failed
        assert (failed.error.type, failed.envelope.position) == ("unusable_answer", 5)
        assert model.billed == {f"t{number}": times if number in {3, 5} else 1 for number in range(10)}


def test_a_stop_leaves_the_rest_undone() -> None:
    """A key that is refused ends the run; nobody becomes a dead letter."""
    sink = MemorySink()
    model = Embedder(fault=lambda attempt: ProviderStop if attempt == 3 else None)
    rows = [{"text": f"t{number}"} for number in range(100)]
    pipeline = DataProcessingPipeline(
        config(1, initial_size=10, adaptive_sizing=False), source=MemorySource(rows), sink=sink, completer=model
    )
    with pytest.raises(ProviderStop):
        run_virtual(pipeline.run())
    assert (len(sink.completed), len(sink.failed)) == (20, 0)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("kind", [None, *TRANSIENT])
def test_a_drain_ends_within_the_batch(count: int, kind: type[ProviderError] | None) -> None:
    """Once the end is asked for, a batch that fails is not pursued, and its records are left to the next run."""
    sink = MemorySink()
    model = Embedder(seconds=lambda _: 10.0, fault=lambda _: kind)
    rows = [{"text": "bad"}, *({"text": f"t{number}"} for number in range(count - 1))]

    async def main() -> Any:
        pipeline = DataProcessingPipeline(
            config(1, max_attempts=1), source=MemorySource(rows), sink=sink, completer=model
        )
        async with asyncio.TaskGroup() as group:
            work = group.create_task(pipeline.run())
            await anyio.sleep(5)
            await pipeline.drain()
        return work.result()

    report = run_virtual(main())
    assert (report.ending, report.unfinished, sink.outcomes, model.attempts) == ("drained", count, [], 1)


def call(number: int, *, chat: bool = False, **terms: Any) -> Call:
    if chat:
        request = Request(deployment="d", model="m", messages=(Message("user", str(number)),), parameters=terms)
    else:
        request = Request(deployment="d", model="m", kind="embeddings", text=str(number), parameters=terms)
    return Call(request, Flight(str(number), []))  # nobody waits


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=30))
def test_parts_have_every_call_once(kinds: list[tuple[bool, int]]) -> None:
    """Grouping loses no call and doubles none; who shares a part has equal terms, and conversations are alone."""
    calls = [call(number, chat=chat, dimensions=terms) for number, (chat, terms) in enumerate(kinds)]
    parts = parts_of(calls, RetryPolicy())
    assert sorted(int(c.flight.key) for part in parts for c in part.calls) == list(range(len(calls)))
    for part in parts:
        assert len({c.request.terms for c in part.calls}) == 1
        assert len(part.calls) == 1 or part.calls[0].request.text is not None
    assert len({part.calls[0].request.terms for part in parts if part.calls[0].request.text is not None}) == sum(
        part.calls[0].request.text is not None for part in parts
    )


@given(st.integers(1, 50), st.sampled_from([RejectedBatch, RejectedRequest, Ambiguous, *TRANSIENT]))
def test_halves_have_every_call_once(count: int, kind: type[ProviderError]) -> None:
    """Dividing gives two parts of nearly equal size with all the calls, or none where it cannot help."""
    part = Part([call(number) for number in range(count)], Retries(RetryPolicy()))
    halves = part.halves(kind("no"))
    assert bool(halves) == (count > 1 and kind in {RejectedBatch, Unavailable, BadAnswer})
    if halves:
        one, other = halves
        assert [*one.calls, *other.calls] == part.calls
        assert 0 <= len(one.calls) - len(other.calls) <= 1
        assert (one.half_of is not None) == (kind is RejectedBatch)
