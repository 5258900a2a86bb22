"""The logger of every module: structured events over the standard library's `streamproc` logger.

A program that embeds streamproc sees ordinary log records, whose message is the event's name and whose attributes are
its values, and decides itself what becomes of them. The command sets up its own output in `observe.logs`.
"""

from __future__ import annotations

import logging

import structlog
from structlog.typing import FilteringBoundLogger

log: FilteringBoundLogger = structlog.wrap_logger(
    logging.getLogger("streamproc"),
    wrapper_class=structlog.stdlib.BoundLogger,
    processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
)
