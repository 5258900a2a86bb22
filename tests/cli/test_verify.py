"""`streamproc verify` proves sound work, and no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from streamproc.records import Checkpoint
from tests.cli.job import Job

LETTERS = ".dead.jsonl"
PAGE_BYTES = 4096
BROKEN = 4
"""Rows of input that end as dead letters."""
Spoil = Callable[[Job], None]


def at_work(folder: Path, command, endpoint, sink: str) -> Job:
    """A finished job: 30 rows and four dead letters."""
    job = Job(folder, command, endpoint, sink)
    with (folder / "in.jsonl").open("a") as file:
        file.writelines(f'{{"id": "broken{n}"}}\n' for n in range(BROKEN))
    job.run(code=1)
    return job


def named(name: str, spoil: Spoil) -> object:
    return pytest.param(spoil, id=name)


def letters_of(job: Job) -> Path:
    return job.output.with_name(job.output.name + LETTERS)


def lines(edit: Callable[[list[bytes]], list[bytes]], file: Callable[[Job], Path]) -> Spoil:
    """Spoil a file line by line."""

    def spoil(job: Job) -> None:
        path = file(job)
        path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))

    return spoil


def flip(job: Job, file: Callable[[Job], Path], place: float) -> None:
    path = file(job)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


def state(statement: str, job: Job) -> None:
    with closing(apsw.Connection(str(job.state))) as connection:
        connection.execute(statement)


def checkpoint(low: int | None, job: Job) -> None:
    with closing(apsw.Connection(str(job.state))) as connection:
        connection.execute("UPDATE streamproc_run SET checkpoint = ?", (msgspec.msgpack.encode(Checkpoint(low)),))


def garble(page: int, job: Job) -> None:
    """Overwrite a page of the state."""
    with job.state.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(bytes(range(256)) * (PAGE_BYTES // 256))


def another_runs_state(job: Job) -> None:
    """Put the state of a run of the same job in place of this one's, of an earlier moment."""
    folder = job.folder / "elsewhere"
    folder.mkdir()
    copy = folder / job.output.name
    assert job("run", "--limit", 7, "--output", copy).code == 0
    shutil.copy(copy.with_name(copy.name + ".streamproc") / "state.db", job.state)


def rewrite(job: Job) -> None:
    """Write the same rows with other blanks, as an editor or a tool might."""
    job.output.write_text("".join(json.dumps(row) + "\n" for row in job.rows()))


output: Callable[[Job], Path] = lambda job: job.output  # noqa: E731
source: Callable[[Job], Path] = lambda job: job.folder / "in.jsonl"  # noqa: E731

IN_FILES = [
    named("an output byte", partial(flip, file=output, place=0.5)),
    named("a row lost", lines(lambda rows: rows[:3] + rows[4:], output)),
    named("a row twice", lines(lambda rows: rows[:3] + rows[2:], output)),
    named("rows swapped", lines(lambda rows: [rows[1], rows[0], *rows[2:]], output)),
    named("a row appended", lines(lambda rows: [*rows, rows[0]], output)),
    named("a torn row appended", lines(lambda rows: [*rows, rows[0][:20]], output)),
    named("the last byte cut off", lines(lambda rows: [*rows[:-1], rows[-1][:-1]], output)),
    named("the output emptied", lines(lambda rows: [], output)),
    named("the output gone", lambda job: job.output.unlink()),
    named("the output written anew", rewrite),
]
IN_BOTH = [
    named("a dead letter's byte", partial(flip, file=letters_of, place=0.5)),
    named("a dead letter lost", lines(lambda rows: rows[1:], letters_of)),
    named("a dead letter added", lines(lambda rows: [*rows, rows[0]], letters_of)),
    named("the dead letters gone", lambda job: letters_of(job).unlink()),
    named("a delivery forgotten", partial(state, "DELETE FROM streamproc_delivered WHERE position = 4")),
    named("a delivery made up", partial(state, "INSERT INTO streamproc_delivered VALUES (77, x'00', 1)")),
    named(
        "a delivery of another kind", partial(state, "UPDATE streamproc_delivered SET completed = 0 WHERE position = 4")
    ),
    named("a digest", partial(state, "UPDATE streamproc_delivered SET digest = x'00' WHERE position = 4")),
    named("the checkpoint set back", partial(checkpoint, None)),
    named("the checkpoint set ahead", partial(checkpoint, 50)),
    named("what is committed forgotten", partial(state, "DELETE FROM streamproc_segments")),
    named("a commit's digest", partial(state, "UPDATE streamproc_segments SET digest = x'00'")),
    named("the settings of the run", partial(state, "UPDATE streamproc_run SET identity = '{}'")),
    named("a state of another format", partial(state, "UPDATE streamproc_run SET format = 99")),
    named("the state gone", lambda job: job.state.unlink()),
    named("the first page of the state", partial(garble, 0)),
    named("another page of the state", partial(garble, 2)),
    named("a row of input edited", lines(lambda rows: [rows[0].replace(b"word", b"wort"), *rows[1:]], source)),
    named("a row of input inserted", lines(lambda rows: [b'{"id": "new", "text": "x"}\n', *rows], source)),
    named("a row of input removed", lines(lambda rows: rows[1:], source)),
    named("rows of input swapped", lines(lambda rows: [rows[1], rows[0], *rows[2:]], source)),
]
IN_THE_TABLE = [
    named("a row lost", partial(state, "DELETE FROM results WHERE id = 'r9'")),
    named(
        "a row made up",
        partial(
            state,
            "INSERT INTO results SELECT 'x', input, output, model, finish_reason, 1, 1, origin, 1 FROM results LIMIT 1",
        ),
    ),
    named("an answer edited", partial(state, "UPDATE results SET output = '\"no\"' WHERE id = 'r9'")),
    named("answers swapped", partial(state, "UPDATE results SET input = '{}' WHERE id = 'r9'")),
    named("a count edited", partial(state, "UPDATE results SET completion_tokens = 0 WHERE id = 'r9'")),
]


@pytest.mark.fault(6, 7, 8)
@pytest.mark.promise("P24")
@pytest.mark.parametrize(
    ("sink", "spoil"),
    [
        *(pytest.param("jsonl", *case.values, id=f"jsonl-{case.id}") for case in [*IN_FILES, *IN_BOTH]),
        pytest.param("jsonl", another_runs_state, id="jsonl-another run's state"),
        *(pytest.param("sqlite", *case.values, id=f"sqlite-{case.id}") for case in [*IN_THE_TABLE, *IN_BOTH]),
    ],
)
def test_whatever_is_planted_is_found(sink, spoil, tmp_path, command, endpoint, figure):
    """Sound work is verified; after any change to output, dead letters, state or input it is not."""
    job = at_work(tmp_path, command, endpoint, sink)
    sound = job("verify")
    assert (sound.code, "30 completed, 4 dead letters" in sound.out, "verified: " in sound.out) == (0, True, True)

    spoil(job)
    spoilt = job("verify")
    assert spoilt.code == 3, spoilt
    assert ("PROBLEM: " in spoilt.out and "NOT VERIFIED" in spoilt.out) or "streamproc: " in spoilt.err, spoilt
    assert "bug" not in spoilt.err
    figure.add(1, "planted corruptions found")


def test_a_run_that_was_stopped_is_verified_so_far(tmp_path, command, endpoint):
    """What a stopped run has delivered is proven, and the rest counted; the exit code says that it is not all."""
    job = Job(tmp_path, command, endpoint)
    job.run("--limit", 12)
    ended = job("verify")
    assert (ended.code, "18 without an outcome yet" in ended.out) == (1, True)
    assert "verified: each of those that ended did so exactly once" in ended.out
