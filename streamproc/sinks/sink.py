"""The role of a sink."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from streamproc._closing import Closing
from streamproc.config import Config
from streamproc.records import Checkpoint, Outcome, Position, RunIdentity


class Tally(Struct, frozen=True):
    """How many records an output holds: with their value, and as dead letters."""

    completed: int = 0
    failed: int = 0


class Sink(Closing, ABC):
    """Takes outcomes and owns the checkpoint. That makes exactly-once a property of `write` alone.

    Use it as an async context manager: leaving closes it and commits nothing.
    """

    @property
    def home(self) -> Path | None:
        """A folder of this run's own, there once the sink is open, for what must live as long as its output."""
        return None

    @abstractmethod
    async def open(self, run: RunIdentity) -> Checkpoint | None:
        """Take possession of the output, and undo what was written after the last commit.

        Returns:
            What earlier runs of the same identity delivered; `None` for a fresh start.

        Raises:
            Refused: the output belongs to other work, is damaged, or is in use.
            StorageFailed: the disk or database failed.
        """

    @abstractmethod
    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        """Make outcomes and checkpoint durable, both or neither. One call at a time, never empty.

        Cancelling it leaves either; the next `open` tells which.

        Raises:
            StorageBlocked: there is no room for them now; neither is there, and the same call may be made again.
            StorageFailed: neither is claimed. The sink takes no more.
            Refused: another process has taken over the output; neither is there. The sink takes no more.
        """

    @property
    def run_id(self) -> str:
        """A name of this run that its resumptions share, and no other run; asked once the sink is open."""
        return f"{os.getpid()}-{id(self)}"

    async def tally(self) -> Tally:
        """Tell how much was delivered by earlier runs and this one, as far as the sink remembers."""
        return Tally()

    async def digests(self, positions: Sequence[Position]) -> Sequence[bytes | None]:
        """Tell the digests under which rows were delivered: same length and order, `None` where unknown."""
        return [None] * len(positions)


class SinkConfig(Config, frozen=True, kw_only=True):
    """The settings of a sink, which know how to make it.

    Attributes:
        ordered: write rows in the order of the input, not of completion.
    """

    ordered: bool = False

    def build(self) -> Sink:
        """Make the sink; nothing is opened yet."""
        raise TypeError(f"{type(self).__name__} must define build()")

    def discard(self) -> None:
        """Remove what an earlier run delivered, but not its paid answers.

        Raises:
            Refused: it is in use.
        """
        raise TypeError(f"{type(self).__name__} cannot discard its output")
