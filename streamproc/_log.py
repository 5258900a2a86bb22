"""The loggers of every module: structured events over the standard library's `streamproc` logger.

A program that embeds streamproc sees ordinary log records, whose message is the event's name and whose attributes are
its values, and decides itself what becomes of them. The command sets up its own output in `observe.logs`.
"""

from __future__ import annotations

import logging

import structlog
from structlog.typing import FilteringBoundLogger

OFF = logging.CRITICAL + 1

_BODIES = logging.getLogger("streamproc.bodies")
if _BODIES.level == logging.NOTSET:  # else it would follow the logger above it, and debugging that show prompts
    _BODIES.setLevel(OFF)


def _structured(logger: logging.Logger) -> FilteringBoundLogger:
    made: FilteringBoundLogger = structlog.wrap_logger(
        logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
    )
    return made


log = _structured(logging.getLogger("streamproc"))
bodies = _structured(_BODIES)
"""What is sent and answered, word for word: off, whatever is logged, until somebody sets this logger's own level."""


def debugging() -> bool:
    """Tell whether anybody wants to know the details; asked once, where the parts of a run are put together."""
    return logging.getLogger("streamproc").isEnabledFor(logging.DEBUG)
