"""Exit codes, and the one place that turns errors into them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streamproc.errors import ConfigError, ProviderStop, Refused, StreamprocError

COMPLETED = 0
DEAD_LETTERS = 1
USAGE = 2
REFUSED = 3
STOPPED = 4
STORAGE = 74
INTERRUPTED = {"SIGINT": 130, "SIGTERM": 143}


@contextmanager
def errors_as_exits() -> Iterator[None]:
    """End the process with a sentence and an exit code for every error of ours. Bugs keep their traceback."""
    try:
        yield
    except StreamprocError as error:
        print(f"streamproc: {error}", file=sys.stderr)  # noqa: T201 - this is the command
        raise SystemExit(code_of(error)) from None


def code_of(error: StreamprocError) -> int:
    """Give the exit code of an error."""
    match error:
        case ConfigError():
            return USAGE
        case Refused():
            return REFUSED
        case ProviderStop():
            return STOPPED
        case _:
            return (
                STORAGE  # StorageFailed, or our own accounts do not add up: nothing is claimed beyond the last commit
            )
