"""Power lost at any moment of a run: what a disk may hold then is built from a record of all that was done to it."""

import random
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.faults.power_loss import Disk, lay_out
from tests.system import oracle
from tests.system.disk_log import Operation, operations
from tests.system.endpoint import Endpoint
from tests.system.nursery import Nursery
from tests.system.wrong_sinks import BY_NAME, BY_NAME_WITHOUT_POWER

RECORDS, CONCURRENCY = 20, 4
MARK = "power"
CHUNKS, STATES = 8, 250
"""Chunks for each sink, and states in each. A state takes 50 ms of a core."""
RECORDINGS = 3
"""In each chunk: runs of which one is left alone, and the others are killed first and continued."""
MOST_STATES_TO_FIND = 300
QUICK = {"output_mu": 0.0, "output_sigma": 0.0, "ttft_seconds": 0.001, "step_seconds_floor": 0.0001}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class PowerCuts:
    """Records runs, and continues what may be left of them. Use it in a `with` block."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        shared_memory = Path("/dev/shm")
        place = shared_memory if shared_memory.is_dir() else None
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
        self._endpoint = self._stack.enter_context(Endpoint(self._folder / "bill", **QUICK))
        self._nursery = self._stack.enter_context(Nursery())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def record(self, sink: str, kill_at: int | None) -> "Recording":
        """Run to the end, perhaps killed once on the way, and write down what is done to its files."""
        place = Path(tempfile.mkdtemp(dir=self._folder))
        oracle.write_input(place / "run", RECORDS, MARK)
        with Endpoint(place / "ledger", ttft_seconds=0.02) as endpoint:  # so slow that there are many commits
            argv = _arguments(sink, place / "run", endpoint)
            kills = 0
            if kill_at is not None:
                kills = int(self._nursery.run(argv, kill_at, log=place / "log")["status"] == -9)
            last = self._nursery.run(argv, log=place / "log")
        assert last["status"] == 0, last
        return Recording(sink, place, kills)

    def cut(self, recording: "Recording", at: int, seed: int) -> tuple[str, int]:
        """Lose power after so many operations, and go on from there; say what is wrong, and what was paid again."""
        draw = random.Random(seed)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            place = Path(name)
            oracle.write_input(place / "run", RECORDS, MARK)
            left = Disk(recording.log[:at]).lose_power(draw)
            lay_out(place / "run", left)
            since = oracle.bill_size(self._endpoint.ledger)
            done = self._nursery.run(_arguments(recording.sink, place / "run", self._endpoint))
            (place / "ledger").write_bytes(recording.bill_before(at) + self._endpoint.ledger.read_bytes()[since:])
            story = f"{recording.sink}, kills {recording.kills}, cut at {at} of {len(recording.log)}, seed {seed}\n"
            if done["status"] != 0:
                return f"{story}the next start ended with {done['status']}: {done['errors']}", 0
            repayable = CONCURRENCY * (1 + recording.kills)
            try:
                verdict = oracle.judge(place / "run", place / "ledger", 0, MARK, repayable)
            except Exception as error:  # noqa: BLE001 - an output that cannot even be read
                return f"{story}{type(error).__name__}: {error}", 0
        return (story + "\n".join(verdict.violations) if verdict.violations else ""), verdict.repaid


class Recording:
    """What was done to the files of one run."""

    def __init__(self, sink: str, place: Path, kills: int) -> None:
        self.sink = sink
        self.kills = kills
        self.log: list[Operation] = operations(place / "log")
        self._bill = (place / "ledger").read_bytes()
        shutil.rmtree(place)

    def bill_before(self, at: int) -> bytes:
        """Give what was billed when the power went."""
        return self._bill[: self.log[at].billed] if at < len(self.log) else self._bill


def _arguments(sink: str, folder: Path, endpoint: Endpoint) -> list[str]:
    return ["--sink", sink, "--folder", str(folder), "--url", endpoint.url, "--concurrency", str(CONCURRENCY)]


@pytest.fixture(scope="module")
def cuts() -> Iterator[PowerCuts]:
    with PowerCuts() as cuts:
        yield cuts


def recordings(cuts: PowerCuts, sink: str, draw: random.Random) -> list[Recording]:
    """A run that is left alone, and some that are killed at a random call and continued."""
    return [cuts.record(sink, None), *(cuts.record(sink, draw.randint(20, 200)) for _ in range(RECORDINGS - 1))]


@pytest.mark.fault(4)
@pytest.mark.promise("P3")
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_power_loss_at_any_moment_loses_nothing(sink, chunk, cuts, figure):
    """Whatever a disk may hold when the power fails within a run, the next start ends each record exactly once, without
    anybody's help, and pays again at most what was in flight."""
    draw = random.Random(zlib.crc32(f"{sink} {chunk}".encode()))
    recorded = recordings(cuts, sink, draw)
    repaid = 0
    for _ in range(STATES):
        recording = draw.choice(recorded)
        wrong, again = cuts.cut(recording, draw.randint(0, len(recording.log)), draw.getrandbits(32))
        assert not wrong, wrong
        repaid = max(repaid, again - CONCURRENCY * recording.kills)
    figure.add(STATES, f"states of a disk after power loss, {sink}, 0 violations")
    figure.most(repaid, f"answers paid again by one, with {CONCURRENCY} in flight")


@pytest.mark.promise("P25")
@pytest.mark.parametrize("sink", [*BY_NAME, *BY_NAME_WITHOUT_POWER])
def test_power_loss_finds_wrong_sinks(sink, cuts, figure):
    """A sink that is wrong in one place does not outlive a few hundred states."""
    draw = random.Random(25)
    recording = cuts.record(sink, None)
    for number in range(MOST_STATES_TO_FIND):
        if cuts.cut(recording, draw.randint(0, len(recording.log)), draw.getrandbits(32))[0]:
            figure.add(1, "wrong sinks caught by power loss")
            figure.most(number + 1, "states until one was caught")
            return
    raise AssertionError(f"{sink} got through")
