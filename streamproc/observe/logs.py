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
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from rich.console import Console

from streamproc._log import OFF
from streamproc.observe.printable import lines, one_line
from streamproc.observe.secrets import KNOWN

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

MOST_OF_A_BODY = 2000
"""Characters shown of what is sent or answered."""
_OF_SEVERAL_LINES = frozenset({"exception", "trace", "stack"})


def configure(form: LogFormat, level: LogLevel, console: Console, *, bodies: bool = False) -> None:
    """Send streamproc's log to a console. Secrets are struck out by the stream that it writes to, see `secrets`.

    Args:
        form: lines for people, or one JSON object a line.
        level: the least that is shown.
        console: where to; shared with the progress display, so that neither tears the other.
        bodies: whether what is sent and answered is shown as well.
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
            _cut_bodies,
            *([_printable] if form == "console" else []),  # JSON escapes by itself
            renderer,
        ],
    )
    handler = _ConsoleHandler(console)
    handler.setFormatter(formatter)
    logger = logging.getLogger("streamproc")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger("streamproc.bodies").setLevel(logging.DEBUG if bodies else OFF)


def _cut_bodies(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Shorten bodies. Secrets go first: the cut could halve one."""
    if len(body := event.get("body", "")) > MOST_OF_A_BODY:
        event["body"] = KNOWN.strike(body)[:MOST_OF_A_BODY] + f"... ({len(body)} characters)"
    return event


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Keep control characters in other people's text from the terminal; traces keep their line feeds."""
    return {name: _shown(name, value) for name, value in event.items()}


def _shown(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return lines(value) if name in _OF_SEVERAL_LINES else one_line(value)


class _ConsoleHandler(logging.Handler):
    """Writes lines through a console, as they are."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._console.out(self.format(record), highlight=False)
        except OSError:
            self.handleError(record)  # a closed terminal must not end a run
