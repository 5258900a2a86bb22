"""A process that was frozen while another took its output over: its commits are refused before they touch anything."""

import asyncio
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamproc.completions import Completion, Usage
from streamproc.errors import Refused, StorageBlocked
from streamproc.records import Checkpoint, Completed, Envelope, Failed, Outcome, Record, RecordError, RunIdentity
from streamproc.sinks.append_file import Segment
from streamproc.sinks.durable import DurableSink
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.sqlite import SqliteSink
from tests.faults.storage_jobs import StorageJob
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, DEAD_LETTERS, QUICK, REFUSED

RUN = RunIdentity({"llm.model": "m"})
RECORDS = 60
PATIENCE_SECONDS = 30.0


def outcome(number: int, failed: bool = False) -> Outcome:
    envelope = Envelope(Record(f"r{number}", {"n": number}), number, b"d%d" % number, number, 0.0)
    if failed:
        return Failed(envelope, RecordError("rejected", "too long", 400), 1)
    completion = Completion(text="t", model="m", finish_reason="stop", usage=Usage(1, 2))
    return Completed(envelope, "v", completion, "model", 1)


def appended(path: Path) -> list[bytes]:
    files = [Path(f"{path}.dead.jsonl"), *([path] if path.suffix == ".jsonl" else [])]
    return [file.read_bytes() for file in files]


@pytest.mark.fault(18)
@pytest.mark.parametrize("make", [JsonlSink, SqliteSink])
@pytest.mark.parametrize("closed", [False, True])
def test_who_was_taken_over_writes_nothing(make: type[DurableSink], closed: bool, tmp_path: Path) -> None:
    """With the lock gone a second sink opens the same output; from then on the first is refused, whether the second is
    still at work or gone, and changes no byte of output and dead letters."""
    path = tmp_path / ("out.jsonl" if make is JsonlSink else "out.db")

    async def main() -> None:
        async with make(path) as first:
            await first.open(RUN)
            await first.write([outcome(0), outcome(1, failed=True)], Checkpoint(1))
            (tmp_path / f"{path.name}.streamproc" / "lock").unlink()
            async with make(path) as second:
                assert await second.open(RUN) == Checkpoint(1)
                await second.write([outcome(2), outcome(3, failed=True)], Checkpoint(3))
                if closed:
                    await second.aclose()
                before = appended(path)
                for _ in range(2):
                    with pytest.raises(Exception, match=r"taken over|nothing after it is claimed"):
                        await first.write([outcome(4), outcome(5, failed=True)], Checkpoint(5))
                assert appended(path) == before
                if not closed:
                    await second.write([outcome(4), outcome(5, failed=True)], Checkpoint(5))
        async with make(path) as third:
            assert await third.open(RUN) == Checkpoint(3 if closed else 5)

    asyncio.run(main())


def test_being_taken_over_is_a_refusal(tmp_path: Path) -> None:
    """What a sink raises that was taken over is `Refused`, which ends a run with 3."""

    async def main() -> None:
        async with JsonlSink(tmp_path / "out") as first:
            await first.open(RUN)
            (tmp_path / "out.streamproc" / "lock").unlink()
            async with JsonlSink(tmp_path / "out") as second:
                await second.open(RUN)
                with pytest.raises(Refused, match=r"taken over .*opening 1, now 2"):
                    await first.write([outcome(0)], Checkpoint(0))

    asyncio.run(main())


class TakenOverMeanwhile(JsonlSink):
    """Finds its disk full, and before it tidies up another has taken the output over and delivered."""

    def append(self, *what: Any) -> list[Segment]:
        super().append(*what)
        raise StorageBlocked("No space left on device")

    def _take_back(self, connection: Any) -> None:
        (self.home / "lock").unlink()
        asyncio.run(deliver(self.path, outcome(2)))
        super()._take_back(connection)


async def deliver(path: Path, *outcomes: Outcome) -> None:
    async with JsonlSink(path) as sink:
        await sink.open(RUN)
        await sink.write(outcomes, Checkpoint(len(outcomes)))


@pytest.mark.fault(18)
def test_who_was_taken_over_on_a_full_disk_cuts_nothing_off(tmp_path: Path) -> None:
    """Half a write that is to be taken back is left alone once another works on the output: its rows stand there."""
    path = tmp_path / "out.jsonl"

    async def main() -> None:
        async with TakenOverMeanwhile(path) as first:
            await first.open(RUN)
            with pytest.raises(Refused, match="taken over"):
                await first.write([outcome(1)], Checkpoint(1))
            (line,) = path.read_bytes().splitlines()
            assert b'"r2"' in line

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.fault(18)
@pytest.mark.promise("P16")
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_a_frozen_process_that_wakes_is_refused(sink, tmp_path, figure):
    """A process is frozen, its lock removed, and another runs to the end; awake again, the first ends with 3, and the
    output is what the second made of it."""
    job = StorageJob(tmp_path, tmp_path / "ledger", sink=sink, records=RECORDS)
    with Endpoint(job.ledger, ttft_seconds=6.0) as slow, job.running(slow) as frozen:
        slow.wait_until("running", CONCURRENCY)
        wait_for_dead_letters(job)  # then nothing is under way but the calls
        frozen.process.send_signal(signal.SIGSTOP)
        (job.home / "lock").unlink()
        with Endpoint(job.ledger, **QUICK) as quick:
            assert job.run(quick).returncode == DEAD_LETTERS
        frozen.process.send_signal(signal.SIGCONT)
        assert frozen.end() == REFUSED, frozen.heard
    assert "another run has taken over the output" in frozen.heard
    verdict = job.check(repayable=3 * CONCURRENCY)
    figure.add(1, "woken processes refused")
    figure.most(verdict.repaid, f"answers that both paid for, with {CONCURRENCY} in flight")


def wait_for_dead_letters(job: StorageJob) -> None:
    state = job.output if job.output.suffix == ".db" else job.home / "state.db"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with closing(sqlite3.connect(state)) as connection:
            ((failed,),) = connection.execute("SELECT count(*) FROM streamproc_delivered WHERE NOT completed")
        if failed == RECORDS // 10:
            return
        assert time.monotonic() < deadline, "the dead letters were not committed"
        time.sleep(0.01)
