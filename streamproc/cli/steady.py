"""Standard error for a run that goes on whether or not anybody reads it."""

from __future__ import annotations

from io import TextIOBase
from typing import TextIO


class SteadyText(TextIOBase):
    """Pass text on; where that fails, as in a pipe that nobody reads or a terminal that was closed, say nothing more.

    rich would end the process over the pipe, and so would an error that nobody catches; a line must not end a run.

    Args:
        inner: where to; `None` for nowhere.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self._inner = inner

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a variable
        """That of the text inside."""
        return "utf-8" if self._inner is None else self._inner.encoding

    def isatty(self) -> bool:
        return self._inner is not None and self._inner.isatty()

    def fileno(self) -> int:
        if self._inner is None:
            raise OSError("nowhere")
        return self._inner.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._inner is not None:
            try:
                self._inner.write(text)
            except OSError:
                self._inner = None
        return len(text)

    def flush(self) -> None:
        if self._inner is not None:
            try:
                self._inner.flush()
            except OSError:
                self._inner = None
