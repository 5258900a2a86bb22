"""`streamproc run --profile`: which functions this process spends its time in, as a page to look at."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamproc.errors import ConfigError, StorageFailed
from streamproc.flow.meter import Snapshot
from streamproc.observe.secrets import KNOWN
from streamproc.pipeline.supervisor import Watcher

if TYPE_CHECKING:
    from pyinstrument import Profiler

INTERVAL_SECONDS = 0.005
LONGEST_SECONDS = 300.0
"""A sample costs about 2 kB of memory, so a profile ends after so long: by then it has what a longer one would show."""


@contextmanager
def profiled(target: str | None) -> Iterator[list[Watcher]]:
    """Profile the block, and write a page of HTML at its end, whatever ends it.

    The whole thread is sampled, the event loop with its tasks, so time in which the loop waits shows as such.

    Args:
        target: the file of the page; `None` for no profile.

    Yields:
        What has to look at the run's snapshots.

    Raises:
        ConfigError: the profiler is not installed, or the file cannot be written.
        StorageFailed: it could not be written at the end.
    """
    if target is None:
        yield []
        return
    try:
        from pyinstrument import Profiler
    except ImportError:
        raise ConfigError("--profile: needs pyinstrument: pip install 'streamproc[profile]'") from None
    _refuse_unwritable(target)
    profiler, ends_at = Profiler(INTERVAL_SECONDS, async_mode="disabled"), time.monotonic() + LONGEST_SECONDS

    def look(_: Snapshot) -> None:
        if profiler.is_running and time.monotonic() >= ends_at:
            profiler.stop()

    profiler.start()
    try:
        yield [look]
    except BaseException:
        with suppress(StorageFailed):  # what ended the run is what is told
            _write(profiler, target)
        raise
    _write(profiler, target)


def _write(profiler: Profiler, target: str) -> None:
    if profiler.is_running:
        profiler.stop()
    try:
        Path(target).write_text(KNOWN.strike(profiler.output_html()), encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"--profile {target}: {error.strerror}") from error


def _refuse_unwritable(target: str) -> None:
    """Find out before anything is paid; leaves an empty file, for its owner only."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"--profile {target}: cannot be written: {error.strerror}") from error
