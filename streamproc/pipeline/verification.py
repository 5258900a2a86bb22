"""Proves, after the fact, that every input record ended exactly once and that output and state agree.

Reads input and output afresh. What it shares with the run are the source's parser and the tables of the run's state.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.pipeline.assembly import identity
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.task import Task, prompt_task
from streamproc.records import Checkpoint, Position, Unreadable
from streamproc.sinks.audit import Audit, Entry, entry_of
from streamproc.sinks.durable import DurableSink
from streamproc.sinks.sink import Tally
from streamproc.sources.source import Source, never_delivered

READ_ROWS = 1000
MOST_PROBLEMS = 20


class Verification(Struct, frozen=True):
    """The result of a verification.

    Attributes:
        problems: what is wrong, as sentences; at most 20 are listed. Empty means: proven.
        records: rows of input.
        completed: rows of output.
        dead_letters: dead letters.
        remaining: rows of input without an outcome yet; the next run takes them up.
    """

    problems: list[str]
    records: int
    completed: int
    dead_letters: int
    remaining: int


async def verify(config: PipelineConfig, task: Task[Any] | None = None) -> Verification:
    """Compare a run's input with its output.

    Raises:
        ConfigError: source or sink are missing, or the sink keeps nothing that could be read back.
        Refused: there is no output, it belongs to other work, or is in use.
    """
    if config.source is None or config.sink is None:
        raise ConfigError("source and sink: both are required to verify")
    source, sink = config.source.build(), config.sink.build()
    if not isinstance(sink, DurableSink):
        raise ConfigError(f"sink.type: {type(sink).__name__} keeps nothing that could be verified")
    async with sink, source:
        run = identity(config, task or prompt_task(config.llm), source, config.sink)
        audit = await sink.audit(run)
        await source.open(None, never_delivered)
        return await _compare(source, sink, audit)


async def _compare(source: Source, sink: DurableSink, audit: Audit) -> Verification:
    problems = list(audit.problems)
    left = Counter([*audit.completed, *audit.failed])
    checkpoint = _Said(audit.checkpoint)
    records = remaining = 0
    while rows := await source.read(READ_ROWS):
        known = await sink.digests([row.position for row in rows])
        for row, was in zip(rows, known, strict=True):
            record = row.content.record if isinstance(row.content, Unreadable) else row.content
            records += 1
            entry = entry_of(record.id, record.data)
            if checkpoint.includes(row.position) != (was is not None):
                problems.append(f"the state contradicts itself about whether record {row.position} is delivered")
            if was is None:
                remaining += 1
            elif was != row.digest:
                problems.append(f"record {row.position} (id {record.id!r}) changed since it was delivered")
                left.subtract([entry])
            elif not audit.problems:
                problems.extend(_lost(left, entry, record.id))
    if not checkpoint.met:
        problems.append("the state says that records are delivered which the input does not have")
    problems.extend(_surplus(left))
    tally = audit.tally
    if not audit.problems:
        found = Tally(len(audit.completed), len(audit.failed))
        if found != tally:
            problems.append(f"the state says {_in_words(tally)} are delivered, the output holds {_in_words(found)}")
        if (delivered := tally.completed + tally.failed) != records - remaining:
            problems.append(f"the state says {delivered} records are delivered, the input knows {records - remaining}")
    return Verification(problems[:MOST_PROBLEMS], records, tally.completed, tally.failed, remaining)


class _Said:
    """What a checkpoint says of each position, asked in the order of the input."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._low = checkpoint.low
        self._above = set(checkpoint.above)
        self._passed = checkpoint.low is None

    def includes(self, position: Position) -> bool:
        if not self._passed:
            self._passed = position == self._low
            return True
        if position in self._above:
            self._above.remove(position)
            return True
        return False

    @property
    def met(self) -> bool:
        return self._passed and not self._above


def _in_words(tally: Tally) -> str:
    return f"{tally.completed} rows and {tally.failed} dead letters"


def _lost(left: Counter[Entry], entry: Entry, name: str) -> list[str]:
    left[entry] -= 1
    return [f"the record with id {name!r} is committed, but not in the output"] if left[entry] < 0 else []


def _surplus(left: Counter[Entry]) -> list[str]:
    rows = sum(count for count in left.values() if count > 0)
    return [f"{rows} rows of the output belong to no record of the input, or stand there twice"] if rows else []
