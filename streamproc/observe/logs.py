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

import logging
from collections.abc import Callable
from typing import Literal

from streamproc._log import OFF

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


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
    handler = _LineHandler(line, form, colors)
    logger = logging.getLogger("streamproc")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger("streamproc.bodies").setLevel(logging.DEBUG if bodies else OFF)


class _LineHandler(logging.Handler):
    """Has lines shown, as they are. What makes them is loaded with the first: many runs have nothing to tell."""

    def __init__(self, line: Callable[[str], None], form: LogFormat, colors: bool) -> None:
        super().__init__()
        self._line = line
        self._form = form
        self._colors = colors

    def emit(self, record: logging.LogRecord) -> None:
        if self.formatter is None:
            from streamproc.observe.log_lines import formatter

            self.formatter = formatter(self._form, colors=self._colors)
        try:
            self._line(self.format(record))
        except (OSError, ValueError):
            self.handleError(record)  # a closed terminal, or a file that was closed, must not end a run
