"""A host may cancel what it has begun at any step of its event loop, in each way that asyncio and anyio know."""

import asyncio
import gc
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from streamproc import (
    CacheConfig,
    DataProcessingPipeline,
    JsonlSink,
    LlmConfig,
    MemorySource,
    PipelineConfig,
)
from streamproc.errors import Ambiguous, RateLimited, RejectedRequest, Unavailable
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter
from tests.faults.stepping import run_stepping

RECORDS, CONCURRENCY = 12, 3
REJECTED = "t7"
ROWS = [{"text": f"t{number}"} for number in range(RECORDS)]
FAULTS = {("t2", 1): Unavailable, ("t4", 1): RateLimited, ("t5", 1): Ambiguous, ("t9", 1): Unavailable}
FAST_STRIDE, SLOW_STRIDE = 29, 3
"""The fast tests cancel at each 29th step, the slow ones at each third."""


def answer(request, attempt):
    text = str(request.messages[-1].content)
    if text == REJECTED:
        raise RejectedRequest("never", status=400)
    fault = FAULTS.get((text, attempt))
    if fault is not None:
        raise fault("scripted", retry_after=0.5 if fault is RateLimited else None)
    return text.upper()


class Scene:
    """A folder with an output and a cache, a model with a memory, and hosts that run a pipeline over both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.model = ScriptedCompleter(
            answer, lambda request, attempt: 0.01 * (attempt + len(request.fingerprint()) % 3)
        )
        self.config = PipelineConfig(
            llm=LlmConfig(
                model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1", parameters={"temperature": 0}
            ),
            concurrency=ConcurrencyConfig(initial=CONCURRENCY, adaptive=False),
            cache=CacheConfig(path=str(folder / "cache.db")),
        )
        self.taken: list[str] = []

    def pipeline(self) -> DataProcessingPipeline:
        """Make a pipeline to `run`."""
        sink = JsonlSink(self.folder / "out.jsonl")
        return DataProcessingPipeline(self.config, source=MemorySource(ROWS), sink=sink, completer=self.model)

    async def run(self, pipeline: DataProcessingPipeline) -> None:
        """Do what a host does with `run`."""
        await pipeline.run()

    async def stream(self, pipeline: DataProcessingPipeline) -> None:
        """Do what a host does with `stream`."""
        async with pipeline:
            async for outcome in pipeline.stream(ROWS):
                self.taken.append(outcome.envelope.record.id)

    async def leave_early(self, pipeline: DataProcessingPipeline) -> None:
        """Do what a host does that has seen enough."""
        async with pipeline:
            async for outcome in pipeline.stream(ROWS):
                self.taken.append(outcome.envelope.record.id)
                if len(self.taken) == RECORDS // 2:
                    break

    def recorded(self) -> set[str]:
        """Give the keys of the answers in the cache."""
        if not (self.folder / "cache.db").exists():
            return set()
        with closing(sqlite3.connect(self.folder / "cache.db")) as connection:
            try:
                return {key for (key,) in connection.execute("SELECT key FROM entries")}
            except sqlite3.OperationalError:  # cancelled before there was a table
                return set()

    def ended(self) -> Counter[str]:
        """Give how often each record ended, on disk."""
        ids: Counter[str] = Counter()
        for name in ("out.jsonl", "out.jsonl.dead.jsonl"):
            if (self.folder / name).exists():
                ids.update(json.loads(line)["id"] for line in (self.folder / name).read_bytes().splitlines())
        return ids


async def native(loop, work, at):
    """`task.cancel()`, once."""
    task = asyncio.ensure_future(work)
    asked = False

    def act(step):
        nonlocal asked
        if step == at:
            asked = task.cancel()

    loop.watch(act)
    await asyncio.wait([task])
    assert task.cancelled() == asked, "the cancellation was swallowed"
    return asked


async def nagging(loop, work, at):
    """`task.cancel()` at this step and at every one after it, until the task has ended."""
    task = asyncio.ensure_future(work)
    asked = False

    def act(step):
        nonlocal asked
        if step >= at:
            asked = task.cancel() or asked

    loop.watch(act)
    await asyncio.wait([task])
    assert task.cancelled() == asked, "the cancellation was swallowed"
    return asked


async def scoped(loop, work, at):
    """An anyio scope."""
    asked = False
    with anyio.CancelScope() as scope:

        def act(step):
            nonlocal asked
            if step == at:
                asked = True
                scope.cancel()

        loop.watch(act)
        await work
        asked = False  # it was over before
    assert scope.cancelled_caught == asked, "the cancellation was swallowed"
    return asked


async def beside_a_sibling(loop, work, at):
    """A sibling in a TaskGroup that fails."""
    fails = asyncio.Event()
    done = False

    async def sibling():
        await fails.wait()
        if not done:
            raise LookupError("sibling")

    async def ours():
        nonlocal done
        await work
        done = True
        fails.set()

    loop.watch(lambda step: fails.set() if step == at else None)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(ours())
            group.create_task(sibling())
    except* LookupError:  # and of nothing else
        pass
    return not done


async def timed(loop, work, at):
    """`asyncio.timeout`."""
    done = False
    try:
        async with asyncio.timeout(None) as timeout:
            loop.watch(lambda step: timeout.reschedule(loop.time()) if step == at else None)
            await work
            done = True
            loop.watch(None)
    except TimeoutError:
        assert not done
        return True
    return False


WAYS = {"native": native, "nagging": nagging, "scope": scoped, "sibling": beside_a_sibling, "timeout": timed}


def cancel_once(folder, host, way, at, again) -> bool:
    """Cancel a host's work at a step, and hold what is left against the promise; tell whether it was still at work."""
    scene = Scene(folder)
    pipeline = scene.pipeline()
    cancelled = False

    async def main(loop):
        nonlocal cancelled
        cancelled = await WAYS[way](loop, getattr(scene, host)(pipeline), at)

    left = run_stepping(main)
    where = f"{host} cancelled by {way} at step {at}"
    assert (left.tasks, left.threads, left.files, left.complaints) == ([], [], [], []), f"{where} left {left}"
    recorded, billed = scene.recorded(), Counter(scene.model.billed)
    paid = {key for key in billed if any(name.startswith(key) for name in recorded)}
    if host == "run":
        run_virtual((pipeline if again else scene.pipeline()).run())
        assert scene.ended() == Counter(str(number) for number in range(RECORDS)), where
    else:
        once = Counter(scene.taken)
        assert not once or max(once.values()) == 1, where
        scene.taken.clear()
        run_virtual(scene.stream(pipeline if again else scene.pipeline()))
        assert Counter(scene.taken) == Counter(str(number) for number in range(RECORDS)), where
    assert scene.model.in_flight == 0, where
    assert all(scene.model.billed[key] == billed[key] for key in paid), f"{where}: a recorded answer was paid again"
    assert scene.model.billed.total() <= RECORDS - 1 + CONCURRENCY, where
    return cancelled


def cancel_at(folder, host, way, steps):
    """Cancel at these steps until one comes after the end; give how many struck."""
    folder.mkdir()
    struck = 0
    gc.collect()
    gc.freeze()  # each cancellation collects what it left, and should look at that alone
    try:
        for number, at in enumerate(steps):
            if not cancel_once(folder / str(at), host, way, at, again=number % 2 == 0):
                break
            struck += 1
        else:
            raise AssertionError("it never ended by itself")
    finally:
        gc.unfreeze()
    return struck


HOSTS = ["run", "stream", "leave_early"]


@pytest.mark.fault(55)
@pytest.mark.promise("P14")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_some_steps(host, way, tmp_path, figure):
    """Cancelled at every 29th step of the event loop, in each way, a run or stream leaves no task, thread or file, the
    cancellation arrives, and going on loses, doubles and pays again nothing that was recorded."""
    offset = (HOSTS.index(host) * 5 + list(WAYS).index(way) * 7) % FAST_STRIDE
    struck = cancel_at(tmp_path / "all", host, way, range(offset, 10**6, FAST_STRIDE))
    assert struck > 3
    figure.add(struck, "cancellations, 0 lost, 0 doubled, nothing left behind")


@pytest.mark.slow
@pytest.mark.fault(55)
@pytest.mark.promise("P14")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_every_third_step(host, way, tmp_path, figure):
    """The same at every third step, each host and way at another third."""
    offset = (HOSTS.index(host) + list(WAYS).index(way)) % SLOW_STRIDE
    struck = cancel_at(tmp_path / "all", host, way, range(offset, 10**6, SLOW_STRIDE))
    figure.add(struck, "cancellations, 0 lost, 0 doubled, nothing left behind")
