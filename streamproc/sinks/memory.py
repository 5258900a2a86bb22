"""Outcomes in a list, for tests and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.records import Checkpoint, Completed, Failed, Outcome, RunIdentity
from streamproc.sinks.sink import Sink, Tally


class MemorySink(Sink):
    """Keep outcomes in memory. It survives `aclose` but not the process, so a second run with it goes on.

    Attributes:
        outcomes: in order of delivery.
        checkpoint: the last one, `None` before the first write.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.checkpoint: Checkpoint | None = None

    @property
    def completed(self) -> list[Completed]:
        """The records that have their value."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Completed)]

    @property
    def failed(self) -> list[Failed]:
        """The records that have none."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failed)]

    async def tally(self) -> Tally:
        return Tally(len(self.completed), len(self.failed))

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        return self.checkpoint

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        self.outcomes.extend(outcomes)
        self.checkpoint = checkpoint
