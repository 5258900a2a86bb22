"""The command `streamproc run` under signals, and beside another of its kind."""

import resource
import signal
import time

import pytest

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, HANGING, QUICK, RECORDS, REFUSED, Job, said

pytestmark = pytest.mark.slow


@pytest.mark.fault(51)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains(number, code, tmp_path):
    """One signal ends a run with its code once the calls under way are delivered; continuing pays nothing again."""
    job = Job(tmp_path)
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as process:
        endpoint.wait_until("billed", 12)
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == code
    paid = oracle.billed(job.ledger, 0, "job")
    assert 12 <= paid < RECORDS * 0.9, "the signal came too late to mean anything"
    job.finish()
    verdict = job.verdict(repayable=0)
    assert not verdict.violations


@pytest.mark.fault(51)
@pytest.mark.promise("P13")
def test_the_second_signal_ends_the_calls(tmp_path):
    """A second signal leaves at once with the first one's code, and continuing pays at most what was in flight."""
    job = Job(tmp_path)
    with Endpoint(job.ledger, **HANGING) as endpoint, job.running(endpoint) as process:
        endpoint.wait_until("running", CONCURRENCY)
        process.send_signal(signal.SIGINT)
        said(process, "run.interrupted")
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 2
    assert process.returncode == 130
    job.finish()
    assert not job.verdict(repayable=CONCURRENCY).violations


@pytest.mark.fault(17)
@pytest.mark.promise("P16")
def test_a_second_process_is_refused(tmp_path):
    """While a run has an output, another one on it exits 3 after under a second of work, and the first is unharmed."""
    job = Job(tmp_path)
    with Endpoint(job.ledger, **HANGING) as endpoint, job.running(endpoint) as process:
        endpoint.wait_until("running", CONCURRENCY)
        begun, worked = time.monotonic(), _seconds_worked()
        second = job.run(endpoint)
        assert second.returncode == REFUSED
        assert f"process {process.pid} " in second.stderr
        assert _seconds_worked() - worked < 1  # of its own: how long that takes depends on who else is working
        assert time.monotonic() - begun < 10
        assert process.poll() is None
    job.finish()
    assert not job.verdict(repayable=CONCURRENCY).violations


def _seconds_worked():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
