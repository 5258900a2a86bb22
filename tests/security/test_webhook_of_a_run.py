"""A run whose alerts cannot be delivered: it does not care, and says so."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamproc.monitoring.webhook import TIMEOUT_SECONDS
from tests.faults.recording import Figure
from tests.security.canaries import Parrot, hits_below
from tests.security.conftest import Sweep, job

pytestmark = [pytest.mark.fault(58), pytest.mark.promise("P17"), pytest.mark.slow]


@contextmanager
def hook(answer: bytes | None) -> Iterator[int]:
    """Listen on a port and give it: answer each connection so, or never."""
    left = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if answer is None:
                left.wait(60)
            else:
                self.request.recv(1 << 16)
                self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            left.set()
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "no answer within"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", "redirects are not"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "it answered 500"),
    ],
    ids=["silent", "redirecting", "failing"],
)
def test_a_run_with_a_webhook_that_fails(
    sweep: Sweep, echo: Parrot, folder: Path, answer: bytes | None, reason: str, figure: Figure
) -> None:
    """A run with an alert and a webhook that fails completes every record, and ends no later than its patience."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": f"r{n}", "text": str(n)}) + "\n" for n in range(8)))
    tree = job(echo.url, resources={"max_memory_mb": 1}, llm={"requests_per_minute": 60})
    with hook(answer) as port:
        url = f"http://127.0.0.1:{port}/CANARYhook5d1f9cQZ"
        options = ("--summary-json", "summary.json", "--log-level", "debug", "--log-format", "json")
        ended = sweep("run", tree, *options, HOOK_URL=url)
    assert ended.code == 0, ended
    summary = json.loads((folder / "summary.json").read_text())
    told = [json.loads(line) for line in ended.err.splitlines()]
    assert summary["completed"] == 8
    assert summary["elapsed_seconds"] < 8 + TIMEOUT_SECONDS + 5
    assert [each["host"] for each in told if each["event"] == "alert.undelivered" and reason in each["reason"]]
    assert hits_below(folder, ended.out, ended.err) == []
    figure.add(1, "runs beside a webhook that fails, unharmed")
