"""The loggers of every module: structured events over the standard library's `streamproc` logger.

A program that embeds streamproc sees ordinary log records, whose message is the event's name and whose attributes are
its values, and decides itself what becomes of them. The command sets up its own output in `observe.logs`.
"""

from __future__ import annotations

import logging
from typing import Any

OFF = logging.CRITICAL + 1

_BODIES = logging.getLogger("streamproc.bodies")
if _BODIES.level == logging.NOTSET:  # else it would follow the logger above it, and debugging that show prompts
    _BODIES.setLevel(OFF)


class Events:
    """A logger of events with values.

    Args:
        logger: gets a record for each.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **values: Any) -> None:
        """Tell a step."""
        self._tell(logging.DEBUG, event, values)

    def info(self, event: str, **values: Any) -> None:
        """Tell a change of state."""
        self._tell(logging.INFO, event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Tell what a person should know of."""
        self._tell(logging.WARNING, event, values)

    def error(self, event: str, exc_info: BaseException | None = None, **values: Any) -> None:
        """Tell what went wrong."""
        self._tell(logging.ERROR, event, values, exc_info)

    def _tell(self, level: int, event: str, values: dict[str, Any], exc_info: BaseException | None = None) -> None:
        self._logger.log(level, event, exc_info=exc_info, extra=values, stacklevel=3)


log = Events(logging.getLogger("streamproc"))
bodies = Events(_BODIES)
"""What is sent and answered, word for word: off, whatever is logged, until somebody sets this logger's own level."""


def debugging() -> bool:
    """Tell whether anybody wants to know the details; asked once, where the parts of a run are put together."""
    return logging.getLogger("streamproc").isEnabledFor(logging.DEBUG)
