"""Whatever a provider does with the key it was sent, the key stays where it was."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from streamproc._log import OFF, bodies
from streamproc.observe.log_lines import MOST_OF_A_BODY
from streamproc.observe.logs import configure
from streamproc.observe.secrets import KNOWN
from tests.faults.recording import Figure
from tests.security.canaries import VARIABLE, hits, hits_below, http
from tests.security.conftest import Parrot, Sweep, job

pytestmark = pytest.mark.promise("P17")
QUOTED = json.dumps({"error": {"message": "no such key: {key}", "type": "auth", "code": "bad"}})
STATUSES = (
    300,
    301,
    302,
    303,
    307,
    308,
    400,
    401,
    402,
    403,
    404,
    408,
    409,
    413,
    422,
    425,
    429,
    451,
    500,
    502,
    503,
    529,
)
ECHO = ("X-Request-Key: {key}", "Location: http://127.0.0.1:1/{key}", "Retry-After: 99999", "Set-Cookie: k={key}")

ANSWERS = {
    **{f"{status}": http(f"{status} No", QUOTED, *ECHO) for status in STATUSES},
    "a code and a type": http("400 No", '{"error": {"code": "{key}", "type": "{key}", "message": "m"}}'),
    "a code within a success": http("200 OK", '{"error": {"code": "{key}", "type": "{key}", "message": "m {key}"}}'),
    "a list": http("400 No", '[{"error": {"status": "{key}", "message": "{key}"}}]'),
    "a text": http("400 No", '{"error": "{key}"}'),
    "a detail": http("422 No", '{"detail": "{key}"}'),
    "a slash that is escaped": http("400 No", '{"error": "CANARYkey\\/7f3+9c1e=QZ"}'),
    "an error that quotes an error": http(
        "400 No", json.dumps({"error": {"message": '{"error": {"message": "{key}"}}'}})
    ),
    "a page": http("502 Bad", "<html><title>{key}</title>{key}</html>", "Content-Type: text/html"),
    "no JSON": http("500 No", "{key} " * 200),
    "a key across the cut": http("400 No", "x" * 290 + " {key} " + "y" * 290),
    "control characters": http("400 No", "\x1b]0;{key}\x07\r\n{key}"),
    "an empty success": http("200 OK", "", *ECHO),
    "a success that is none": http("200 OK", '{"key": "{key}"}', *ECHO),
    "half a success": http("200 OK", '{"key": "{key}', *ECHO),
    "no choices": http("200 OK", '{"choices": [], "key": "{key}"}'),
    "a page in place of an answer": http("200 OK", "<html>{key}</html>", "Content-Type: text/html"),
    "a cut body": http("200 OK", '{"key": "{key}"}', *ECHO, length=5000),
    "a body beyond the cap": http("200 OK", '{"key": "{key}"}', *ECHO, length=1 << 30),
    "a status line": b"HTTP/1.1 {key} {key}\r\n\r\n",
    "no HTTP": b"{key}\r\n\r\n{key}",
    "a header without end": b"HTTP/1.1 200 OK\r\nX-Key: " + b"{key}" * 1000 + b"\r\n\r\n",
    "a header that is none": b"HTTP/1.1 200 OK\r\n{key}\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n",
    "an encoding that is none": http("200 OK", "{key}", "Content-Encoding: gzip"),
    "nothing": b"",
}


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_with_the_key_in_it(
    sweep: Sweep, echo: Parrot, folder: Path, answer: bytes, form: str, figure: Figure
) -> None:
    """The key is in nothing that is shown or written, wherever the provider puts it and whatever comes of it."""
    echo.answer = answer
    ended = sweep("run", job(echo.url), "--log-level", "debug", "--log-format", form, "--summary-json", "summary.json")
    assert ended.code in {1, 4}, ended
    assert echo.seen
    assert "attempt.failed" in ended.err
    assert hits_below(folder, ended.out, ended.err) == []
    figure.add(1, "error cases, at debug level")


@pytest.mark.parametrize("form", ["console", "json"])
def test_bodies_on_demand_have_no_key_in_them(
    sweep: Sweep, echo: Parrot, folder: Path, form: str, figure: Figure
) -> None:
    """With --log-bodies prompts and answers are shown, cut, and the key in an answer's text is struck out."""
    text = "Say 1, " + "long " * 600
    (folder / "in.jsonl").write_text(json.dumps({"id": "a", "text": text}) + "\n")
    echo.answer = echo.answer.replace(b'"fine"', b'"it was {key}"')
    options = ("--log-level", "debug", "--log-format", form, "--log-bodies")
    ended = sweep("run", job(echo.url), *options)
    assert ended.code == 0
    assert hits_below(folder / "none", ended.out, ended.err) == []  # the output holds the answer, which is data
    assert ("Say 1, long" in ended.err, "it was ***" in ended.err, "characters)" in ended.err) == (True,) * 3
    assert sweep("run", job(echo.url), "--log-bodies").code == 2
    figure.add(1, "error cases, at debug level")


def test_a_secret_across_the_cut_is_struck_out_whole() -> None:
    """A body is cut after its secrets are struck out: no half of one is left at its end."""
    shown = io.StringIO()
    KNOWN.add(VARIABLE)
    logger = logging.getLogger("streamproc")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    try:
        configure("console", "debug", lambda text: print(text, file=shown), bodies=True)
        bodies.debug("body.sent", body="x" * (MOST_OF_A_BODY - 10) + VARIABLE)
    finally:
        logging.getLogger("streamproc.bodies").setLevel(OFF)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
        KNOWN.forget()
    assert "xxx***" in shown.getvalue()
    assert hits(shown.getvalue().encode()) == []


def test_without_it_no_word_of_a_prompt_or_an_answer_is_logged(sweep: Sweep, echo: Parrot, folder: Path) -> None:
    """At debug level the log tells of every attempt, commit and reading, and quotes neither record nor answer."""
    (folder / "in.jsonl").write_text(json.dumps({"id": "a", "text": "ZEBRA"}) + "\n" + json.dumps({"id": "b"}) + "\n")
    echo.answer = echo.answer.replace(b"fine", b"OSTRICH")
    ended = sweep("run", job(echo.url), "--log-level", "debug", "--log-format", "json")
    events = [json.loads(line)["event"] for line in ended.err.splitlines()]
    assert {"source.read", "record.rendered", "cache.looked_up", "attempt.sent", "attempt.answered", "cache.kept"} <= {
        *events
    }
    assert {"record.failed", "sink.committed", "user_code.raised"} <= {*events}
    assert "ZEBRA" not in ended.err
    assert "OSTRICH" not in ended.err
    assert hits_below(folder, ended.out, ended.err) == []


def test_a_leak_would_be_seen(sweep: Sweep, echo: Parrot, folder: Path) -> None:
    """The sweep sees a secret that is written: an answer that holds the key is data, and stands in the output."""
    echo.answer = echo.answer.replace(b"fine", b"{key}")
    ended = sweep("run", job(echo.url))
    assert ended.code == 0
    assert "out.jsonl: plain" in hits_below(folder)
