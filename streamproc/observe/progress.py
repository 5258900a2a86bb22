"""Standard error as a person sees it: lines, and how far a run has come: a live line, or a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from streamproc.flow.meter import Snapshot

if TYPE_CHECKING:
    from rich.console import Console

ProgressKind = Literal["auto", "rich", "plain", "none"]
PLAIN_EVERY_SECONDS = 5.0


class Screen:
    """Shows lines, and progress while a run lasts.

    Args:
        stream: where to, usually standard error.
        kind: `auto` shows a live line on a terminal, and otherwise a plain line every five seconds.

    Attributes:
        is_terminal: whether it is one.
    """

    def __init__(self, stream: TextIO, kind: ProgressKind) -> None:
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._kind = kind
        self._console: Console | None = None
        if kind == "rich" or (kind == "auto" and self.is_terminal):
            from rich.console import Console  # takes a while to load, so only where somebody watches

            self._console = Console(file=stream, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Show a text, above the live line where there is one."""
        if self._console is None:
            self._stream.write(text + "\n")
        else:
            self._console.out(text, highlight=False)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Snapshot], None]]:
        """Show progress while the block runs; give the function that takes snapshots."""
        if self._console is not None:
            from rich.live import Live
            from rich.text import Text

            with Live(console=self._console, transient=True, auto_refresh=False) as live:
                yield lambda snapshot: live.update(Text(line_of(snapshot)), refresh=True)
        elif self._kind == "none":
            yield lambda _: None
        else:
            yield _Plain(self.line).show


class _Plain:
    """Prints a line every few seconds."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._next: float | None = None

    def show(self, snapshot: Snapshot) -> None:
        if self._next is None:
            self._next = snapshot.at + PLAIN_EVERY_SECONDS
        elif snapshot.at >= self._next:
            self._line(line_of(snapshot))
            self._next = snapshot.at + PLAIN_EVERY_SECONDS


def line_of(snapshot: Snapshot) -> str:
    """Put a snapshot into one line."""
    completed, failed = snapshot.counter("records_completed_total"), snapshot.counter("records_failed_total")
    calls = int(snapshot.gauges["llm_call_permits_in_use"])
    parts = [
        f"{completed + failed} records",
        f"{calls} calls under way",
        f"{snapshot.counter('cache_hits_total')} hits",
        f"{snapshot.counter('retries_total')} retries",
        f"{snapshot.counter('prompt_tokens_total')} + {snapshot.counter('completion_tokens_total')} tokens",
    ]
    if failed:
        parts.append(f"{failed} dead letters")
    return " | ".join(parts)
