"""Input as bad as it gets: every row ends once, under its own number, and a broken one says on which line it stands."""

import asyncio
import itertools
import json
import os
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import (
    CsvSource,
    DataProcessingPipeline,
    JsonlSink,
    JsonlSource,
    LlmConfig,
    PipelineConfig,
    Source,
    SqliteSink,
)
from streamproc.errors import ConfigError, Refused
from streamproc.records import Row, Unreadable
from streamproc.simulation.virtual_time import run_virtual
from streamproc.sources.lines import MAX_ROW_BYTES
from streamproc.sources.source import never_delivered
from streamproc.testing.faults import ScriptedCompleter
from tests.system.endpoint import Endpoint
from tests.system.job import DEAD_LETTERS, Job

CONFIG = PipelineConfig(
    llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1", parameters={"temperature": 0})
)
BOM = b"\xef\xbb\xbf"
GOOD = b'{"text": "a"}'


class Bad(NamedTuple):
    """A file, how many rows it has, and the lines of those that cannot be read."""

    content: bytes
    rows: int
    broken: tuple[int, ...] = ()
    unrendered: tuple[int, ...] = ()
    """Ordinals of rows that can be read and lack the field that the prompt names."""


JSONL = {
    "nothing": Bad(b"", 0),
    "blank lines": Bad(b"\n\n \t\n\r\n", 0),
    "no last line feed": Bad(GOOD + b"\n" + GOOD, 2),
    "CRLF": Bad(GOOD + b"\r\n" + GOOD + b"\r\n", 2),
    "CR alone": Bad(GOOD + b"\r" + GOOD + b"\n", 1, (1,)),
    "a byte order mark": Bad(BOM + GOOD + b"\n" + GOOD, 2),
    "a byte order mark later": Bad(GOOD + b"\n" + BOM + GOOD, 2, (2,)),
    "UTF-16": Bad('{"text": "a"}\n'.encode("utf-16"), 2, (1, 2)),
    "broken JSON": Bad(GOOD + b"\n{\n" + GOOD, 3, (2,)),
    "JSON that goes on": Bad(GOOD + b"\n" + GOOD + GOOD + b"\n" + GOOD, 3, (2,)),
    "JSON over lines": Bad(b'{\n"text": "a"\n}\n', 3, (1, 2, 3)),
    "invalid UTF-8": Bad(b'{"text": "\xff"}\n' + GOOD, 2, (1,)),
    "half a character": Bad(b'{"text": "\xc3"}\n' + GOOD, 2, (1,)),
    "half a surrogate pair": Bad(b'{"text": "\\ud800"}\n' + GOOD, 2, (1,)),
    "NUL bytes": Bad(GOOD + b"\n\0\0\0\n" + GOOD + b"\0\n" + GOOD, 4, (2, 3)),
    "an escaped NUL": Bad(b'{"text": "\\u0000"}\n', 1),
    "other line breaks": Bad('{"text": "a\u2028b\u0085c\x0b"}\n'.encode(), 1, (1,)),
    "line separators": Bad('{"text": "a\u2028b\u0085c"}\n'.encode() + GOOD, 2),
    "deep nesting": Bad(b'{"text": ' + b"[" * 100_000 + b"\n" + GOOD, 2, (1,)),
    "a list": Bad(b'["text"]\n"text"\n7\nnull\ntrue\n' + GOOD, 6, (1, 2, 3, 4, 5)),
    "huge numbers": Bad(
        b'{"text": "a", "n": 123456789012345678901234567890}\n'
        b'{"text": "a", "n": -99999999999999999999}\n'
        b'{"text": "a", "n": 18446744073709551615}\n'
        b'{"text": "a", "n": 1e308}\n' + GOOD,
        5,
    ),
    "numbers beyond": Bad(b'{"text": "a", "n": 1e999}\n{"text": "a", "n": NaN}\n' + GOOD, 3, (1, 2)),
    "a number of a megabyte": Bad(b'{"text": "a", "n": ' + b"9" * (1 << 20) + b"}\n" + GOOD, 2, (1,)),
    "a missing field": Bad(b'{"other": 1}\n' + GOOD, 2, (), (0,)),
    "a field twice": Bad(b'{"text": "a", "text": "b"}\n' + GOOD, 2),
    "a line of 17 MiB": Bad(b'{"text": "' + b"x" * (17 << 20) + b'"}\n' + GOOD, 2, (1,)),
}
CSV = {
    "a header alone": Bad(b"text\n", 0),
    "blank lines": Bad(b"text\n\n \n\r\n", 0),
    "no last line feed": Bad(b"text\na\nb", 2),
    "CRLF": Bad(b"text\r\na\r\nb\r\n", 2),
    "a byte order mark": Bad(BOM + b"text\na\n", 1),
    "mixed columns": Bad(b"text,n\na,1\nb\nc,2,3\nd,4\n", 4, (3, 4)),
    "invalid UTF-8": Bad(b"text\n\xff\na\n", 2, (2,)),
    "NUL bytes": Bad(b"text\na\0b\na\n", 2),
    "an open quote": Bad(b'text\n"open\na\nb\n', 3, (2,)),
    "a quote in quotes": Bad(b'text\n"a"b"\na\n', 2, (2,)),
    "a line break in quotes": Bad(b'text\n"a\nb"\nc\n', 2),
    "CR alone": Bad(b"text\na\rb\nc\n", 2, (2,)),
    "a missing column": Bad(b"other\na\nb\n", 2, (), (0, 1)),
    "a line of 17 MiB": Bad(b"text\n" + b"x" * (17 << 20) + b"\na\n", 2, (2,)),
    "a cell of 1 MiB": Bad(b"text\n" + b"x" * ((1 << 20) + 1) + b"\na\n", 2, (2,)),
}
TABLE = [*(("jsonl", *item) for item in JSONL.items()), *(("csv", *item) for item in CSV.items())]


@pytest.mark.fault(46)
@pytest.mark.parametrize("sink", [JsonlSink, SqliteSink])
@pytest.mark.parametrize(("kind", "name", "bad"), TABLE, ids=[f"{kind}-{name}" for kind, name, _ in TABLE])
def test_bad_rows_end_once_under_their_numbers(kind, name, bad, sink, tmp_path, figure):
    """Every row of a bad file ends once, broken ones as dead letters with their lines; a second run does nothing."""
    path = tmp_path / f"in.{kind}"
    path.write_bytes(bad.content)

    def pipeline() -> DataProcessingPipeline:
        source = JsonlSource(path) if kind == "jsonl" else CsvSource(path)
        model = ScriptedCompleter(lambda *_: "ok")
        return DataProcessingPipeline(CONFIG, source=source, sink=sink(tmp_path / "out"), completer=model)

    report = run_virtual(pipeline().run())
    assert (report.ending, report.completed + report.failed) == ("finished", bad.rows)
    dead = tmp_path / "out.dead.jsonl"
    letters = [json.loads(line) for line in dead.read_bytes().splitlines()] if dead.exists() else []
    unread = [letter for letter in letters if letter["error"]["type"] == "unreadable_row"]
    assert sorted(letter["input"]["line"] for letter in unread) == list(bad.broken)
    assert all(letter["error"]["message"].startswith(f"line {letter['input']['line']}: ") for letter in unread)
    unrendered = [letter for letter in letters if letter["error"]["type"] == "render_failed"]
    assert sorted(int(letter["id"]) for letter in unrendered) == list(bad.unrendered)
    assert len(letters) == len(bad.broken) + len(bad.unrendered)
    assert run_virtual(pipeline().run()).records == 0
    figure.add(1, "kinds of bad files, every row ended once")


async def read(source: Source, limit: int) -> list[Row]:
    rows: list[Row] = []
    async with source:
        await source.open(None, never_delivered)
        while batch := await source.read(limit):
            rows.extend(batch)
    return rows


def check_numbering(path: Path, make: Any, limit: int) -> list[Row]:
    """Read a file twice, in other portions; hold the rows against what numbering promises."""
    rows = asyncio.run(read(make(path), limit))
    assert [row.position for row in rows] == list(range(len(rows)))
    lines = path.read_bytes().count(b"\n") + 1
    named = [row.content.record.data["line"] for row in rows if isinstance(row.content, Unreadable)]
    assert all(isinstance(line, int) and 1 <= line <= lines for line in named)
    assert all(one < other for one, other in itertools.pairwise(named))  # type: ignore[operator]
    again = asyncio.run(read(make(path), limit + 7))
    assert [(row.position, row.digest) for row in again] == [(row.position, row.digest) for row in rows]
    return rows


pieces = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [b"\n", b"\r\n", b'"', b",", b'{"a": 1}', b'{"id": 7}', b"\0", b"\xff", b"[", b"1e9", BOM, b" "]
        ),
    ),
    max_size=25,
).map(b"".join)


@pytest.mark.fault(46)
@settings(max_examples=300)
@given(pieces, st.integers(1, 9))
def test_any_bytes_are_rows_of_jsonl(tmp_path_factory, data, limit):
    """Whatever a file holds, each line that is not blank is one row, readable or not, with the same number each time;
    with ids of the rows' own it is that, or refused for two that are equal."""
    path = tmp_path_factory.mktemp("fuzz") / "in.jsonl"
    path.write_bytes(data)
    rows = check_numbering(path, JsonlSource, limit)
    assert len(rows) == sum(bool(line.strip(b" \t\r")) for line in data.removeprefix(BOM).split(b"\n"))
    with suppress(Refused):
        assert len(check_numbering(path, partial(JsonlSource, id_field="id"), limit)) == len(rows)


@pytest.mark.fault(46)
@settings(max_examples=300)
@given(pieces, st.integers(1, 9), st.sampled_from([",", ";", "\t"]))
def test_any_bytes_are_rows_of_csv(tmp_path_factory, data, limit, delimiter):
    """Whatever follows a header, rows have the same numbers each time; a file without a usable header is refused."""
    path = tmp_path_factory.mktemp("fuzz") / "in.csv"
    make = partial(CsvSource, delimiter=delimiter)
    path.write_bytes(b"a" + delimiter.encode() + b"b\n" + data)
    check_numbering(path, make, limit)
    path.write_bytes(data)
    with suppress(ConfigError):
        check_numbering(path, make, limit)


def resident_at_most(process) -> float | None:
    """Give the MiB that a process has used at most so far. (What `wait4` tells begins with what its parent used.)"""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)


@pytest.mark.slow
@pytest.mark.fault(46)
@pytest.mark.promise("P11")
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_of_a_gibibyte_costs_bounded_memory(kind, tmp_path, figure):
    """With a line of 1 GiB in its input the command uses at most 64 MiB and the longest row more than without, and that
    line is a dead letter."""

    def peak(size: int) -> float:
        job = Job(tmp_path, 0, mark=f"line{size}")
        path = job.folder / f"huge.{kind}"
        good = b'{"text": "a"}\n' if kind == "jsonl" else b"a\n"
        with path.open("wb") as file:
            file.write(b"" if kind == "jsonl" else b"text\n")
            file.truncate(file.tell() + size)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + good * 10)
        arguments = ("--progress", "none", "--set", f"source={{type: {kind}, path: '{path}'}}")
        most = 0.0
        with job.running(endpoint, *arguments, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                most = resident_at_most(process) or most
                time.sleep(0.005)
        assert process.returncode == (DEAD_LETTERS if size else 0)
        assert len((job.folder / "out.jsonl").read_bytes().splitlines()) == 10
        if size:
            (letter,) = (job.folder / "out.jsonl.dead.jsonl").read_bytes().splitlines()
            assert f"{size} bytes, more than a row may have" in json.loads(letter)["error"]["message"]
            assert len(letter) < 20_000
        return most

    with Endpoint(tmp_path / "ledger") as endpoint:
        more = peak(1 << 30) - peak(0)
    assert more < 64 + MAX_ROW_BYTES / (1 << 20)
    figure.most(round(more), "MiB more for a line of 1 GiB")
