"""The promise about memory: a run never uses more than it may, and loses nothing for it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.system.nursery import PYTHON, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what is resident is told at once only here"),
]


def run_short_of_memory(*arguments: str) -> dict[str, Any]:
    """Run in a process of its own; give what was seen."""
    command = [*PYTHON, "-m", "tests.system.memory_run", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=200, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def check_promise(seen: dict[str, Any]) -> None:
    assert seen["looks"] > 1000, seen
    assert seen["peak_mb"] <= seen["limit_mb"], seen
    assert (seen["once"], seen["never"], seen["ending"]) == (seen["made"], 0, "finished"), seen
    assert seen["made"] > 4000, seen


@pytest.mark.parametrize("kilobytes", [8, 60])
def test_large_records_and_a_stuck_sink_never_exceed_the_limit(kilobytes: int) -> None:
    """40 MB of room, a usual span of records that needs more, reading as fast as it goes, and a sink that is stuck for
    10 s: at every look, 50 a second, the memory is within its limit; each record is delivered exactly once."""
    check_promise(run_short_of_memory("--kilobytes", str(kilobytes), "--stall", "10", "--seconds", "25"))


def test_a_plain_example() -> None:
    """Records of 30 KB and a sink that is stuck for 20 s, then calm: the same, and the alert about memory begins once
    and ends once."""
    seen = run_short_of_memory("--kilobytes", "30")
    check_promise(seen)
    assert [state for metric, state, _ in seen["alerts"] if metric == "memory"] == ["firing", "resolved"], seen
