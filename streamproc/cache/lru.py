"""A mapping that forgets: least recently used first, within bounds on entries, bytes and age. Synchronous and pure."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar, overload

from streamproc.cache.metrics import CacheMetrics

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class _Entry(Generic[V]):
    __slots__ = ("expires_at", "size", "value")

    def __init__(self, value: V, size: int, expires_at: float | None) -> None:
        self.value = value
        self.size = size
        self.expires_at = expires_at


class LRUCache(MutableMapping[K, V]):
    """A dict with losses. All bounds hold after every operation.

    Entries whose time is over go before any that live; among those, the least recently used goes first. Reading with
    `get` or `[]` counts as use; `peek`, `in` and iteration do not. There is no timer: time is looked at when
    something is asked or set.

    Args:
        max_entries: most entries; `None` for no bound.
        max_bytes: most bytes as `size_of` counts them; `None` for no bound. A value larger than this is not kept, and
            the earlier value of its key is dropped.
        ttl_seconds: how long an entry lives from when it was set, unless `set` says otherwise; `None` for ever.
        size_of: gives a value's size in bytes; asked once, when the value is set.
        clock: seconds, monotonic.

    Raises:
        ValueError: a bound is negative.
    """

    def __init__(
        self,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        ttl_seconds: float | None = None,
        size_of: Callable[[V], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, bound in (("max_entries", max_entries), ("max_bytes", max_bytes), ("ttl_seconds", ttl_seconds)):
            if bound is not None and bound < 0:
                raise ValueError(f"{name} must be >= 0, got {bound}")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._size_of: Callable[[V], int] = size_of or _length
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._deadlines: list[
            tuple[float, int, K]
        ] = []  # a heap; an entry that was set again leaves a stale one behind
        self._ticket = 0
        self._bytes = self._peak_bytes = 0
        self._hits = self._misses = self._evictions = self._expirations = 0

    def set(self, key: K, value: V, *, ttl_seconds: float | None = None) -> None:
        """Keep a value, as the most recently used. `ttl_seconds` in place of the cache's own."""
        self._drop(key)
        size = self._size_of(value)
        if size < 0:
            raise ValueError(f"size_of must give >= 0, got {size}")
        if self._max_bytes is not None and size > self._max_bytes:
            return
        now = self._clock()
        ttl = self._ttl if ttl_seconds is None else ttl_seconds
        expires_at = None if ttl is None else now + ttl
        self._entries[key] = _Entry(value, size, expires_at)
        self._bytes += size
        if expires_at is not None:
            self._remember_deadline(expires_at, key)
        self._make_room(now)
        self._peak_bytes = max(self._peak_bytes, self._bytes)

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Give the value of `key` and count it as used, or give `default`."""
        entry = self._live(key)
        if entry is None:
            self._misses += 1
            return default
        self._hits += 1
        self._entries.move_to_end(key)
        return entry.value

    def peek(self, key: K, default: Any = None) -> Any:
        """Give the value of `key` without counting it as used."""
        entry = self._live(key)
        return default if entry is None else entry.value

    def expire(self) -> int:
        """Remove every entry whose time is over; give their number."""
        now = self._clock()
        before = self._expirations
        while self._deadlines and self._deadlines[0][0] <= now:
            expires_at, _, key = heapq.heappop(self._deadlines)
            entry = self._entries.get(key)
            if entry is not None and entry.expires_at == expires_at:
                self._drop(key)
                self._expirations += 1
        return self._expirations - before

    def pop(self, key: K, *default: Any) -> Any:
        """Remove a key and give its value, or `default` where there is none. Counts neither as hit nor as miss.

        Raises:
            KeyError: the key is not there, and no default is given.
        """
        entry = self._live(key)
        if entry is not None:
            self._drop(key)
            return entry.value
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> tuple[K, V]:
        """Remove the least recently used entry that lives, and give its key and value.

        Raises:
            KeyError: the cache is empty.
        """
        self.expire()
        key = next(iter(self._entries), None)
        if key is None:
            raise KeyError("the cache is empty")
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()
        self._deadlines.clear()
        self._bytes = 0

    @property
    def currsize(self) -> int:
        """Entries held, those whose time is over included until they are noticed."""
        return len(self._entries)

    @property
    def current_bytes(self) -> int:
        """The sum of the sizes of what is held."""
        return self._bytes

    def metrics(self) -> CacheMetrics:
        """Give the figures so far."""
        return CacheMetrics(
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            expirations=self._expirations,
            entries=len(self._entries),
            current_bytes=self._bytes,
            peak_bytes=self._peak_bytes,
        )

    def __getitem__(self, key: K) -> V:
        entry = self._live(key)
        if entry is None:
            self._misses += 1
            raise KeyError(key)
        self._hits += 1
        self._entries.move_to_end(key)
        return entry.value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        if self._live(key) is None:
            raise KeyError(key)
        self._drop(key)

    def __contains__(self, key: object) -> bool:
        return self._live(key) is not None

    def __iter__(self) -> Iterator[K]:
        self.expire()
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        self.expire()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<LRUCache of {len(self._entries)} entries, {self._bytes} bytes>"

    def _live(self, key: Any) -> _Entry[V] | None:
        entry = self._entries.get(key)
        if entry is None or entry.expires_at is None or self._clock() < entry.expires_at:
            return entry
        self._drop(key)
        self._expirations += 1
        return None

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size

    def _remember_deadline(self, expires_at: float, key: K) -> None:
        self._ticket += 1
        heapq.heappush(self._deadlines, (expires_at, self._ticket, key))
        if len(self._deadlines) > 2 * len(self._entries) + 16:
            live = [(e.expires_at, n, k) for n, (k, e) in enumerate(self._entries.items()) if e.expires_at is not None]
            self._ticket = len(self._entries)
            heapq.heapify(live)
            self._deadlines = live

    def _make_room(self, now: float) -> None:
        if not self._crowded():
            return
        if self._deadlines and self._deadlines[0][0] <= now:
            self.expire()
        while self._crowded():
            _, entry = self._entries.popitem(last=False)
            self._bytes -= entry.size
            self._evictions += 1

    def _crowded(self) -> bool:
        return (self._max_entries is not None and len(self._entries) > self._max_entries) or (
            self._max_bytes is not None and self._bytes > self._max_bytes
        )


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        raise TypeError(f"size_of is needed for values without a length, got {type(value).__name__}") from None
