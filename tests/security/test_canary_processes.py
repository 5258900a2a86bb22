"""Real processes that are interrupted or die: what they leave behind has no secret in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.recording import Figure
from tests.security.canaries import ENVIRON, Parrot, hits_below
from tests.security.conftest import job

pytestmark = [pytest.mark.promise("P17"), pytest.mark.slow]
PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize(
    ("number", "codes"),
    [
        (signal.SIGINT, {130}),
        (signal.SIGTERM, {143}),
        (signal.SIGABRT, {-6, -11}),  # CPython's dump reads stacks of threads that run: one of 75 ends in SIGSEGV
        (signal.SIGKILL, {-9}),
    ],
)
def test_a_process_that_is_ended(
    folder: Path, echo: Parrot, number: signal.Signals, codes: set[int], figure: Figure
) -> None:
    """Interrupted, killed, or aborted with a dump of its stacks, at debug level with bodies: no secret in any file."""
    rows = [json.dumps({"id": f"r{n}", "text": f"{n}"}) for n in range(100_000)]
    (folder / "in.jsonl").write_text("\n".join(rows))
    (folder / "job.yaml").write_text(json.dumps(job(echo.url)))
    command = [sys.executable, "-X", "faulthandler", "-m", "streamproc", "run", "job.yaml", "--log-level", "debug"]
    with (folder / "shown").open("w+b") as shown:
        process = subprocess.Popen(
            [*command, "--log-bodies"], cwd=folder, stdout=shown, stderr=shown, env={**os.environ, **ENVIRON}
        )
        until = time.monotonic() + PATIENCE_SECONDS
        while b"sink.committed" not in (folder / "shown").read_bytes() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) in codes
    text = (folder / "shown").read_text()
    assert "body.answered" in text
    assert ("Fatal Python error" in text) is (number is signal.SIGABRT)
    assert hits_below(folder) == []
    figure.add(1, "processes ended, with stacks dumped")
