"""Sources: every row once, in order, under a stable ordinal; a bad one never stops the rest."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError, Refused
from streamproc.records import Checkpoint, Position, Record, Row, Unreadable
from streamproc.sources.csv import MAX_CSV_ROW_BYTES, CsvSource
from streamproc.sources.jsonl import JsonlSource
from streamproc.sources.lines import LineFile
from streamproc.sources.memory import MemorySource
from streamproc.sources.source import Source, never_delivered


async def read_all(source: Source, limit: int = 3, after: Checkpoint | None = None, known: Any = None) -> list[Row]:
    async def digests(positions: Sequence[Position]) -> list[bytes | None]:
        return [known.get(position) for position in positions]

    rows: list[Row] = []
    async with source:
        await source.open(after, digests if known is not None else never_delivered)
        while batch := await source.read(limit):
            assert len(batch) <= limit
            rows.extend(batch)
    return rows


def rows_of(source: Source, **options: Any) -> list[Row]:
    return asyncio.run(read_all(source, **options))


def problems(rows: list[Row]) -> dict[int, str]:
    return {number: row.content.error.message for number, row in enumerate(rows) if isinstance(row.content, Unreadable)}


def data_of(rows: list[Row]) -> list[Any]:
    return [row.content.data for row in rows if isinstance(row.content, Record)]


@given(st.binary(max_size=300), st.integers(1, 20), st.integers(1, 9))
def test_lines_are_what_split_gives(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cap: int, block: int
) -> None:
    """Numbers and bytes of lines are those of splitting the file at line feeds, cut at the cap."""
    import streamproc.sources.lines as lines

    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(data)
    earlier, lines.BLOCK_BYTES = lines.BLOCK_BYTES, block
    try:
        file = LineFile(path, cap)
        got = list(file.lines())
        file.close()
    finally:
        lines.BLOCK_BYTES = earlier
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    bom = b"\xef\xbb\xbf"
    assert len(got) == len(expected)
    for number, (line, raw) in enumerate(zip(got, expected, strict=True), 1):
        shown = raw[:cap].removeprefix(bom) if number == 1 else raw[:cap]
        assert (line.number, line.raw) == (number, shown)
        assert line.oversize == (len(raw) if len(raw) > cap else 0)


json_rows = st.lists(st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text()), max_size=3))


@given(json_rows, st.sampled_from(["\n", "\r\n", "\n\n", "\n  \n"]), st.booleans(), st.integers(1, 5))
def test_jsonl_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], end: str, bom: bool, limit: int
) -> None:
    """Line ends, blank lines, a byte order mark and a missing last line feed change nothing."""
    path = tmp_path_factory.mktemp("jsonl") / "in.jsonl"
    text = end.join(json.dumps(record, ensure_ascii=False) for record in records)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode("utf-8", "surrogatepass"))
    rows = rows_of(JsonlSource(path), limit=limit)
    assert data_of(rows) == records
    assert [row.position for row in rows] == list(range(len(records)))
    assert [row.content.id for row in rows if isinstance(row.content, Record)] == [str(n) for n in range(len(records))]


@pytest.mark.fault(46)
def test_broken_jsonl_rows_are_named_by_line_and_stop_nothing(tmp_path: Path) -> None:
    """Bad JSON, bad UTF-8, nesting, a list, an id of the wrong kind: each is one dead letter with its line number."""
    lines = [
        b'{"id": "a"}',
        b"{broken",
        b'{"id": "\xff"}',
        b"",
        b"[1]",
        b"[" * 100_000,
        b'{"id": null}',
        b'{"id": true}',
        b'{"id": 7}',
        b'{"id": "z", "n": NaN}',
        b'{"id": "\\ud800"}',
    ]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = rows_of(JsonlSource(path, "id"))
    assert [row.content.id for row in rows if isinstance(row.content, Record)] == ["a", "7"]
    assert {message.split(":")[0] for message in problems(rows).values()} == {
        f"line {n}" for n in (2, 3, 5, 6, 7, 8, 10, 11)
    }
    assert rows[1].content.record.id == "line-2"  # type: ignore[union-attr]
    assert rows[1].content.record.data == {"line": 2, "raw": "{broken"}  # type: ignore[union-attr]


@pytest.mark.fault(46)
def test_an_oversize_line_is_one_bad_row(tmp_path: Path) -> None:
    """A line beyond 16 MiB is a dead letter of bounded size, and the next line is read."""
    path = tmp_path / "in.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": "')
        file.write(b"x" * (17 << 20))
        file.write(b'"}\n{"a": 1}\n')
    rows = rows_of(JsonlSource(path))
    assert "more than a row may have" in problems(rows)[0]
    assert len(str(rows[0].content)) < 3000
    assert data_of(rows) == [{"a": 1}]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)


@given(st.lists(st.tuples(cells, cells, cells), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_reads_what_the_csv_module_wrote(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str, str]], end: str, quote_all: bool
) -> None:
    """Quotes, commas and line breaks inside fields come back as they were, each row under its ordinal."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerows([("a", "b", "c"), *table])
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    path.write_bytes(buffer.getvalue().encode())
    rows = rows_of(CsvSource(path))
    assert problems(rows) == {}
    assert data_of(rows) == [dict(zip("abc", row, strict=True)) for row in table]


@pytest.mark.fault(46)
def test_broken_csv_rows_are_named_by_line_and_stop_nothing(tmp_path: Path) -> None:
    """Too many or few cells, bad UTF-8 and a quote that nobody closes are one bad row each; the rest is read."""
    path = tmp_path / "in.csv"
    path.write_bytes(
        b'\xef\xbb\xbfid,text\r\n1,one\r\n2\r\n3,a,b\r\n4,\xff\r\n\r\n5,"open\r\n6,six" x\r\n7,5" pipe\r\n8,"a\nb"\n'
    )
    rows = rows_of(CsvSource(path, "id"))
    texts = {row.content.id: row.content.data["text"] for row in rows if isinstance(row.content, Record)}
    assert texts == {"1": "one", "7": '5" pipe', "8": "a\nb", "6": 'six" x'}
    lines = {message.split(":")[0] for message in problems(rows).values()}
    assert lines == {"line 3", "line 4", "line 5", "line 7"}


@pytest.mark.fault(46)
def test_an_unclosed_quote_swallows_one_line_only(tmp_path: Path) -> None:
    """However much follows an unclosed quote, only its own line is lost."""
    path = tmp_path / "in.csv"
    path.write_bytes(b'a\n"open\n' + b"x\n" * (MAX_CSV_ROW_BYTES // 2 + 10))
    rows = rows_of(CsvSource(path), limit=5000)
    assert list(problems(rows)) == [0]
    assert len(rows) == MAX_CSV_ROW_BYTES // 2 + 11


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"a,a\n", "twice"), (b'"a\n', "header")])
def test_a_csv_needs_a_header(tmp_path: Path, content: bytes, words: str) -> None:
    """No header, or an unusable one, is refused before anything is read."""
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        rows_of(CsvSource(path))


@pytest.mark.fault(47)
@pytest.mark.parametrize("change", ["edit", "insert", "delete", "reorder", "truncate", "append", "none"])
def test_changed_input_is_refused_and_grown_input_is_not(tmp_path: Path, change: str) -> None:
    """A delivered row that is not what it was is refused with its line; what follows may grow or change."""
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"n": n}) for n in range(2500)]
    path.write_text("\n".join(lines) + "\n")
    before = rows_of(JsonlSource(path), limit=500)
    known = {row.position: row.digest for row in before[:2010]} | {2020: before[2020].digest}
    after = Checkpoint(2009, (2020,))
    if change == "edit":
        lines[1500] = json.dumps({"n": -1})
    elif change == "insert":
        lines.insert(3, json.dumps({"n": -1}))
    elif change == "delete":
        del lines[2000]
    elif change == "reorder":
        lines[7], lines[8] = lines[8], lines[7]
    elif change == "truncate":
        del lines[2015:]
    elif change == "append":
        lines.append(json.dumps({"n": 2500}))
        lines[2015] = json.dumps({"n": "not delivered yet"})
    path.write_text("\n".join(lines) + "\n")
    if change in {"append", "none"}:
        rows = rows_of(JsonlSource(path), after=after, known=known)
        assert [row.position for row in rows] == list(range(2010, len(lines)))
    else:
        with pytest.raises(Refused, match=r"gone|changed since"):
            rows_of(JsonlSource(path), after=after, known=known)


@pytest.mark.fault(46)
def test_two_rows_with_one_id_are_refused_with_both_lines(tmp_path: Path) -> None:
    """Ids must be unique, and the refusal names both places before anything is paid."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": f"id-{n % 700}"}) + "\n" for n in range(701)))
    with pytest.raises(Refused, match="lines 1 and 701"):
        rows_of(JsonlSource(path, "id"))


@pytest.mark.fault(47)
def test_rows_written_while_a_run_reads_are_left_to_the_next(tmp_path: Path) -> None:
    """The file is read up to the size it had at the start, so a half-written line is never taken."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\n')

    async def main() -> list[Row]:
        async with JsonlSource(path) as source:
            await source.open(None, never_delivered)
            with path.open("ab") as file:
                file.write(b'{"a": 2}\n{"a"')
            return [*await source.read(10), *await source.read(10)]

    assert data_of(asyncio.run(main())) == [{"a": 1}]


def test_memory_takes_any_iterable_and_resumes_a_sequence() -> None:
    """Mappings get their ordinal, records keep their id; a generator cannot be resumed, a list can."""

    async def numbers() -> AsyncIterator[dict[str, int]]:
        for n in range(4):
            yield {"n": n}

    assert data_of(rows_of(MemorySource(numbers()))) == [{"n": n} for n in range(4)]
    items = [Record("x", {"a": 1}), {"b": 2}, {"c": object()}]
    rows = rows_of(MemorySource(items))
    assert [row.content.id for row in rows if isinstance(row.content, Record)] == ["x", "1", "2"]
    bad: Any = [3]
    assert "not a Record" in problems(rows_of(MemorySource(bad)))[0]
    known = {0: rows[0].digest}
    assert len(rows_of(MemorySource(items), after=Checkpoint(0), known=known)) == 2
    with pytest.raises(Refused, match="only once"):
        rows_of(MemorySource(iter(items)), after=Checkpoint(0), known=known)
    with pytest.raises(Refused, match="record 0 changed"):
        rows_of(MemorySource([{"a": 2}]), after=Checkpoint(0), known=known)
