"""Where the time of a record goes: the stages add up to the whole, whatever happens to records on their way."""

import random
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamproc import Completion, DataProcessingPipeline, JsonlSinkConfig, MemorySource, PipelineConfig, Snapshot
from streamproc.cache.config import CacheConfig
from streamproc.cache.memory import MemoryBackend
from streamproc.completions import Request, Usage
from streamproc.errors import Ambiguous, ProviderError, RateLimited, RejectedRequest, Unavailable
from streamproc.flow.whereabouts import STAGES, Place, Whereabouts
from streamproc.pipeline.config import BatchConfig, ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from tests.pipeline.scenes import LLM, SlowSink, config, play


class Witness(SlowSink):
    """Notes when each record was accepted and when it was delivered."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.lives: list[tuple[float, float]] = []

    async def write(self, outcomes: Any, checkpoint: Any) -> None:
        await super().write(outcomes, checkpoint)
        now = anyio.current_time()
        self.lives += [(outcome.envelope.accepted_at, now) for outcome in outcomes]

    def whole(self, at: float) -> float:
        """Seconds between acceptance and delivery, or so far, of all records that had been accepted."""
        return sum(max(0.0, min(at, delivered) - accepted) for accepted, delivered in self.lives)


class SlowBackend(MemoryBackend):
    """A cache that takes so long to give and to keep."""

    def __init__(self, seconds: float) -> None:
        super().__init__(max_bytes=1 << 20)
        self._seconds = seconds

    async def get_many(self, keys: Any) -> Any:
        await anyio.sleep(self._seconds)
        return await super().get_many(keys)

    async def put_many(self, items: Any, *, ttl: Any) -> None:
        await anyio.sleep(self._seconds)
        await super().put_many(items, ttl=ttl)


class Moody:
    """Answers after a while that differs; fails now and then, and always at a text that is bad."""

    def __init__(self, seed: int, failing: float) -> None:
        self._random = random.Random(seed)
        self._failing = failing

    async def complete(self, request: Request) -> Completion:
        return (await self.complete_many([request]))[0]

    async def complete_many(self, requests: Any) -> list[Completion]:
        await anyio.sleep(self._random.uniform(0.01, 0.5))
        if any("bad" in str(request) for request in requests):
            raise RejectedRequest("no", status=400)
        if self._random.random() < self._failing:
            raise self._random.choice([Unavailable, RateLimited, Ambiguous])("scripted", status=503)
        return [
            Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1), embedding=(1.0,))
            for _ in requests
        ]


def seconds(snapshot: Snapshot) -> dict[Place, float]:
    return {stage: snapshot.seconds_in(stage) for stage in STAGES}


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(
    count=st.integers(1, 120),
    kinds=st.integers(1, 60),
    failing=st.sampled_from([0.0, 0.1, 0.4]),
    embeddings=st.booleans(),
    per_minute=st.sampled_from([None, 600]),
    ordered=st.booleans(),
    lookup=st.sampled_from([0.0, 0.03]),
    write=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 99),
)
def test_the_stages_add_up_to_the_time_between_acceptance_and_delivery(
    count, kinds, failing, embeddings, per_minute, ordered, lookup, write, seed
):
    """At any moment the stages add up to the time since acceptance, or up to delivery, of all records."""
    kind = "embeddings" if embeddings else "chat_completions"
    llm = msgspec.structs.replace(LLM, endpoint=kind, requests_per_minute=per_minute, max_attempts=3)
    whole = PipelineConfig(
        llm=llm,
        concurrency=ConcurrencyConfig(initial=4),
        batch_processing=BatchConfig(initial_size=7, max_size=20),
        cache=CacheConfig(enabled=lookup > 0, share_samples=True),
        resources=config().resources,
        sink=JsonlSinkConfig(path="out.jsonl", ordered=ordered),
    )
    rows = [{"text": f"{'bad' if n % 11 == 3 else 't'}{n % kinds}"} if n % 17 != 5 else {} for n in range(count)]
    sink, seen = Witness(write), []
    pipeline = DataProcessingPipeline(
        whole,
        source=MemorySource(rows),
        sink=sink,
        completer=Moody(seed, failing),
        cache=SlowBackend(lookup) if lookup else None,
    )
    report = run_virtual(pipeline.run(watchers=[seen.append]))
    assert len(sink.lives) == count
    for snapshot in [*seen, pipeline.snapshot()]:
        parts = seconds(snapshot)
        assert sum(parts.values()) == pytest.approx(sink.whole(snapshot.at), abs=1e-6)
        assert min(parts.values()) > -1e-6
    assert report.mean_record_seconds * count == pytest.approx(sink.whole(1e9), abs=1e-6)


class Scripted:
    """Fails as told, then answers, each after a second."""

    def __init__(self, *errors: ProviderError) -> None:
        self._errors = list(errors)

    async def complete(self, request: Request) -> Completion:
        await anyio.sleep(1)
        if self._errors:
            raise self._errors.pop(0)
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))


def test_each_stage_gets_its_own_seconds():
    """A record's seconds are told under the stage in which it spent them."""
    settings = config({"initial": 1, "adaptive": False}, cache=CacheConfig(share_samples=True))
    report = play(
        1, settings, Scripted(Unavailable("x", status=503, retry_after=7.0)), sink=SlowSink(2), cache=SlowBackend(0.25)
    )
    spent = report.stage_seconds
    assert spent["endpoint"] == pytest.approx(2)
    assert 7 <= spent["retry"] <= 7 * 1.25 + 0.01  # spread by up to a quarter
    assert spent["lookup"] == pytest.approx(0.5)  # an answer that belongs to this run is asked for as well
    assert spent["keeping"] == pytest.approx(0.25)
    assert spent["sink"] == pytest.approx(2)


def test_waiting_for_the_pace_is_waiting_for_admission():
    """With one request each six seconds ten records wait 270 seconds together, and the endpoint has little to do."""
    llm = msgspec.structs.replace(LLM, requests_per_minute=10)
    settings = msgspec.structs.replace(config({"initial": 16, "adaptive": False}), llm=llm)
    report = play(10, settings, Scripted())
    assert report.stage_seconds["admission"] == max(report.stage_seconds.values()) > 200
    assert report.stage_seconds["endpoint"] == pytest.approx(10)


def test_who_shares_a_call_waits_for_it():
    """Equal records wait for one call: one of them is at the endpoint, the others share it."""
    settings = config({"initial": 4, "adaptive": False}, cache=CacheConfig(share_samples=True))
    report = play(5, settings, Scripted(), source=MemorySource([{"text": "same"}] * 5))
    assert report.stage_seconds["endpoint"] == pytest.approx(1)
    assert report.stage_seconds["shared_call"] == pytest.approx(4)


def test_what_is_still_there_counts_up_to_now():
    """Who has not left a stage yet has spent the time since entering there."""
    places = Whereabouts()
    places.move(3, "outside", "lookup", 10.0)
    places.move(1, "lookup", "sink", 12.0)
    assert places.seconds(15.0)["lookup"] == pytest.approx(2 + 2 * 5)
    assert places.seconds(15.0)["sink"] == pytest.approx(3)
    assert sum(places.seconds(15.0).values()) == pytest.approx(3 * 5)
