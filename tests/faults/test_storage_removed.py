"""Files that are removed, replaced or cut while a run works on them end it: nothing is written where nobody looks."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streamproc.errors import Refused
from streamproc.records import Checkpoint
from streamproc.sinks.durable import DurableSink
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.sqlite import SqliteSink
from tests.faults.test_storage_fencing import RUN, appended, outcome
from tests.faults.test_storage_states import place


def removed(file: Path) -> None:
    file.unlink()


def replaced(file: Path) -> None:
    file.write_bytes(file.rename(file.with_name("old")).read_bytes())


def shortened(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def refused_after(make: type[DurableSink], path: Path, harm: Callable[[], None], words: str) -> None:
    async def main() -> None:
        async with make(path) as sink:
            await sink.open(RUN)
            await sink.write([outcome(0), outcome(1, failed=True)], Checkpoint(1))
            harm()
            with pytest.raises(Refused, match=words):
                await sink.write([outcome(2), outcome(3, failed=True)], Checkpoint(3))

    asyncio.run(main())


@pytest.mark.fault(7)
@pytest.mark.parametrize("harm", [removed, replaced, shortened])
@pytest.mark.parametrize(("make", "suffix"), [(JsonlSink, ""), (JsonlSink, ".dead.jsonl"), (SqliteSink, ".dead.jsonl")])
def test_a_file_that_is_harmed_while_it_is_written_ends_the_run(
    make: type[DurableSink], suffix: str, harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """The next write is refused and names the file: no row is put where nobody will find it."""
    path, _ = place(make, tmp_path)
    file = Path(f"{path}{suffix}")
    refused_after(make, path, lambda: harm(file), rf"{file.name} was \w+( or replaced)? while the run worked on it")


@pytest.mark.fault(7)
@pytest.mark.parametrize("make", [JsonlSink, SqliteSink])
@pytest.mark.parametrize("harm", [removed, replaced])
def test_a_state_that_is_harmed_while_it_is_written_ends_the_run(
    make: type[DurableSink], harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """The next write is refused and names it, and leaves nothing behind in the files beside it."""
    path, state = place(make, tmp_path)
    before: list[bytes] = []

    def harmed() -> None:
        before.extend(appended(path) if make is JsonlSink else appended(path)[:1])
        harm(state)

    refused_after(make, path, harmed, rf"{state.name} was removed or replaced while the run worked on it")
    assert appended(path)[: len(before)] == before
