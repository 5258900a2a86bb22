"""Standard input, output and error that exist, however the command was started, and whoever has left since."""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Open in the system's nowhere what the caller has closed, as `2>&-` does.

    Else the next file that is opened, such as the output, would be number 2, and what is meant for people written into
    it; and Python gives None for a stream in place of one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            os.set_inheritable(number, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - open to the end


def let_go_of_streams() -> None:
    """Have what was said said, or forgotten where nobody listens any more.

    The interpreter tries once more at its end; where that fails, an exit code of its own (120) takes the place of ours.
    """
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)  # takes what the stream still holds
            os.close(nowhere)
