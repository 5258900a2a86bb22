"""The real command and connections that cannot be made, are not to be trusted, or never end."""

import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.faults.commands import Job
from tests.faults.network import Scene
from tests.faults.oracle_server import ROOT, OracleEndpoint

STOPPED, DEAD_LETTERS = 4, 1
RECORDS = 40


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.mark.slow
@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("url", "under"),
    [
        (None, ()),
        ("http://127.0.0.1:9/v1", ("unshare", "-n")),
        ("http://nowhere.invalid/v1", ("unshare", "-n")),
    ],
    ids=["refused", "no-route", "no-name"],
)
def test_without_a_connection_rows_wait_and_then_the_run_stops(
    url: str | None, under: tuple[str, ...], tmp_path: Path, figure: Any
) -> None:
    """Where no connection can be made nothing is sent, no record fails, and the run stops after `unreachable_seconds`;
    the same command completes it."""
    job = Job(tmp_path, RECORDS, "wire", unreachable_seconds=3)
    began = time.monotonic()
    code, said = job.run(url or _closed_port(), under=under)
    assert code == STOPPED, said
    assert "nothing was answered for" in said
    assert time.monotonic() - began > 3
    assert not job.ledger.exists()
    assert not [line for line in _lines(job.dead) if "text" in json.loads(line)["input"]]
    with OracleEndpoint(job.ledger) as endpoint:
        code, said = job.run(endpoint.url)
        assert code == DEAD_LETTERS, said
        assert endpoint.figures()["requests"] == RECORDS - RECORDS // 10
    job.judged(repayable=0)
    figure.add(0, "records failed")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


CERTIFICATES = ["self-signed", "expired", "other-host"]


@pytest.mark.slow
@pytest.mark.fault(28)
@pytest.mark.parametrize("how", CERTIFICATES)
def test_an_untrusted_certificate_stops_the_run(how: str, tmp_path: Path, figure: Any) -> None:
    """A certificate that nobody vouches for, that has run out, or that is another host's ends the run at once, with not
    one request; with a good one the same command completes it."""
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    past = datetime(2020, 1, 1, tzinfo=UTC)
    bad = {
        "self-signed": lambda: theirs.issue_cert("localhost"),
        "expired": lambda: ours.issue_cert("localhost", not_before=past.replace(year=2019), not_after=past),
        "other-host": lambda: ours.issue_cert("example.org"),
    }[how]()
    job = Job(tmp_path, RECORDS, "tls", ca_file=str(tmp_path / "ca.pem"))
    with OracleEndpoint(job.ledger, tls=_written(bad, tmp_path / "bad")) as endpoint:
        code, said = job.run(endpoint.url)
    assert code == STOPPED, said
    assert "llm.ca_file" in said
    assert job.ledger.read_text() == ""
    figure.add(0, "requests sent")
    with OracleEndpoint(job.ledger, tls=_written(ours.issue_cert("localhost"), tmp_path / "good")) as endpoint:
        code, said = job.run(endpoint.url)
    assert code == DEAD_LETTERS, said
    job.judged(repayable=0)


def _written(certificate: trustme.LeafCert, folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    chain, key = folder / "chain.pem", folder / "key.pem"
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(str(chain), append=number > 0)
    certificate.private_key_pem.write_to_path(str(key))
    return chain, key


@pytest.mark.fault(32, 33)
@pytest.mark.promise("P20")
@pytest.mark.parametrize("do", ["slow-headers", "slow-body", "hang", "hang-in-body"])
def test_every_attempt_ends_with_its_deadline(do: str, tmp_path: Path, figure: Any) -> None:
    """Bytes that trickle and answers that never come take their own attempt its deadline and under a second more;
    others go on beside them, and what they may have cost shows."""
    scene = Scene(tmp_path, 60)
    slow = [5, 6, 7, 25]
    report = scene.run([{"do": do, "numbers": slow}, {"do": "answer", "after": 0.2}], timeout_seconds=3.0)
    took = [request["took"] for request in scene.requests if request["did"] == do]
    assert len(took) == 2 * len(slow)
    assert all(2.7 <= seconds <= 4 for seconds in took), took
    assert set(scene.dead()) == set(slow)
    assert {letter["error"]["type"] for letter in scene.dead().values()} == {"ambiguous"}
    assert report.ending == "finished"
    scene.judged(repayable=len(slow), dead=slow)
    figure.most(round(max(took) - 3, 2), "s beyond the deadline")


@pytest.mark.slow
@pytest.mark.fault(32, 33)
@pytest.mark.promise("P20")
def test_every_attempt_of_the_command_ends_with_its_deadline(tmp_path: Path, figure: Any) -> None:
    """The same of the real command: headers and bodies that trickle, and silence, with 3 s each."""
    job = Job(tmp_path, 300, "slow", concurrency=8, timeout_seconds=3)
    kinds = {1: "slow-headers", 2: "slow-body", 3: "hang"}
    rules = [{"do": do, "every": [100, number]} for number, do in kinds.items()]
    with OracleEndpoint(job.ledger, [*rules, {"do": "answer", "after": 0.05}]) as endpoint:
        code, said = job.run(endpoint.url)
        took = [request["took"] for request in endpoint.requests() if request["did"] in kinds.values()]
    assert code == DEAD_LETTERS, said
    slow = [number for number in range(300) if number % 100 in kinds]
    assert len(took) == 2 * len(slow)
    assert max(took) <= 4
    job.judged(repayable=len(slow), dead=slow)
    figure.most(round(max(took) - 3, 2), "s beyond the deadline")


BOMBS = ["1gib-length", "1gib-chunked", "1gib-to-the-end", "gzip-bomb", "deflate-bomb", "gzip-bomb-500"]
HEADS = ["9kb-header", "10000-headers", "endless-headers"]


@pytest.mark.slow
@pytest.mark.fault(43)
@pytest.mark.promise("P11")
@pytest.mark.parametrize("do", [*BOMBS, *HEADS])
def test_a_bomb_is_capped(do: str, tmp_path: Path, figure: Any) -> None:
    """Four bombs at once, of a GiB, of a quarter of one compressed to nothing, or of headers, take a process of its own
    less than 300 MiB, and its other records are answered."""
    victims = [11, 12, 13, 14]
    job = Job(tmp_path, 60, "bomb", max_attempts=2)
    with OracleEndpoint(job.ledger, [{"do": do, "numbers": victims}]) as endpoint:
        command = [sys.executable, "-m", "tests.faults.peak_memory", *job.command(endpoint.url)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
        asked = endpoint.figures()[do]
    peak = int(done.stdout.splitlines()[-1])
    assert done.returncode == DEAD_LETTERS, done.stderr
    answered = do == "9kb-header"
    bills = do != "gzip-bomb-500"
    assert asked == len(victims) * (1 if answered else 2)
    dead = () if answered else victims
    job.judged(repayable=len(victims) * (not answered) * bills, dead=dead, unbilled=() if bills else victims)
    assert peak < 300 << 20
    figure.most(peak >> 20, "MiB at most")
