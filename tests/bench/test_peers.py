"""The harness that compares streamproc with what people use instead."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers.contenders import OURS, PEERS, SCENARIOS, Contender
from bench.peers.counting import counting_endpoint
from bench.peers.environments import LOCKS, ROOT
from bench.peers.figures import figure_of, table_of
from bench.peers.process import Run, started
from bench.peers.work import check, line_of, write_rows

BY_HAND = Contender("by hand", "by_hand", None, ("aiohttp",))  # what it needs is in our environment too
ENVIRONMENTS = sorted({peer.environment for peer in PEERS if peer.environment})


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_is_pinned(name: str) -> None:
    """What is asked for is pinned where it is named, and the lock has a hash for everything."""
    lock = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9-]+)(?:\[\w+\])?==(\S+)", (LOCKS / f"{name}.in").read_text("utf-8"), re.MULTILINE)
    assert pinned
    for package, version in pinned:
        assert re.search(rf"^{package}(\[\w+\])?=={re.escape(version)} ", lock, re.MULTILINE), package
    requirements = [line for line in lock.splitlines() if re.match(r"[a-z]", line)]
    assert all(line.endswith("\\") for line in requirements)
    assert lock.count("--hash=sha256:") >= len(requirements)


def test_no_lock_holds_a_release_that_was_malware() -> None:
    """litellm 1.82.7 and 1.82.8 are in no lock of ours."""
    for lock in (ROOT / "requirements").rglob("*.txt"):
        assert not re.search(r"^litellm==1\.82\.[78]\b", lock.read_text(encoding="utf-8"), re.MULTILINE), lock


def test_only_this_machine_can_be_reached() -> None:
    """In a process that may reach this machine only, any other address and name is refused before it is asked."""
    code = """
import json, socket
from bench.peers.loopback_only import forbid_others
tried, refused = forbid_others(), 0
for attempt in (
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.getaddrinfo("example.org", 443),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("192.0.2.1", 53)),
):
    try:
        attempt()
    except PermissionError:
        refused += 1
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
print(json.dumps([refused, tried]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [3, ["192.0.2.1", "example.org", "192.0.2.1"]]


@pytest.mark.parametrize("fault", ["none", "lost", "twice", "wrong"])
def test_work_that_was_not_done_does_not_count(fault: str, tmp_path: Path) -> None:
    """Each row must have been written once, with its answer, in whatever order."""
    rows = [{"number": number, "text": "t"} for number in (2, 0, 1)]
    lines = [line_of(row, "positive") for row in rows]
    wrong = [*lines[1:], line_of(rows[0], "")]
    lines = {"none": lines, "lost": lines[1:], "twice": [*lines, lines[0]], "wrong": wrong}[fault]
    sink = tmp_path / "out.jsonl"
    sink.write_text("".join(lines))
    if fault == "none":
        check(sink, 3)
    else:
        with pytest.raises(RuntimeError, match="3 rows"):
            check(sink, 3)


def test_ratios_are_of_runs_beside_each_other() -> None:
    """How many times faster streamproc is comes from each pair, and only then the median is taken."""
    pairs = [(Run(1.0, 0.5, 10), Run(10.0, 5.0, 10)), (Run(2.0, 1.0, 10), Run(10.0, 5.0, 12)), (Run(1, 1, 10),) * 2]
    figure = figure_of(PEERS[2], {"a": "1"}, "miss", 100, pairs)
    assert (figure.times.median, figure.times.lowest, figure.times.highest) == (5.0, 1.0, 10.0)
    assert (figure.rate.median, figure.cpu.median, figure.asked.highest) == (10.0, 50_000.0, 12)
    assert figure_of(OURS, {"a": "1"}, "miss", 100, pairs).times is None
    assert table_of("miss", [figure]).row_count == 1


def test_who_has_no_cache_is_not_asked_to_show_one() -> None:
    """Every contender is in the first scenario, and goals are for scenarios in which it is."""
    for peer in (OURS, *PEERS):
        assert "miss" in peer.scenarios
        assert set(peer.goals) <= set(peer.scenarios) <= set(SCENARIOS)
        assert (ROOT / "bench" / "peers" / f"{peer.module}.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("contender", [OURS, PEERS[0], BY_HAND], ids=lambda contender: contender.module)
def test_contenders_do_their_work(contender: Contender, tmp_path: Path) -> None:
    """Every distinct prompt is asked; a repeated one again by none but the loop, while it is under way."""
    source, repeated = write_rows(tmp_path / "a", 300, 300), write_rows(tmp_path / "b", 300, 10)
    with counting_endpoint() as endpoint, started(contender, endpoint) as process:
        assert set(process.versions) == set(contender.packages)
        assert process.run(source, 300, cached=False).asked == 300
        asked = process.run(repeated, 300, cached=True).asked
        assert 10 <= asked <= 128 if contender is BY_HAND else asked == 10


@pytest.mark.slow
def test_a_contender_that_fails_is_named() -> None:
    """A process that ends before its work is done is an error with the contender's name."""
    ended = pytest.raises(RuntimeError, match="by hand has ended")
    with counting_endpoint() as endpoint, started(BY_HAND, endpoint) as process, ended:
        process.run(Path("/nowhere"), 1, cached=False)
