"""Kill -9 at every write, at every flush and at every change of a name, and look what is left.

How every point is hit: the kernel itself asks `kill_points` about each such call before it happens, one by one for all
threads, and the K-th is never answered. K counts from 1 until runs end alive, several in a row, since the number of
calls varies a little from run to run. That nothing is overlooked is witnessed by strace, which counts the calls of the
very same run from outside. Beside a kill before each write there is one within it, with half of its data in the file:
the kernel looks for a fatal signal after each page.
"""

import random
import shutil
import subprocess
from collections import Counter
from itertools import count

import pytest

from tests.system.crashes import CONCURRENCY, Crashes, Kill
from tests.system.endpoint import Endpoint
from tests.system.kill_points import NUMBERS
from tests.system.nursery import Nursery
from tests.system.wrong_sinks import BY_NAME

CHUNKS = 8
ALIVE_IN_A_ROW = 3
KINDS = sorted(set().union(*NUMBERS.values()))
RECOVERY_CALLS = 80

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def survey(crashes, sink, points, figure, and_again=None):
    """Crash at each of the points until runs end alive; hold what is left against the promise."""
    alive, hits, repaid, kinds = 0, 0, 0, Counter()
    for kill in points:
        crashed = crashes.crash(sink, [kill, *(and_again(kill) if and_again else ())])
        assert not crashed.violations, crashed.violations
        hits += crashed.kills
        repaid = max(repaid, crashed.verdict.repaid)
        alive = 0 if crashed.kills else alive + 1
        if alive == ALIVE_IN_A_ROW:
            break
        if crashed.kills:
            kinds[crashed.point] += 1
    figure.add(hits, "kills")
    figure.most(repaid, f"answers paid again by a crash with {CONCURRENCY} in flight")
    figure.most(len(kinds), "kinds of calls in a part of the sweep")
    return hits


@pytest.mark.fault(1)
@pytest.mark.promise("P2", "P5")
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_a_kill_at_any_point_loses_nothing(sink, torn, chunk, crashes, figure):
    """Wherever a run is killed, the next one ends each record exactly once, and pays again only what was in flight."""
    points = (Kill(at, torn) for at in count(chunk + 1, CHUNKS))
    assert survey(crashes, sink, points, figure) > 20


@pytest.mark.fault(3)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_a_kill_during_recovery_loses_nothing(sink, crashes, figure):
    """A run that is killed, killed again while it recovers, and a third time, still keeps the promise."""
    draw = random.Random(3)

    def again(_):
        return [Kill(draw.randint(1, RECOVERY_CALLS), draw.random() < 0.5) for _ in range(2)]

    points = (Kill(draw.randint(1, 300), draw.random() < 0.5) for _ in range(60))
    assert survey(crashes, sink, points, figure, again) > 120


@pytest.mark.promise("P25")
@pytest.mark.parametrize("sink", BY_NAME)
def test_the_survey_finds_wrong_sinks(sink, crashes, figure):
    """A sink that is wrong in one place does not get through the survey."""
    for at in count(1):
        crashed = crashes.crash(sink, [Kill(at)])
        if crashed.violations:
            figure.add(1, "wrong sinks caught")
            figure.most(at, "calls until it was caught")
            return
        assert crashed.kills, f"{sink} got through"


@pytest.mark.fault(1)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_no_point_is_overlooked(sink, tmp_path):
    """strace counts, from outside and of the same run, the very calls at which runs are killed."""
    assert shutil.which("strace"), "strace is missing: `sh .ci/install-debian strace`, or use `make test-slow`"
    permitted = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True)
    assert permitted.returncode == 0, f"ptrace is not permitted here, so nobody can witness: {permitted.stderr}"
    seen = tmp_path / "strace"
    kinds = ",".join(f"?{kind}" for kind in KINDS)
    with (
        Endpoint(tmp_path / "ledger", ttft_seconds=0.004) as endpoint,
        Nursery(["strace", "-f", "-qq", "-o", str(seen), "-e", f"trace={kinds}", "-e", "signal=none"]) as nursery,
    ):
        counted = Crashes(tmp_path, endpoint, nursery).count(sink)
    witnessed = Counter(
        call.partition("(")[0]
        for thread, _, call in (line.partition(" ") for line in seen.read_text().splitlines())
        if int(thread) != nursery.pid and "resumed>" not in call
        for call in [call.strip()]
    )
    assert witnessed == counted
    assert {"pwrite64", "fdatasync", "fsync", "ftruncate"} <= set(counted)
