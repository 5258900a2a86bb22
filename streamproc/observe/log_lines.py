"""How an event becomes a line: a structlog formatter for the records of `logging`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import structlog

from streamproc.observe.printable import lines, one_line
from streamproc.observe.secrets import KNOWN

if TYPE_CHECKING:
    from streamproc.observe.logs import LogFormat

MOST_OF_A_BODY = 2000
"""Characters shown of what is sent or answered."""
_OF_SEVERAL_LINES = frozenset({"exception", "trace", "stack"})


def formatter(form: LogFormat, *, colors: bool) -> logging.Formatter:
    """Make what turns events into lines for people, with or without colours, or into JSON objects."""
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=16)
    return structlog.stdlib.ProcessorFormatter(
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
