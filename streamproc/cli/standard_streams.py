"""Standard input, output and error that exist, however the command was started."""

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
