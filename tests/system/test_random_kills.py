"""Kill -9 at random moments of a longer run, each start a process of its own."""

import random
import subprocess

import pytest

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.nursery import PYTHON, ROOT

RECORDS, CONCURRENCY, KILLS = 2000, 16, 50
EARLIEST_SECONDS, LATEST_SECONDS = 0.1, 1.1
"""From before the imports are done until after some hundred answers."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_fifty_kills_lose_nothing(sink, tmp_path, record_property):
    """After 50 kills at random moments each of 2,000 records ends once, and at most 16 a kill were paid again."""
    draw = random.Random(50)
    ledger, folder = tmp_path / "ledger", tmp_path / "run"
    oracle.write_input(folder, RECORDS, "random")
    with Endpoint(ledger, ttft_seconds=0.15, step_seconds_floor=0.002) as endpoint:
        argv = ["--sink", sink, "--folder", str(folder), "--url", endpoint.url, "--concurrency", str(CONCURRENCY)]
        command = [*PYTHON, "-m", "tests.system.crash_run", *argv]
        for _ in range(KILLS):
            with subprocess.Popen(command, cwd=ROOT) as process:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(EARLIEST_SECONDS, LATEST_SECONDS))
                process.kill()
        before_the_last = oracle.billed(ledger, 0, "random")
        assert subprocess.run(command, cwd=ROOT, timeout=200).returncode == 0
    verdict = oracle.judge(folder, ledger, 0, "random", CONCURRENCY * KILLS)
    record_property("repaid", verdict.repaid)
    record_property("billed_before_the_last_start", before_the_last)
    assert not verdict.violations
    assert before_the_last > RECORDS // 10, "the kills came too early to mean anything"
