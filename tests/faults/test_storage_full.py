"""Disks that are full, for real: the command pauses, says so, and goes on when there is room."""

import signal
import sys

import pytest

from tests.faults.storage_jobs import STORAGE, SmallDisk, StorageJob
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, DEAD_LETTERS, QUICK

RECORDS = 120

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk of its own")]


@pytest.fixture
def disk(tmp_path):
    with SmallDisk(tmp_path / "disk", "size=1500k") as disk:
        yield disk


def job_on(disk, tmp_path, full, sink):
    """A job of which all, the answers, or all but these lie on the small disk."""
    if full == "all":
        return StorageJob(disk.place, tmp_path / "ledger", sink=sink, records=RECORDS)
    elsewhere, here = (tmp_path, disk.place) if full == "journal" else (disk.place, tmp_path)
    cache = {"path": str((here if full == "output" else disk.place) / "answers.db")}
    return StorageJob(elsewhere, tmp_path / "ledger", sink=sink, records=RECORDS, cache=cache)


@pytest.mark.fault(9)
@pytest.mark.fault(10)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
@pytest.mark.parametrize("full", ["output", "journal", "all"])
def test_a_full_disk_is_waited_for(full, sink, disk, tmp_path, figure):
    """A run whose disk becomes full says so, sends nothing more, and ends by itself when there is room; nothing is
    lost, and nothing paid twice."""
    job = job_on(disk, tmp_path, full, sink)
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as running:
        endpoint.wait_until("billed", 12)
        disk.fill()
        running.hear("storage.blocked")
        paid = job.billed()
        running.hear("storage_blocked")  # the alert, seconds later
        sent_meanwhile = job.billed() - paid
        disk.empty()
        assert running.end() == DEAD_LETTERS, running.heard
    assert sent_meanwhile <= CONCURRENCY, "more than what was in flight"
    assert paid < RECORDS * 0.9, "the disk was full too late to mean anything"
    assert "storage.passed" in running.heard
    verdict = job.check()
    figure.add(1, "full disks waited for")
    figure.most(sent_meanwhile, "answers that came after it was full, all kept")
    figure.most(verdict.repaid, "paid again")


@pytest.mark.fault(9)
@pytest.mark.fault(10)
@pytest.mark.parametrize("full", ["output", "journal", "all"])
def test_an_interruption_while_paused_ends_with_74(full, disk, tmp_path, figure):
    """A paused run that is interrupted ends with 74; the same command continues it, and pays again at most what could
    not be kept."""
    job = job_on(disk, tmp_path, full, "jsonl")
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as running:
        endpoint.wait_until("billed", 12)
        disk.fill()
        running.hear("storage.blocked")
        assert running.end(signal.SIGINT) == STORAGE, running.heard
    assert "No space left" in running.heard or "full" in running.heard
    disk.empty()
    job.finish()
    repaid = job.check(repayable=0 if full == "output" else CONCURRENCY).repaid
    figure.add(1, "interruptions of a paused run")
    figure.most(repaid, "paid again after an interruption of it")


@pytest.mark.fault(60)
@pytest.mark.parametrize(("sink", "inodes"), [("jsonl", 13), ("sqlite", 12)])
def test_no_room_for_one_more_file_is_waited_for(sink, inodes, tmp_path, figure):
    """Where the file of dead letters cannot be made for want of an inode, the run pauses as on a full disk."""
    with SmallDisk(tmp_path / "disk", f"nr_inodes={inodes}") as disk:
        job = StorageJob(disk.place, tmp_path / "ledger", sink=sink)
        with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as running:
            running.hear("storage.blocked")
            assert "dead.jsonl: No space left on device" in running.heard
            disk.change("nr_inodes=100")
            assert running.end() == DEAD_LETTERS, running.heard
        job.check()
    figure.add(1, "dead letters without an inode waited for")


@pytest.mark.fault(9)
def test_a_disk_that_is_full_from_the_start_ends_before_anything_is_sent(disk, tmp_path, figure):
    """A run that cannot begin for want of room ends with 74 and has sent nothing; with room it runs."""
    job = StorageJob(disk.place, tmp_path / "ledger")
    disk.fill()
    with Endpoint(job.ledger, **QUICK) as endpoint:
        done = job.run(endpoint)
    assert (done.returncode, job.billed()) == (STORAGE, 0), done.stderr
    disk.empty()
    job.finish()
    job.check()
    figure.say("a disk that is full at the start: 74, nothing sent")
