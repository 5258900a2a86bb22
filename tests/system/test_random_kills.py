"""Kill -9 at random moments of a longer run, each start a process of its own."""

import random
import signal
import subprocess
import time

import pytest

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.nursery import PYTHON, ROOT

RECORDS, CONCURRENCY, KILLS = 2000, 16, 50
BLIND_EVERY = 5
"""Each fifth kill comes at any time after the start; the others at any time after a first new answer."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.fault(2)
@pytest.mark.promise("P1", "P5")
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_fifty_kills_lose_nothing(sink, tmp_path, figure):
    """After 50 kills at random moments each of 2,000 records ends once, and at most 16 a kill were paid again."""
    draw = random.Random(50)
    ledger, folder = tmp_path / "ledger", tmp_path / "run"
    oracle.write_input(folder, RECORDS, "random")
    with Endpoint(ledger, ttft_seconds=0.15, step_seconds_floor=0.002) as endpoint:
        argv = ["--sink", sink, "--folder", str(folder), "--url", endpoint.url, "--concurrency", str(CONCURRENCY)]
        command = [*PYTHON, "-m", "tests.system.crash_run", *argv]
        for number in range(KILLS):
            with subprocess.Popen(command, cwd=ROOT) as process:
                if number % BLIND_EVERY:
                    wait_for_more(ledger)
                time.sleep(draw.uniform(0, 0.5))
                process.kill()
            assert process.returncode == -signal.SIGKILL
        before_the_last = oracle.billed(ledger, 0, "random")
        assert subprocess.run(command, cwd=ROOT, timeout=200).returncode == 0
    verdict = oracle.judge(folder, ledger, 0, "random", CONCURRENCY * KILLS)
    figure.add(KILLS, "kills")
    figure.add(verdict.repaid, "answers paid again by them")
    assert not verdict.violations
    assert before_the_last > RECORDS // 10, "the kills came too early to mean anything"


def wait_for_more(ledger):
    """Wait until something more is billed."""
    size, deadline = oracle.bill_size(ledger), time.monotonic() + 30
    while oracle.bill_size(ledger) == size:
        assert time.monotonic() < deadline, "nothing more is billed"
        time.sleep(0.005)
