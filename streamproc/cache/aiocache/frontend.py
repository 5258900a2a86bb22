"""Any of our back ends as a cache of aiocache, so that its decorators, locks and plug-ins work on it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from aiocache.base import BaseCache
from aiocache.plugins import BasePlugin
from aiocache.serializers import BaseSerializer, NullSerializer

from streamproc.cache import plain_data
from streamproc.cache.aiocache.key_locks import locks_of
from streamproc.cache.backend import CacheBackend
from streamproc.cache.envelope import deadline_of, seal, unseal
from streamproc.flow.clock import Clock

KeyBuilder = Callable[[Any, str], Any]
"""Makes another key of a key and its namespace."""


class _Entry(NamedTuple):
    value: Any
    payload: bytes
    expires_at: float | None


class BackendCache(BaseCache):
    """An aiocache cache whose bytes a `CacheBackend` keeps.

        async with SqliteBackend(path, 10**8) as backend:
            cache = BackendCache(backend, namespace="answers")
            remember = cached(cache=BackendCache, backend=backend, namespace="answers", ttl=60)

    The back end's life is its owner's: open it before use and close it afterwards. Many caches may share it, so
    `close` leaves it open.

    What the serializer gives must be plain data (see `plain_data.encode`); it comes back with its types, as another
    object, so nobody can change what is stored. aiocache takes `None` for a miss, and so a stored `None` reads as one,
    but it exists and can be deleted.

    A namespace is a name, not a beginning: `a` with key `bc` and `ab` with key `c` are two entries, the int 1 and the
    str "1" two keys, and `clear(namespace="a")` leaves `ab` alone. It deletes by the key's beginning, which needs
    `CacheBackend.delete_prefix`; a generation number beside the entries would cost a second lookup for each, and bring
    cleared values back when it is evicted before them. `clear()` clears the cache's own namespace; without one it
    forgets all that the back end holds.

    A `ttl` is in seconds; `None` and 0 mean no deadline. `increment` keeps the deadline of what it counts.

    What reads before it writes (`add`, `increment`, `expire`, compare-and-set, releasing a lock) is atomic for each key
    among all caches of this process over the same back end object. It is not atomic between processes, and not
    against `clear`.

    Args:
        backend: keeps the bytes. If it fails its errors are raised, unless it wears `FailOpen`;
            aiocache's decorators log them and go on.
        serializer: aiocache's; without one, values are stored as they are.
        plugins: aiocache's.
        namespace: used where a call names none; `None` and "" are the same, unnamed one.
        key_builder: makes another key of a key, inside its namespace.
        timeout: seconds an operation may take; with the default, 0, none is set, which spares a task an operation.
        ttl: used where a call names none.
        wall: seconds since 1970.
    """

    NAME = "streamproc"

    def __init__(
        self,
        backend: CacheBackend,
        serializer: BaseSerializer | None = None,
        plugins: Sequence[BasePlugin] | None = None,
        namespace: str | None = None,
        key_builder: KeyBuilder | None = None,
        timeout: float | None = 0,
        ttl: float | None = None,
        wall: Clock = time.time,
    ) -> None:
        self._backend = backend
        self._key_builder = key_builder
        self._wall = wall
        self._locks = locks_of(backend)
        super().__init__(  # type: ignore[no-untyped-call]  # aiocache has no types
            serializer=serializer or NullSerializer(),  # type: ignore[no-untyped-call]
            plugins=plugins,
            namespace=namespace,
            timeout=timeout,
            ttl=ttl,
        )

    def _build_key(self, key: Any, namespace: str | None = None) -> str:
        name = (namespace if namespace is not None else self.namespace) or ""
        if self._key_builder is not None:
            key = self._key_builder(key, name)
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return _prefix(name) + "str:" + key
        if isinstance(key, int):
            return _prefix(name) + f"int:{int(key)}"  # as in a dict, True is 1
        raise TypeError(f"a key must be a str or an int, got {type(key).__qualname__}: {key!r:.100}")

    async def _get(self, key: str, encoding: str | None = "utf-8", _conn: object = None) -> Any:
        return (await self._multi_get([key]))[0]

    async def _gets(self, key: str, encoding: str | None = "utf-8", _conn: object = None) -> Any:
        return await self._get(key)

    async def _multi_get(self, keys: Sequence[str], encoding: str | None = "utf-8", _conn: object = None) -> list[Any]:
        return [None if entry is None else entry.value for entry in await self._entries(keys)]

    async def _exists(self, key: str, _conn: object = None) -> bool:
        return await self._entry(key) is not None

    async def _set(
        self, key: str, value: object, ttl: float | None = None, _cas_token: object = None, _conn: object = None
    ) -> bool:
        async with self._locks.holding([key]):
            if _cas_token is not None and not await self._holds(key, _cas_token):
                return False
            await self._put({key: value}, self._deadline(ttl))
            return True

    async def _multi_set(
        self, pairs: Iterable[tuple[str, object]], ttl: float | None = None, _conn: object = None
    ) -> bool:
        items = dict(pairs)
        async with self._locks.holding(items):
            await self._put(items, self._deadline(ttl))
        return True

    async def _add(self, key: str, value: object, ttl: float | None = None, _conn: object = None) -> bool:
        async with self._locks.holding([key]):
            if await self._entry(key) is not None:
                raise ValueError(f"key {key!r} is there already; use set to replace its value")
            await self._put({key: value}, self._deadline(ttl))
            return True

    async def _increment(self, key: str, delta: int, _conn: object = None) -> int:
        async with self._locks.holding([key]):
            entry = await self._entry(key)
            total = delta
            if entry is not None:
                count = self.serializer.loads(entry.value)
                try:
                    total += int(str(count))
                except ValueError:
                    raise TypeError(f"only an integer can be incremented, got {count!r:.100}") from None
            await self._put({key: self.serializer.dumps(total)}, None if entry is None else entry.expires_at)
            return total

    async def _expire(self, key: str, ttl: float, _conn: object = None) -> bool:
        async with self._locks.holding([key]):
            entry = await self._entry(key)
            if entry is not None:
                await self._put({key: entry.value}, self._deadline(ttl))
            return entry is not None

    async def _delete(self, key: str, _conn: object = None) -> int:
        async with self._locks.holding([key]):
            entry = await self._entry(key)
            await self._backend.delete_many([key])
            return int(entry is not None)

    async def _redlock_release(self, key: str, value: object) -> int:
        async with self._locks.holding([key]):
            if not await self._holds(key, value):
                return 0
            await self._backend.delete_many([key])
            return 1

    async def _clear(self, namespace: str | None = None, _conn: object = None) -> bool:
        name = namespace if namespace is not None else self.namespace
        if name is None:
            await self._backend.clear()
        else:
            await self._backend.delete_prefix(_prefix(name))
        return True

    async def _raw(self, command: str, *args: Any, encoding: str | None = "utf-8", _conn: object = None) -> Any:
        """Call a public method of the back end by its name, with keys and values as they are stored."""
        if command.startswith("_"):
            raise AttributeError(f"{command!r} is not a public method of {type(self._backend).__name__}")
        result = getattr(self._backend, command)(*args)
        return await result if inspect.isawaitable(result) else result

    @classmethod
    def parse_uri_path(cls, path: str) -> dict[str, str]:
        """Give no settings: the path of an address says nothing to this cache."""
        return {}

    async def _entry(self, key: str) -> _Entry | None:
        return (await self._entries([key]))[0]

    async def _entries(self, keys: Sequence[str]) -> list[_Entry | None]:
        stored = await self._backend.get_many(keys)
        now = self._wall()
        return [
            None if sealed is None else _open_entry(key, sealed, now) for key, sealed in zip(keys, stored, strict=True)
        ]

    async def _holds(self, key: str, value: object) -> bool:
        """Tell whether the value of a key is this one; compared as bytes, so 1 is not True."""
        entry = await self._entry(key)
        return entry is not None and entry.payload == plain_data.encode(value)

    def _deadline(self, ttl: float | None) -> float | None:
        if ttl is not None and ttl < 0:
            raise ValueError(f"ttl must be >= 0, got {ttl}")
        return self._wall() + ttl if ttl else None

    async def _put(self, items: Mapping[str, object], expires_at: float | None) -> None:
        sealed = {key: seal(key, plain_data.encode(value), expires_at) for key, value in items.items()}
        await self._backend.put_many(sealed, ttl=None if expires_at is None else max(0.0, expires_at - self._wall()))


def _open_entry(key: str, sealed: bytes, now: float) -> _Entry | None:
    payload = unseal(key, sealed, now)
    if payload is None:
        return None
    try:
        return _Entry(plain_data.decode(payload), payload, deadline_of(sealed))
    except msgspec.DecodeError:
        return None  # of another writer


def _prefix(namespace: str) -> str:
    """Give how the keys of a namespace begin: its length comes first, so no other's keys begin like that."""
    return f"{len(namespace)}:" + namespace + ":"
