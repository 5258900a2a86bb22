"""How far a run has come, for a person who watches: a live line on a terminal, or a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streamproc.flow.meter import Snapshot

ProgressKind = Literal["auto", "rich", "plain", "none"]
PLAIN_EVERY_SECONDS = 5.0


@contextmanager
def progress(kind: ProgressKind, console: Console) -> Iterator[Callable[[Snapshot], None]]:
    """Show progress while the block runs; give the function that takes snapshots.

    Args:
        kind: `auto` shows a live line on a terminal, and otherwise a plain line every five seconds.
        console: where to, usually standard error.
    """
    if kind == "rich" or (kind == "auto" and console.is_terminal):
        with Live(console=console, transient=True, auto_refresh=False) as live:
            yield lambda snapshot: live.update(Text(line_of(snapshot)), refresh=True)
    elif kind == "none":
        yield lambda _: None
    else:
        yield _Plain(console).show


class _Plain:
    """Prints a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next: float | None = None

    def show(self, snapshot: Snapshot) -> None:
        if self._next is None:
            self._next = snapshot.at + PLAIN_EVERY_SECONDS
        elif snapshot.at >= self._next:
            self._console.out(line_of(snapshot), highlight=False)
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
