"""Log output for the command: one event a state change, to standard error, for people or as JSON lines.

Events and their meaning: `run.started`, `run.resumed`, `run.refused`, `run.stopped`, `run.drained`, `run.finished`,
`run.interrupted`, `endpoint.unreachable`, `endpoint.reachable`, `watcher.dropped`, `stream.failed_unseen`,
`cache.unavailable`, `cache.recovered`, `cache.damaged`, `alert.firing`, `alert.resolved`, `alert.undelivered`,
`alert.listener_failed`, `answer.not_cached`, `knob.changed`, `gauge.unread`, `files.scarce`, `supervisor.failed`,
`storage.blocked`, `storage.passed`; below info `user_code.raised`, `memory.given_back`. The command ends an error with
`command.failed`, as a plain sentence on a console.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import structlog
from rich.console import Console

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure(form: LogFormat, level: LogLevel, console: Console, secrets: Sequence[str] = ()) -> None:
    """Send streamproc's log to a console.

    Args:
        form: lines for people, or one JSON object a line.
        level: the least that is shown.
        console: where to; shared with the progress display, so that neither tears the other.
        secrets: texts that are struck out wherever they appear.
    """
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=console.is_terminal, pad_event_to=16)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = _ConsoleHandler(console, [secret for secret in secrets if secret])
    handler.setFormatter(formatter)
    logger = logging.getLogger("streamproc")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class _ConsoleHandler(logging.Handler):
    """Writes lines through a console, as they are, with secrets struck out."""

    def __init__(self, console: Console, secrets: Sequence[str]) -> None:
        super().__init__()
        self._console = console
        self._secrets = secrets

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            for secret in self._secrets:
                line = line.replace(secret, "***")
            self._console.out(line, highlight=False)
        except OSError:
            self.handleError(record)  # a closed terminal must not end a run
