"""Records from Python: any iterable, synchronous or not."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streamproc.errors import Refused
from streamproc.records import Checkpoint, Record, RecordError, Row, Unreadable
from streamproc.sources.source import DigestsOf, Source, changed, digest

_canonical = msgspec.json.Encoder(order="deterministic")

Item = Record | Mapping[str, Any]


class MemorySource(Source):
    """Give the items of an iterable: records as they are, mappings under their ordinal as id.

    A sequence can be read again, so a run over one can be resumed. Anything else is read once.

    Args:
        items: at most one item is taken ahead of what is asked, from an asynchronous iterable none.
    """

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        self._items = items
        self._iterator: Iterator[Item] | AsyncIterator[Item] | None = None
        self._ordinal = 0

    @property
    def identity(self) -> dict[str, str]:
        return {"type": "memory"}

    async def open(self, after: Checkpoint | None, delivered: DigestsOf) -> None:
        self._ordinal = 0
        if isinstance(self._items, AsyncIterable):
            self._iterator = aiter(self._items)
        else:
            self._iterator = iter(self._items)
        if isinstance(self._items, Sequence):
            _refuse_duplicates(self._items)
        if after is not None and (after.low is not None or after.above):
            if not isinstance(self._items, Sequence):
                raise Refused("an iterable can be read only once, so its run cannot be resumed; give a sequence")
            await self._compare(self._items, after, delivered)

    async def _compare(self, items: Sequence[Item], after: Checkpoint, delivered: DigestsOf) -> None:
        positions = [position for position in (after.low, *after.above) if isinstance(position, int)]
        known = await delivered(range(max(positions) + 1))
        for ordinal, was in enumerate(known):
            now = _row(ordinal, items[ordinal]).digest if ordinal < len(items) else None
            if was is not None and was != now:
                raise changed(f"record {ordinal}", was, now)
        if isinstance(after.low, int):
            self._ordinal = after.low + 1
            self._iterator = iter(items[self._ordinal :])

    def remaining(self) -> int | None:
        return len(self._items) - self._ordinal if isinstance(self._items, Sequence) else None

    async def read(self, limit: int) -> Sequence[Row]:
        rows: list[Row] = []
        if isinstance(self._iterator, AsyncIterator):
            async for item in self._iterator:
                return [self._next(item)]  # waiting for more would hold this one back
            return []
        assert self._iterator is not None, "open() comes first"
        for item in self._iterator:
            rows.append(self._next(item))
            if len(rows) == limit:
                break
        return rows

    def _next(self, item: Item) -> Row:
        row = _row(self._ordinal, item)
        self._ordinal += 1
        return row

    async def aclose(self) -> None:
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def _refuse_duplicates(items: Sequence[Item]) -> None:
    seen: dict[str, int] = {}
    for ordinal, item in enumerate(items):
        name = item.id if isinstance(item, Record) else str(ordinal)
        if (earlier := seen.setdefault(name, ordinal)) != ordinal:
            raise Refused(f"items {earlier} and {ordinal} have the same id {name!r}; ids must be unique")


def _row(ordinal: int, item: Item) -> Row:
    record = item if isinstance(item, Record) else None
    if record is None and isinstance(item, Mapping):
        record = Record(str(ordinal), item)
    if record is None:
        problem = RecordError("unreadable_row", f"item {ordinal} is {type(item).__name__}, not a Record or mapping")
        return Row(ordinal, b"", Unreadable(Record(str(ordinal), {}), problem))
    try:
        mark = digest(_canonical.encode((record.id, record.data)))
    except (TypeError, UnicodeEncodeError, RecursionError):
        mark = b""  # not plain data: such an item is known only by its place
    return Row(ordinal, mark, record)
