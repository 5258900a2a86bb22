"""Disks that err, are slow or take only a part, for real: strace has the kernel's calls fail under the command."""

import json
import shutil
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

from tests.faults.storage_jobs import STORAGE, SmallDisk, StorageJob
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, DEAD_LETTERS, QUICK

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="strace")]


@pytest.fixture
def job(tmp_path):
    return StorageJob(tmp_path, tmp_path / "ledger")


class Strace:
    """Has calls on one file fail.

    Args:
        seen: gets what strace saw.
        path: of the file.
        fault: what is done to which call, in strace's words.
    """

    def __init__(self, seen, path, fault):
        assert shutil.which("strace"), "strace is missing: `sh .ci/install-debian strace`"
        call = fault.partition(":")[0]
        self._seen = seen
        self.wrapper = ["strace", "-f", "-qq", "-o", str(seen), "-P", str(path), "-e", f"trace={call}"]
        self.wrapper += ["-e", "signal=none", "-e", f"inject={fault}"]

    @property
    def injected(self):
        """How many calls were made to fail, or to take longer."""
        seen = self._seen.read_text()
        return seen.count("(INJECTED)") + seen.count("(DELAYED)")


def files_of(job):
    return {
        "output": job.output,
        "dead letters": job.folder / f"{job.output.name}.dead.jsonl",
        "state": job.home / "state.db-wal",
        "answers": job.home / "cache.db-wal",
    }


def ended_with_74(job, strace):
    with Endpoint(job.ledger, **QUICK) as endpoint:
        done = job.run(endpoint, wrapper=strace.wrapper)
    assert done.returncode == STORAGE, done.stderr
    assert "Traceback" not in done.stderr
    return done


FILES = ["output", "dead letters", "state", "answers"]


@pytest.mark.fault(11)
@pytest.mark.parametrize("file", FILES)
def test_a_write_that_errs_ends_the_run(file, job, tmp_path, figure):
    """EIO at a write, of whatever file, ends the run with 74; the same command continues it."""
    at = 1 if file == "dead letters" else 9 if file.startswith(("state", "answers")) else 2
    strace = Strace(tmp_path / "seen", files_of(job)[file], f"pwrite64:error=EIO:when={at}+")
    ended_with_74(job, strace)
    assert strace.injected == 1, "it was tried again"
    job.finish()
    figure.most(job.check(repayable=CONCURRENCY).repaid, "paid again after EIO")
    figure.add(1, "writes with EIO, none tried again")


@pytest.mark.fault(12)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("file", FILES)
def test_a_flush_that_fails_is_final(file, error, job, tmp_path, figure):
    """A failed flush, for whatever reason and of whatever file, is made once and ends the run with 74; nothing after
    the last commit is claimed, and the same command continues."""
    at = {"dead letters": 1, "output": 2}.get(file, 4)
    strace = Strace(tmp_path / "seen", files_of(job)[file], f"fdatasync:error={error}:when={at}+")
    ended_with_74(job, strace)
    assert strace.injected == 1, "it was tried again"
    job.finish()
    figure.most(job.check(repayable=CONCURRENCY).repaid, "paid again after a failed flush")
    figure.add(1, "failed flushes, none tried again")


@pytest.mark.fault(13)
@pytest.mark.parametrize("file", ["output", "state"])
def test_interrupted_writes_are_made_again(file, job, tmp_path, figure):
    """Writes of which every second one is interrupted by a signal do no harm."""
    strace = Strace(tmp_path / "seen", files_of(job)[file], "pwrite64:error=EINTR:when=1+2")
    with Endpoint(job.ledger, **QUICK) as endpoint:
        done = job.run(endpoint, wrapper=strace.wrapper)
    assert done.returncode == DEAD_LETTERS, done.stderr
    job.check()
    figure.add(strace.injected, "interrupted writes made again")
    assert strace.injected > 2


@pytest.mark.fault(13)
def test_a_limit_on_the_size_of_files_ends_the_run(tmp_path, figure):
    """Where no file may grow beyond a limit the write that meets it, half done, ends the run with 74; without the limit
    the same command continues."""
    job = StorageJob(tmp_path, tmp_path / "ledger", records=600)
    with Endpoint(job.ledger, ttft_seconds=0.005) as endpoint:
        done = job.run(endpoint, wrapper=["prlimit", "--fsize=150000"])
    assert done.returncode == STORAGE, done.stderr
    assert "File too large" in done.stderr or "disk I/O error" in done.stderr
    job.finish()
    figure.most(job.check(repayable=CONCURRENCY).repaid, "paid again after a limit on the size of files")


@pytest.mark.fault(15)
def test_a_slow_disk_costs_time_only(tmp_path, figure):
    """With each flush of answers and rows taking 2 s no answer runs into its deadline of 1 s, and nothing is asked
    twice: whoever waits for the disk holds back what comes after."""
    job = StorageJob(tmp_path, tmp_path / "ledger", records=20)
    seen, files = tmp_path / "seen", files_of(job)
    strace = Strace(seen, files["output"], "fdatasync:delay_exit=2000000")
    wrapper = [*strace.wrapper, "-P", str(files["answers"])]
    summary = tmp_path / "summary.json"
    options = ["--set", "llm.timeout_seconds=1", "--summary-json", str(summary)]
    with Endpoint(job.ledger, **QUICK) as endpoint:
        done = job.run(endpoint, *options, wrapper=wrapper)
    assert done.returncode == DEAD_LETTERS, done.stderr
    report = json.loads(summary.read_text())
    assert (report["retries"], report["model_calls"], job.check().repaid) == (0, 18, 0)
    assert strace.injected > 5
    figure.add(strace.injected, "flushes of 2 s; no call made twice")


@pytest.mark.fault(14)
def test_a_disk_that_cannot_be_written_is_refused_before_the_first_request(tmp_path, figure):
    """A job whose output lies on a read-only disk ends with 74 and has sent nothing; made writable, it runs."""
    with SmallDisk(tmp_path / "disk", "size=4m") as disk:
        job = StorageJob(disk.place, tmp_path / "ledger")
        disk.change("ro")
        with Endpoint(job.ledger, **QUICK) as endpoint:
            done = job.run(endpoint)
        assert (done.returncode, job.billed()) == (STORAGE, 0), done.stderr
        assert "Read-only file system" in done.stderr
        disk.change("rw")
        job.finish()
        job.check()
    figure.say("a read-only disk: 74, nothing sent")


@pytest.mark.fault(21)
@pytest.mark.timeout(120)
def test_a_locked_output_is_waited_for(tmp_path, figure):
    """Another program that keeps the output locked is waited for; after 30 s the run says that it waits, sends nothing
    more, and goes on when the lock is gone. No record fails."""
    job = StorageJob(tmp_path, tmp_path / "ledger", sink="sqlite", records=120)
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as running:
        endpoint.wait_until("billed", 12)
        with closing(sqlite3.connect(job.output, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            running.hear("storage.blocked")
            other.execute("ROLLBACK")
        assert running.end() == DEAD_LETTERS, running.heard
    assert "locked" in running.heard
    figure.most(job.check().repaid, "paid again after a lock of over 30 s")


@pytest.mark.fault(8)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_a_corrupt_state_costs_no_answer(sink, tmp_path, figure):
    """A state of which the pages are overwritten is refused with 3; with --overwrite the run begins anew, and pays for
    nothing again."""
    job = StorageJob(tmp_path, tmp_path / "ledger", sink=sink, records=60)
    with Endpoint(job.ledger, **QUICK) as endpoint:
        with job.running(endpoint) as running:
            endpoint.wait_until("billed", 20)
            assert running.end(signal.SIGINT) == 130, running.heard
        paid = job.billed()
        state = job.output if sink == "sqlite" else job.home / "state.db"
        state.write_bytes(state.read_bytes()[:4096] + b"\xaa" * (state.stat().st_size - 4096))
        refused = job.run(endpoint)
        assert refused.returncode == 3, refused.stderr
        assert str(state) in refused.stderr
        assert job.billed() == paid
        assert job.run(endpoint, "--overwrite").returncode == DEAD_LETTERS
    assert job.check().repaid == 0
    figure.add(paid, "answers that survived a corrupt state")
