"""What a run does while nothing can be stored, on virtual time: it pauses, loses nothing, pays nothing twice."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import Completion, DataProcessingPipeline, MemorySink, MemorySource
from streamproc.cache.memory import MemoryBackend
from streamproc.completions import Request, Usage
from streamproc.errors import StorageBlocked, StorageFailed
from streamproc.records import Row
from streamproc.simulation.virtual_time import run_virtual
from tests.pipeline.scenes import config, records

Windows = list[tuple[float, float]]


class Disk:
    """Blocks writes in some windows of time.

    Attributes:
        refused_at: when it did.
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.refused_at: list[float] = []

    def write(self) -> None:
        now = anyio.current_time()
        if any(begin <= now < end for begin, end in self._windows):
            self.refused_at.append(now)
            raise StorageBlocked("No space left on device")

    def pauses(self) -> list[tuple[float, float]]:
        """From the first refusal in each window to its end."""
        return [
            (min(seen), end)
            for begin, end in self._windows
            if (seen := [at for at in self.refused_at if begin <= at < end])
        ]


class FullSink(MemorySink):
    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    async def write(self, *what: Any) -> None:
        await anyio.sleep(0.01)
        self._disk.write()
        await super().write(*what)


class FullJournal(MemoryBackend):
    def __init__(self, disk: Disk) -> None:
        super().__init__(10**9)
        self._disk = disk

    async def put_many(self, *what: Any, **how: Any) -> None:
        self._disk.write()
        await super().put_many(*what, **how)


class Model:
    """Answers after a while.

    Attributes:
        began_at: when each request came.
        paid: how often each prompt was.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.began_at: list[float] = []
        self.paid: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        self.began_at.append(anyio.current_time())
        await anyio.sleep(self._seconds)
        self.paid[str(request.messages[-1].content)] += 1
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))


windows = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0.1, 20)).map(lambda window: (window[0], sum(window))), max_size=3
)


@pytest.mark.fault(9)
@pytest.mark.fault(10)
@settings(max_examples=60)
@given(windows, windows, st.floats(0.05, 5), st.integers(1, 6))
def test_while_nothing_can_be_stored_nothing_is_sent(
    sink_full: Windows, journal_full: Windows, seconds: float, concurrency: int
) -> None:
    """Whenever the disk of the output or of the journal is full, for whatever time: no request begins from the first
    refusal until there is room, each record ends once and is paid once, and what is refused is tried once a second."""
    disks = Disk(sink_full), Disk(journal_full)
    sink, model = FullSink(disks[0]), Model(seconds)
    pipeline = DataProcessingPipeline(
        config({"initial": concurrency}, {"max_concurrent": 6}),
        source=MemorySource(records(40)),
        sink=sink,
        completer=model,
        cache=FullJournal(disks[1]),
    )
    report = run_virtual(pipeline.run())
    assert (report.ending, report.completed) == ("finished", 40)
    assert Counter(outcome.envelope.record.id for outcome in sink.outcomes) == Counter(map(str, range(40)))
    assert set(model.paid.values()) == {1}
    for disk in disks:
        for begin, end in disk.pauses():
            assert [at for at in model.began_at if begin < at < end] == []
    for begin, end in disks[0].pauses():
        assert len([at for at in disks[0].refused_at if begin <= at < end]) <= end - begin + 1


@pytest.mark.fault(9)
@pytest.mark.parametrize("seconds", [0.1, 5.0])
def test_who_asks_a_paused_run_to_end_gets_the_failure(seconds: float) -> None:
    """A run that is asked to end while the disk is full keeps the answers of calls under way where it can, delivers
    nothing that is not stored, and fails as a disk does; the next one pays nothing again."""
    disk = Disk([(0.5, 1e9)])
    sink, model, journal = FullSink(disk), Model(seconds), MemoryBackend(10**9)
    parts: dict[str, Any] = {"sink": sink, "completer": model, "cache": journal}
    settings_ = config({"initial": 4}, {"max_concurrent": 4})
    pipeline = DataProcessingPipeline(settings_, source=MemorySource(records(40)), **parts)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(asked_to_end)
            with pytest.raises(StorageFailed, match="No space left"):
                await pipeline.run()
            assert anyio.current_time() < 6 + seconds + 1, "it waited for more than the calls under way"

    async def asked_to_end() -> None:
        await anyio.sleep(6)
        assert disk.refused_at
        await pipeline.drain()

    run_virtual(main())
    assert pipeline.report is not None
    assert pipeline.report.completed == len(sink.outcomes) < 40
    disk._windows.clear()
    again = run_virtual(DataProcessingPipeline(settings_, source=MemorySource(records(40)), **parts).run())
    assert again.delivered_before + again.completed == 40
    assert set(model.paid.values()) == {1}


@pytest.mark.fault(10)
def test_while_nothing_can_be_stored_nothing_is_read() -> None:
    """From the first refusal until there is room no record is asked for, however much room the ledger has."""
    disk = Disk([(1.0, 60.0)])
    read_at: list[float] = []

    class Watched(MemorySource):
        async def read(self, limit: int) -> Sequence[Row]:
            await anyio.sleep(0.1)  # so that the source is never done early
            read_at.append(anyio.current_time())
            return await super().read(1)

    parts: dict[str, Any] = {"source": Watched(records(100)), "sink": FullSink(disk), "completer": Model(0.05)}
    run_virtual(DataProcessingPipeline(config(), **parts).run())
    ((begin, end),) = disk.pauses()
    assert len([at for at in read_at if begin < at < end]) <= 1, "more than what was being read"
    assert max(read_at) > end


def test_a_pause_is_told_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A pause is logged once as it begins and once as it ends, and alerted while it lasts."""
    disk = Disk([(1.0, 60.0)])
    pipeline = DataProcessingPipeline(
        config(), source=MemorySource(records(200)), sink=FullSink(disk), completer=Model(1.0)
    )
    with caplog.at_level("INFO", "streamproc"):
        report = run_virtual(pipeline.run())
    assert [r.getMessage() for r in caplog.records if r.getMessage().startswith("storage.")] == [
        "storage.blocked",
        "storage.passed",
    ]
    assert any(alert.startswith("storage_blocked firing: ") for alert in report.alerts)


@pytest.mark.fault(12)
@pytest.mark.parametrize("kind", [StorageFailed])
def test_a_failure_is_never_tried_again(kind: type[StorageFailed]) -> None:
    """What is no want of room ends the run at the first time."""

    class Broken(MemorySink):
        tried = 0

        async def write(self, *what: Any) -> None:
            self.tried += 1
            raise kind("Input/output error")

    sink = Broken()
    pipeline = DataProcessingPipeline(config(), source=MemorySource(records(9)), sink=sink, completer=Model(1.0))
    with pytest.raises(StorageFailed):
        run_virtual(pipeline.run())
    assert sink.tried == 1
