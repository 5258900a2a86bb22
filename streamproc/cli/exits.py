"""Exit codes, and the one place that turns errors into them."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from streamproc.errors import ConfigError, ProviderStop, Refused, StreamprocError
from streamproc.observe.printable import lines, one_line
from streamproc.observe.secrets import KNOWN, struck_out

LogFormat = Literal["console", "json"]

COMPLETED = 0
DEAD_LETTERS = 1
USAGE = 2
REFUSED = 3
STOPPED = 4
BUG = 70
STORAGE = 74
READER_LEFT = 141
"""As a shell gives it for SIGPIPE."""


@contextmanager
def errors_as_exits(form: LogFormat = "console") -> Iterator[None]:
    """End the process with a sentence and an exit code for every error of ours. Bugs end in a code, too.

    Args:
        form: how the sentence is given: plain, or as a line of the JSON log.
    """
    KNOWN.forget()
    with struck_out(KNOWN), _ended(form):
        yield


@contextmanager
def _ended(form: LogFormat) -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a reader that has left can still be told from a bug
    except StreamprocError as error:
        code = code_of(error)
        line = json.dumps({"event": "command.failed", "level": "error", "exit_code": code, "reason": str(error)})
        _say(line if form == "json" else f"streamproc: {one_line(str(error))}")
        raise SystemExit(code) from None
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        raise SystemExit(READER_LEFT) from None
    except Exception:  # noqa: BLE001 - the border of the process: an exit code must not lie
        _say(f"{lines(traceback.format_exc())}streamproc: this is a bug; the same command continues")
        raise SystemExit(BUG) from None


def _say(text: str) -> None:
    """Tell whoever reads standard error; that nobody does must not change the exit code."""
    with suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201 - this is the command


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
            return STORAGE  # or our own accounts do not add up; in both cases only what is committed is claimed
