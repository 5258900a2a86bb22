"""Log output for the command: one event a state change, to standard error, for people or as JSON lines.

Events and their meaning: `run.started`, `run.resumed`, `run.refused`, `run.stopped`, `run.drained`, `run.finished`,
`run.interrupted`, `endpoint.unreachable`, `endpoint.reachable`, `watcher.dropped`, `stream.failed_unseen`,
`cache.unavailable`, `cache.recovered`, `cache.damaged`, `alert.firing`, `alert.resolved`, `alert.undelivered`,
`alert.listener_failed`, `answer.not_cached`, `knob.changed`, `gauge.unread`, `files.scarce`, `supervisor.failed`,
`storage.blocked`, `storage.passed`, `cache.unprotected`; below info `user_code.raised`, `memory.given_back`,
`source.read`, `record.rendered`, `cache.looked_up`, `cache.kept`, `attempt.sent`, `attempt.answered`, `attempt.failed`,
`attempt.again`, `record.failed`, `sink.committed`; on demand `body.sent`, `body.answered`, `body.blamed`. The command
ends an error with `command.failed`, as a plain sentence on a console.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from streamproc._log import OFF
from streamproc.observe.printable import lines, one_line
from streamproc.observe.secrets import KNOWN

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

MOST_OF_A_BODY = 2000
"""Characters shown of what is sent or answered."""
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OF_SEVERAL_LINES = frozenset({"trace"})
_QUOTED = frozenset(" \t\r\n='\"")
_COLORS = {"debug": "32", "info": "32", "warning": "33", "error": "31"}


def configure(
    form: LogFormat, level: LogLevel, line: Callable[[str], None], *, colors: bool = False, bodies: bool = False
) -> None:
    """Send streamproc's log to a screen. Secrets are struck out by the stream that it writes to, see `secrets`.

    Args:
        form: lines for people, or one JSON object a line.
        level: the least that is shown.
        line: shows a line; shared with the progress display, so that neither tears the other.
        colors: whether levels are coloured.
        bodies: whether what is sent and answered is shown as well.
    """
    handler = _LineHandler(line)
    handler.setFormatter(_JsonFormatter() if form == "json" else _ConsoleFormatter(colors))
    logger = logging.getLogger("streamproc")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger("streamproc.bodies").setLevel(logging.DEBUG if bodies else OFF)


class _JsonFormatter(logging.Formatter):
    """One JSON object for each record, which escapes control characters."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {**_values(record), "event": record.getMessage(), "level": _level(record), "timestamp": _time(record)}
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(shown, default=repr)


class _ConsoleFormatter(logging.Formatter):
    """A line for each record: when, how bad, what, and its values by name."""

    def __init__(self, colors: bool) -> None:
        super().__init__()
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        level = f"{_level(record):<9}"
        if self._colors:
            level = f"\x1b[{_COLORS.get(level.strip(), '31')}m{level}\x1b[0m"
        values = " ".join(f"{name}={_shown(name, value)}" for name, value in sorted(_values(record).items()))
        text = f"{_time(record)} [{level}] {one_line(record.getMessage()):<16} {values}".rstrip()
        if record.exc_info:
            text += "\n" + lines(self.formatException(record.exc_info))
        return text


def _values(record: logging.LogRecord) -> dict[str, Any]:
    """Give an event's values. Bodies are shortened, secrets struck out of them first: the cut could halve one."""
    values = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    if len(body := values.get("body", "")) > MOST_OF_A_BODY:
        values["body"] = KNOWN.strike(body)[:MOST_OF_A_BODY] + f"... ({len(body)} characters)"
    return values


def _shown(name: str, value: Any) -> str:
    """Keep control characters in other people's text from the terminal; traces keep their line feeds."""
    if not isinstance(value, str):
        return repr(value)
    if name in _OF_SEVERAL_LINES:
        return lines(value)
    text = one_line(value)
    return repr(text) if _QUOTED.intersection(text) else text


def _level(record: logging.LogRecord) -> str:
    return record.levelname.lower()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")


class _LineHandler(logging.Handler):
    """Has lines shown, as they are."""

    def __init__(self, line: Callable[[str], None]) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._line(self.format(record))
        except OSError:
            self.handleError(record)  # a closed terminal must not end a run
