"""Much input, and monsters in it: memory stays where it was."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.oracle_server import OracleEndpoint
from tests.system.nursery import PYTHON, ROOT

ROWS, STOPPED_AT = 1_000_000, 900_000
PROMPTS, NEW_PROMPTS = 5000, 100
"""So many different ones, and so many new ones from where the run is stopped; the rest is answered from the journal."""
GIB = 1 << 30
MOST_MIB, MOST_GROWTH = 300.0, 1.0
"""What is promised: resident MiB at any time, and MiB a minute."""
LOOSER = 3
"""The window is a minute, in which a single step of the allocator counts for a MiB."""
MONSTERS = 4_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what is resident is told at once only here"),
]


def write_input(path: Path) -> None:
    """Write rows, and after a third of them a line of a GiB (a hole in the file) and one whose answer has a GiB."""
    with path.open("wb") as file:
        for number in range(ROWS):
            if number == ROWS // 3:
                file.seek(GIB, os.SEEK_CUR)
                file.write(b"\n")
                file.write(json.dumps({"text": f"bulk {MONSTERS}. And a monster answers."}).encode() + b"\n")
            prompt = number if 0 <= number - STOPPED_AT < NEW_PROMPTS else number % PROMPTS
            file.write(b'{"text": "bulk %d. And what follows it.", "row": %d}\n' % (prompt, number))


def resident(pid: int, field: str) -> float:
    """Give a figure of a process's memory, in MiB."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def growth(seen: list[tuple[float, float]]) -> float:
    """Give the slope of the straight line through what was seen, in MiB a minute."""
    times, sizes = zip(*seen, strict=True)
    mean_time, mean_size = sum(times) / len(seen), sum(sizes) / len(seen)
    covariance = sum((at - mean_time) * (size - mean_size) for at, size in seen)
    return 60 * covariance / sum((at - mean_time) ** 2 for at in times)


class Bulk:
    """Starts runs over the same input, and watches what they take."""

    def __init__(self, folder: Path, url: str) -> None:
        self._command = [*PYTHON, "-m", "tests.faults.bulk_run", str(folder), url, "8000"]
        self.seen: list[tuple[float, float]] = []
        self.high = 0.0

    @contextmanager
    def running(self, *limit: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen([*self._command, *limit], cwd=ROOT) as process:
            try:
                yield process
                while process.poll() is None:
                    self.high = max(self.high, resident(process.pid, "VmHWM"))
                    if size := resident(process.pid, "VmRSS"):
                        self.seen.append((time.monotonic(), size))
                    time.sleep(0.5)
            finally:
                process.kill()
        assert process.returncode == 0


@pytest.mark.fault(43, 46)
@pytest.mark.promise("P4", "P11", "P23")
@pytest.mark.timeout(900)
def test_a_million_records_and_two_monsters_fit_into_memory(tmp_path, figure):
    """A million records through a slow sink, a line of a GiB and an answer of a GiB among them: what is resident stays
    below 300 MiB and does not grow. Stopped at nine tenths, the run goes on within ten seconds. Each record ends once,
    and each prompt is paid once."""
    write_input(tmp_path / "in.jsonl")
    with OracleEndpoint(tmp_path / "ledger", [{"numbers": [MONSTERS], "do": "1gib-chunked"}]) as endpoint:
        bulk = Bulk(tmp_path, endpoint.url)
        with bulk.running(str(STOPPED_AT)):
            pass
        later = bulk.seen[len(bulk.seen) // 2 :]  # the monsters are dealt with by then
        asked, begun = endpoint.figures()["requests"], time.monotonic()
        with bulk.running():
            endpoint.wait_until("requests", asked + 1)
            resumed_after = time.monotonic() - begun
    ended = bytearray(ROWS + 2)
    for name in ("out.jsonl", "out.jsonl.dead.jsonl"):
        with (tmp_path / name).open("rb") as file:
            for line in file:
                ended[int(json.loads(line)["id"])] += 1
    assert ended.count(1) == ROWS + 2
    paid = [prompt for prompt in (tmp_path / "ledger").read_text().splitlines() if str(MONSTERS) not in prompt]
    assert len(paid) == len(set(paid)) == PROMPTS + NEW_PROMPTS
    what = "1,000,000 records, a line of 1 GiB and an answer of 1 GiB"
    for mark in ("promise P11", "fault 43", "fault 46"):
        figure.most(round(bulk.high), f"MiB resident with {what}", only=mark)
    figure.most(round(growth(later), 2), "MiB growth a minute", only="promise P11")
    figure.say(f"{len(set(paid)):,} prompts of 1,000,002 records, {len(paid):,} billed", only="promise P4")
    figure.most(round(resumed_after, 1), "s to the first request with 900,000 of 1,000,002 done", only="promise P23")
    assert bulk.high < MOST_MIB
    assert growth(later) < LOOSER * MOST_GROWTH
    assert resumed_after < 10
