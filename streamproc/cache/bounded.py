"""A mapping that forgets, within bounds on entries, bytes and age. Synchronous; a policy says which entry goes."""

from __future__ import annotations

import copy
import heapq
import math
import time
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Final, Self, TypeVar, overload

from streamproc.cache.eviction.policy import EvictionPolicy
from streamproc.cache.metrics import CacheMetrics

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
SLACK = 16
"""So many stale deadlines may be kept beside half the number of entries."""
_MISSING: Any = object()


Entry = tuple[V, int, float | None]
"""A value, its size in bytes, and when its time is over. An exact tuple: the garbage collector leaves those of atoms
alone, and a cache may hold millions."""
VALUE: Final = 0
SIZE: Final = 1
EXPIRES_AT: Final = 2


class BoundedCache(MutableMapping[K, V]):
    """A dict with losses. All bounds hold after every operation.

    Room is made before a value is kept, so a value is never evicted by its own coming. Entries whose time is over go
    before any that live. Reading with `get` or `[]` counts as use; `peek`, `in` and iteration do not. There is no
    timer: time is looked at when something is asked or set. Not to be shared between threads.

    A value that cannot be kept, as it is larger than the cache or its policy does not admit it, is rejected; the
    earlier value of its key is dropped, as it is out of date.

    Values are kept as they are given, not copied. Give immutable ones, or encode them: a value that its owner changes
    later is changed in the cache, too, and its size is then wrong. (`CacheManager` encodes.)

    `copy.copy` gives an independent cache of the same values. Deadlines are times of `clock`: with the default clock, a
    pickle with deadlines is good until the machine is started anew.

    Args:
        policy: chooses what goes; belongs to this cache alone.
        max_entries: most entries; `None` for no bound.
        max_bytes: most bytes as `size_of` counts them; `None` for no bound.
        ttl_seconds: how long an entry lives from when it was set, unless `set` says otherwise; `None` for ever.
        size_of: gives a value's size in bytes, asked once, when the value is set; `len` if not given.
        clock: seconds, monotonic.

    Raises:
        ValueError: a bound is negative.
    """

    def __init__(
        self,
        policy: EvictionPolicy[K],
        max_entries: int | None = None,
        max_bytes: int | None = None,
        ttl_seconds: float | None = None,
        size_of: Callable[[V], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, bound in (("max_entries", max_entries), ("max_bytes", max_bytes), ("ttl_seconds", ttl_seconds)):
            if bound is not None and bound < 0:
                raise ValueError(f"{name} must be >= 0, got {bound}")
        self._policy = policy
        self._used = policy.used
        self._max_entries = math.inf if max_entries is None else max_entries
        self._max_bytes = math.inf if max_bytes is None else max_bytes
        self._ttl = ttl_seconds
        self._size_of: Callable[[V], int] = size_of or _length
        self._clock = clock
        self._entries: dict[K, Entry[V]] = {}
        self._deadlines: list[tuple[float, int, K]] = []  # a heap; what was set again or has gone leaves a stale one
        self._ticket = 0
        self._bytes = self._peak_bytes = 0
        self._hits = self._misses = self._evictions = self._expirations = self._rejections = 0

    def set(self, key: K, value: V, *, ttl_seconds: float | None = None, cost: float = 1.0) -> None:
        """Keep a value.

        Args:
            key, value: what to keep; the value as it is, not a copy.
            ttl_seconds: in place of the cache's own.
            cost: what it takes to get the value again, in any unit that is the same for all; only some policies look.

        Raises:
            ValueError: the size, `ttl_seconds` or `cost` is negative; nothing has changed then.
        """
        size = self._size_of(value)
        ttl = self._ttl if ttl_seconds is None else ttl_seconds
        if not (size >= 0 and cost >= 0 and (ttl is None or ttl >= 0)):
            numbers = {"size_of(value)": size, "ttl_seconds": ttl or 0, "cost": cost}
            name = next(name for name, number in numbers.items() if not number >= 0)
            raise ValueError(f"{name} must be >= 0, got {numbers[name]}")
        self._remove(key)
        if size > self._max_bytes or self._max_entries < 1 or not self._policy.admits(key, size):
            self._rejections += 1
            return
        self._make_room(size)
        expires_at = None if ttl is None else self._clock() + ttl
        self._entries[key] = (value, size, expires_at)
        self._policy.inserted(key, size, cost)
        self._bytes += size
        self._peak_bytes = max(self._peak_bytes, self._bytes)
        if expires_at is not None:
            self._ticket += 1  # no two are equal, so keys are never compared
            heapq.heappush(self._deadlines, (expires_at, self._ticket, key))
            self._trim_deadlines()

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Give the value of `key` and count it as used, or give `default`."""
        try:  # the quickest way to a hit, which is what this is for
            value, _, expires_at = self._entries[key]
        except KeyError:
            self._misses += 1
            return default
        if expires_at is not None and expires_at <= self._clock():
            self._expire(key)
            self._misses += 1
            return default
        self._hits += 1
        self._used(key)
        return value

    def peek(self, key: K, default: Any = None) -> Any:
        """Give the value of `key` without counting it as used."""
        entry = self._live(key)
        return default if entry is None else entry[VALUE]

    def expire(self) -> int:
        """Remove every entry whose time is over; give their number."""
        before = self._expirations
        now = self._clock() if self._deadlines else 0.0
        while self._deadlines and self._deadlines[0][0] <= now:
            expires_at, _, key = heapq.heappop(self._deadlines)
            entry = self._entries.get(key)
            if entry is not None and entry[EXPIRES_AT] == expires_at:
                self._expire(key)
        return self._expirations - before

    def pop(self, key: K, *default: Any) -> Any:
        """Remove a key and give its value, or `default` where there is none. Counts neither as hit nor as miss.

        Raises:
            KeyError: the key is not there, and no default is given.
        """
        entry = self._live(key)
        if entry is None:
            if default:
                return default[0]
            raise KeyError(key)
        self._remove(key)
        return entry[VALUE]

    def popitem(self) -> tuple[K, V]:
        """Remove the entry that would be evicted next, and give its key and value. Does not count as an eviction.

        Raises:
            KeyError: the cache is empty.
        """
        self.expire()
        if not self._entries:
            raise KeyError("the cache is empty")
        key = self._policy.victim()
        return key, self._take(key)[VALUE]

    def clear(self) -> None:
        """Remove everything; what the policy learned, too."""
        self._entries.clear()
        self._deadlines.clear()
        self._policy.clear()
        self._bytes = 0

    def items(self) -> ItemsView[K, V]:
        """Give the keys and values that live, as they are now: a copy, which later changes do not reach."""
        self.expire()
        return {key: entry[VALUE] for key, entry in self._entries.items()}.items()

    def values(self) -> ValuesView[V]:
        """Give the values that live, as they are now: a copy, which later changes do not reach."""
        return dict(self.items()).values()

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
            rejections=self._rejections,
            entries=len(self._entries),
            current_bytes=self._bytes,
            peak_bytes=self._peak_bytes,
        )

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    def __contains__(self, key: object) -> bool:
        return self._live(key) is not None

    def __iter__(self) -> Iterator[K]:
        self.expire()
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        self.expire()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._entries)} entries, {self._bytes} bytes>"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._used = self._policy.used  # what the state has may be the original's

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        shared: dict[int, Any] = {id(key): key for key in self._entries}  # the policy's books are copied, not the keys
        policy = copy.deepcopy(self._policy, shared)
        own = {"_entries": self._entries.copy(), "_deadlines": self._deadlines.copy(), "_policy": policy}
        twin.__setstate__(self.__dict__ | own)
        return twin

    def _live(self, key: Any) -> Entry[V] | None:
        entry = self._entries.get(key)
        expires_at = None if entry is None else entry[EXPIRES_AT]
        if expires_at is None or self._clock() < expires_at:
            return entry
        self._expire(key)
        return None

    def _make_room(self, size: int) -> None:
        while len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes:
            if not self.expire():
                self._take(self._policy.victim())
                self._evictions += 1

    def _expire(self, key: K) -> None:
        self._remove(key)
        self._expirations += 1

    def _remove(self, key: K) -> None:
        if key in self._entries:
            self._policy.removed(key)
            self._take(key)

    def _take(self, key: K) -> Entry[V]:
        entry = self._entries.pop(key)
        self._bytes -= entry[SIZE]
        self._trim_deadlines()
        return entry

    def _trim_deadlines(self) -> None:
        if len(self._deadlines) <= 1.5 * len(self._entries) + SLACK:
            return
        held = enumerate(self._entries.items())
        self._deadlines = [(expires_at, n, key) for n, (key, (_, _, expires_at)) in held if expires_at is not None]
        heapq.heapify(self._deadlines)
        self._ticket = len(self._entries)


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        raise TypeError(f"size_of is needed for values without a length, got {type(value).__name__}") from None
