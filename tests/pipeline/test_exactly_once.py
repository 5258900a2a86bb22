"""The main law: one record in, exactly one outcome out, over crashes, failures and changing settings."""

import asyncio
import json
import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import (
    BatchConfig,
    CacheConfig,
    Completed,
    DataProcessingPipeline,
    JsonlSink,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    Request,
    ResourcesConfig,
    SqliteSink,
    Task,
)
from streamproc.cache.memory import MemoryBackend
from streamproc.errors import Ambiguous, BadAnswer, NotSent, RateLimited, RejectedRequest, Unavailable
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import Crash, CrashingBackend, CrashingSink, CrashPlan, ScriptedCompleter


def llm(temperature: float) -> LlmConfig:
    return LlmConfig(
        model="m",
        prompt="Label: {{ text }}",
        base_url="http://127.0.0.1:1/v1",
        max_attempts=3,
        parameters={"temperature": temperature},
    )


FAULTS = [None, None, None, Unavailable, RateLimited, NotSent, Ambiguous, BadAnswer, RejectedRequest]

rows = st.lists(
    st.one_of(st.integers(0, 8).map(lambda n: {"text": f"t{n}"}), st.just({"wrong": 1}), st.just({"text": "boom"})),
    min_size=1,
    max_size=25,
)
set_ups = st.fixed_dictionaries(
    {
        "concurrency": st.integers(1, 5),
        "batch": st.integers(1, 7),
        "crash_at": st.one_of(st.none(), st.integers(0, 60)),
        "knob": st.lists(st.integers(1, 6), max_size=4),
    }
)


class Endpoint(ScriptedCompleter):
    """Fails as a seeded die says; rejects what says boom for good."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)

        def answer(request: Request, attempt: int) -> str:
            text = str(request.messages[-1].content)
            if "boom" in text:
                raise RejectedRequest("too long", status=400)
            fault = dice.choice(FAULTS)
            lasting = {Ambiguous: 2, BadAnswer: 2}.get(fault, 3)  # a second ambiguous attempt would be the last
            if fault is not None and fault is not RejectedRequest and attempt < lasting:
                raise fault("scripted")
            return text.upper()

        super().__init__(answer, lambda request, attempt: dice.choice([0.01, 0.5, 3.0, 40.0]))


def config_of(set_up: dict[str, Any], temperature: float = 0) -> PipelineConfig:
    return PipelineConfig(
        llm=llm(temperature),
        concurrency=ConcurrencyConfig(initial=set_up["concurrency"]),
        resources=ResourcesConfig(max_concurrent=5),
        batch_processing=BatchConfig(initial_size=set_up["batch"]),
        cache=CacheConfig(ttl_hours=10_000),
    )


async def turn_knobs(pipeline: DataProcessingPipeline, sizes: list[int]) -> None:
    """Resize the pool of calls in the middle of the run, as a supervisor would."""
    for size in sizes:
        await asyncio.sleep(1.7)
        if pipeline._run is not None:
            pipeline._run._wiring._pool.resize(size)
            pipeline._run._wiring.ledger.resize(size * 3)


@settings(max_examples=120)
@given(rows, st.lists(set_ups, min_size=1, max_size=4), st.integers(0, 2**16), st.sampled_from([0, 0.7]))
def test_every_record_ends_exactly_once(
    records: list[dict[str, Any]], runs: list[dict[str, Any]], seed: int, temperature: float
) -> None:
    """Over crashes at any moment, duplicates, provider failures, turning knobs and settings that change from run to
    run: each record has one outcome, its own; a recorded answer is never paid again, and one that was drawn at random
    once a record; a crash re-pays at most what was in flight."""
    store = MemoryBackend(10**9)  # outlives the runs, as a disk does
    sink = MemorySink()
    endpoint = Endpoint(seed)
    crashes = 0

    async def one_run(set_up: dict[str, Any]) -> None:
        plan = CrashPlan(set_up["crash_at"])
        pipeline = DataProcessingPipeline(
            config_of(set_up, temperature),
            source=MemorySource(records),
            sink=CrashingSink(sink, plan),
            completer=endpoint,
            cache=CrashingBackend(store, plan),
        )
        knobs = asyncio.ensure_future(turn_knobs(pipeline, set_up["knob"]))
        try:
            await pipeline.run()
        finally:
            knobs.cancel()
            with suppress(asyncio.CancelledError):
                await knobs  # if turning them has failed, that is raised

    for set_up in [*runs, {"concurrency": 3, "batch": 4, "crash_at": None, "knob": []}]:
        try:
            run_virtual(one_run(set_up))
        except Crash:
            crashes += 1
        assert endpoint.in_flight == 0, "no attempt outlives its run"
    ids = Counter(outcome.envelope.record.id for outcome in sink.outcomes)
    assert ids == Counter(str(number) for number in range(len(records)))
    for outcome in sink.outcomes:
        data = records[int(outcome.envelope.record.id)]
        assert outcome.envelope.record.data == data
        if isinstance(outcome, Completed):
            assert outcome.value == f"LABEL: {data['text'].upper()}"
        else:
            assert "wrong" in data or data["text"] == "boom"
    once = len(endpoint.billed) if temperature == 0 else sum(data.get("text", "boom") != "boom" for data in records)
    assert sum(endpoint.billed.values()) - once <= crashes * 5
    assert endpoint.peak_in_flight <= 6


def test_without_crashes_nothing_is_paid_twice_and_duplicates_share() -> None:
    """With no fault, an endpoint bills each distinct request once, however often it is asked."""
    endpoint = ScriptedCompleter(lambda request, _: str(request.messages[-1].content))
    sink = MemorySink()
    pipeline = DataProcessingPipeline(
        config_of({"concurrency": 5, "batch": 3}),
        source=MemorySource([{"text": str(number % 7)} for number in range(500)]),
        sink=sink,
        completer=endpoint,
    )
    report = run_virtual(pipeline.run())
    assert set(endpoint.billed.values()) == {1}
    assert (report.completed, report.model_calls, report.failed) == (500, 7, 0)
    assert report.cache_hits + report.coalesced == 493
    assert sum(outcome.origin == "model" for outcome in sink.completed) == 7


@pytest.mark.parametrize(
    ("parameters", "shared", "calls"),
    [
        ({"temperature": 0}, False, 7),
        ({"temperature": 0.5, "seed": 4}, False, 7),
        ({"temperature": 0.5}, True, 7),
        ({"temperature": 0.5}, False, 50),
        ({}, False, 50),
        ({"temperature": None, "seed": None}, False, 50),
    ],
)
def test_records_share_an_answer_unless_it_was_drawn_at_random(
    parameters: dict[str, Any], shared: bool, calls: int
) -> None:
    """Equal requests of 50 records, 7 of them different: one call each, or one a record where answers are random and
    sharing was not asked for; a second run over the same records finds every record's own answer."""
    endpoint = ScriptedCompleter(lambda request, _: str(request.messages[-1].content))
    store = MemoryBackend(10**9)
    config = PipelineConfig(
        llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1", parameters=parameters),
        cache=CacheConfig(share_samples=shared),
    )
    source = [{"text": str(number % 7)} for number in range(50)]
    for expected in (calls, 0):
        pipeline = DataProcessingPipeline(
            config, source=MemorySource(source), sink=MemorySink(), completer=endpoint, cache=store
        )
        report = run_virtual(pipeline.run())
        assert (report.completed, report.model_calls) == (50, expected)


def test_a_task_may_say_itself_which_draw_an_answer_is() -> None:
    """With `draw` set, records that name the same draw share it, whatever the temperature."""
    endpoint = ScriptedCompleter(lambda request, _: request.draw)
    base = llm(0.9)
    task = Task(
        render=lambda record: msgspec.structs.replace(base.request("q"), draw=str(record.data["n"] % 3)),
        parse=lambda completion: completion.text,
    )
    pipeline = DataProcessingPipeline(
        config_of({"concurrency": 5, "batch": 3}, 0.9),
        task=task,
        source=MemorySource([{"n": number} for number in range(30)]),
        sink=MemorySink(),
        completer=endpoint,
    )
    assert run_virtual(pipeline.run()).model_calls == 3


@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
@settings(max_examples=25)
@given(crashes=st.lists(st.integers(0, 40), max_size=4), seed=st.integers(0, 100))
def test_the_sinks_on_disk_keep_the_law(kind: str, crashes: list[int], seed: int) -> None:
    """JSONL and SQLite hold each record once after any crashes, and output and dead letters are whole lines."""
    records = [{"text": f"t{number % 9}" if number % 5 else "boom"} for number in range(20)]
    endpoint = Endpoint(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out.{kind}"

        async def one_run(crash_at: int | None) -> None:
            plan = CrashPlan(crash_at)
            sink = JsonlSink(path) if kind == "jsonl" else SqliteSink(path)
            config = config_of({"concurrency": 3, "batch": 3})
            source = MemorySource(records)
            await DataProcessingPipeline(config, source=source, sink=CrashingSink(sink, plan), completer=endpoint).run()

        for crash_at in crashes:
            try:
                run_virtual(one_run(crash_at))
            except Crash:
                if kind == "jsonl" and path.exists():
                    with path.open("ab") as torn:
                        torn.write(b'{"id": "torn')
        run_virtual(one_run(None))
        ids = Counter(json.loads(line)["id"] for line in Path(f"{path}.dead.jsonl").read_bytes().splitlines())
        if kind == "jsonl":
            ids.update(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        else:
            ids.update(read_ids(path))
        assert ids == Counter(str(number) for number in range(20))


def read_ids(path: Path) -> list[str]:
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return [name for (name,) in connection.execute("SELECT id FROM results")]
    finally:
        connection.close()
