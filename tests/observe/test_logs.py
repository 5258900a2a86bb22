"""What the command writes to standard error: a line an event, for people or for programs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from streamproc._log import OFF, log
from streamproc.flow.meter import Snapshot
from streamproc.observe.logs import LogFormat, configure
from streamproc.observe.progress import PLAIN_EVERY_SECONDS, ProgressKind, Screen


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines that are logged; what was configured before holds again after the test."""
    logger = logging.getLogger("streamproc")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield []
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)
    logging.getLogger("streamproc.bodies").setLevel(OFF)


def raised() -> ValueError:
    try:
        raise ValueError("broken\x1b")
    except ValueError as error:
        return error


def test_a_line_for_people_has_time_level_event_and_values_by_name(lines):
    """On a console an event is one line, its values sorted and quoted where they need it; a trace follows it."""
    configure("console", "info", lines.append)
    log.info("run.started", model="m", concurrency=8, reason="two words", odd="a\x1b[2Jb\nc")
    log.error("supervisor.failed", exc_info=raised())
    log.debug("source.read", rows=1)
    first, second = lines
    moment, rest = first.split(" ", 1)
    assert moment.endswith("Z")
    assert moment[10] == "T"
    assert rest == r"[info     ] run.started      concurrency=8 model=m odd=a\x1b[2Jb\nc reason='two words'"
    assert second.splitlines()[1] == "Traceback (most recent call last):"
    assert second.endswith(r"ValueError: broken\x1b")


def test_a_line_for_programs_is_an_object(lines):
    """As JSON an event is one object on one line, whatever its values are."""
    configure("json", "debug", lines.append)
    log.warning("alert.firing", value=1.5, ids=("a", "b"), whatever={1}, text="a\nb\x1b")
    log.error("supervisor.failed", exc_info=raised())
    first, second = (json.loads(line) for line in lines)
    moment = first.pop("timestamp")
    assert moment.endswith("Z")
    assert first == {
        "event": "alert.firing",
        "level": "warning",
        "value": 1.5,
        "ids": ["a", "b"],
        "whatever": "{1}",
        "text": "a\nb\x1b",
    }
    assert second["exception"].endswith("ValueError: broken\x1b")
    assert all("\n" not in line and "\x1b" not in line for line in lines)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_screen_that_fails_ends_nothing(lines, monkeypatch, form: LogFormat):
    """A terminal that is gone costs lines and nothing else."""

    def closed(_: str) -> None:
        raise OSError("closed")

    monkeypatch.setattr(logging, "raiseExceptions", False)
    configure(form, "info", closed)
    log.info("run.started")


def snapshot(at: float) -> Snapshot:
    return Snapshot(at, {"records_completed_total": 7}, {"llm_call_permits_in_use": 3}, {})


@pytest.mark.parametrize(
    ("kind", "shown"), [("auto", ["7 records", "7 records"]), ("plain", ["7 records", "7 records"]), ("none", [])]
)
def test_progress_is_a_line_now_and_then_where_nobody_watches(kind: ProgressKind, shown):
    """Without a terminal progress is a plain line every few seconds, or nothing."""
    stream = io.StringIO()
    screen = Screen(stream, kind)
    with screen.progress() as show:
        for tick in range(12):
            show(snapshot(tick * PLAIN_EVERY_SECONDS / 5))
    screen.line("the end")
    *told, end = stream.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in told] == shown
    assert end == "the end"


def test_a_live_line_stands_below_the_log():
    """With a live line each log line is whole, and the live line is gone at the end."""
    stream = io.StringIO()
    screen = Screen(stream, "rich")
    with screen.progress() as show:
        show(snapshot(1.0))
        screen.line("a line of the log")
    assert "a line of the log\n" in stream.getvalue()
