"""What the promises cost."""

import statistics
import subprocess

import pytest

from tests.faults.oracle_server import OracleEndpoint
from tests.system import oracle
from tests.system.nursery import PYTHON, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def seconds(folder, url, concurrency, records, way):
    """Run over so many records that have an answer."""
    oracle.write_input(folder, records, folder.name)
    command = [*PYTHON, "-m", "tests.faults.price_run", str(folder), url, str(concurrency), way]
    return float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.promise("P22")
def test_durability_has_no_visible_price(tmp_path, figure):
    """Where the endpoint allows some 200 records a second, a run that flushes everything to the disk takes as long as
    one that flushes nothing, within a twentieth: the median of five pairs in turn."""
    ratios = []
    with OracleEndpoint(tmp_path / "ledger", [{"do": "answer", "after": 0.1}]) as endpoint:
        for pair in range(5):
            ways = ("durable", "volatile") if pair % 2 else ("volatile", "durable")
            took = {way: seconds(tmp_path / f"{way}{pair}", endpoint.url, 20, 800, way) for way in ways}
            ratios.append(took["durable"] / took["volatile"])
    middle = statistics.median(ratios)
    figure.say(
        f"{middle:.3f} times as long ({min(ratios):.3f} to {max(ratios):.3f}) as without flushes at 200 records/s"
    )
    assert middle < 1.05


@pytest.mark.promise("P22", "P6")
def test_ten_thousand_records_are_paid_once(tmp_path, figure):
    """Without faults and without latency, 10,000 records cost 9,000 calls: a tenth of them has nothing to ask. How fast
    that goes says something about the machine, so it is only noted."""
    with OracleEndpoint(tmp_path / "ledger") as endpoint:
        took = seconds(tmp_path / "run", endpoint.url, 64, 10_000, "durable")
    verdict = oracle.judge(tmp_path / "run", tmp_path / "ledger", 0, "run", repayable=0)
    assert not verdict.violations
    figure.say("9,000 prompts, 9,000 billed", only="promise P6")
    figure.say(
        f"{9000 / took:,.0f} calls/s without latency, beside the endpoint on the same 2 cores", only="promise P22"
    )
