"""Values in a cache: encoding, expiry, doubt, figures. What is stored are bytes, so no caller can change them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import anyio
import msgspec

from streamproc.cache.backend import CacheBackend
from streamproc.cache.backends import build_backend
from streamproc.cache.config import CacheConfig
from streamproc.cache.envelope import seal, unseal
from streamproc.cache.lease import Leases
from streamproc.cache.metrics import CacheMetrics
from streamproc.cache.plain_data import decoder
from streamproc.cache.single_flight import SingleFlight
from streamproc.errors import NotStorable
from streamproc.flow.clock import Clock

V = TypeVar("V")


class _Missing:
    """Tells a miss from a stored `None`."""


_MISSING: Final = _Missing()


class CacheManager(Generic[V]):
    """An asynchronous cache of typed values.

    Whatever cannot be read back as a whole, living value of the very key that was asked is a miss.

    Use it as an async context manager. Values must be plain data, or of a type msgspec knows.

    Args:
        config: bounds and deadline; also makes the back end unless one is given.
        backend: where the bytes are kept. One that is given here fails as it fails; one that is made from the
            configuration forgets when it fails.
        kind: the type of the values.
        wall: seconds since 1970.
        cost_of: what a value cost to make, for policy `gdsf`; without it all cost the same.

    Raises:
        ConfigError: backend sqlite without a path, or redis without its client installed.
    """

    def __init__(
        self,
        config: CacheConfig,
        backend: CacheBackend | None = None,
        kind: type[V] | None = None,
        wall: Clock = time.time,
        cost_of: Callable[[V], float] | None = None,
    ) -> None:
        self._ttl = config.ttl_seconds
        self._lease_wait = config.lease_wait_seconds
        self._backend = backend or build_backend(config)
        self._encoder = msgspec.msgpack.Encoder()
        self._decode: Callable[[bytes], V] = decoder(kind or Any)
        self._wall = wall
        self._cost_of = cost_of
        self._flights: SingleFlight[bytes] = SingleFlight()
        self._hits = 0
        self._misses = 0

    async def get(self, key: str) -> V | None:
        """Give the value of `key`, or `None`."""
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> list[V | None]:
        """Look keys up.

        Returns:
            Same length and order as `keys`; `None` where missing.
        """
        return [None if isinstance(value, _Missing) else value for value in await self._look_up(keys)]

    async def _look_up(self, keys: Sequence[str]) -> list[V | _Missing]:
        values = [self._read(payload) for payload in await self._payloads(keys)]
        missing = values.count(_MISSING)
        self._misses += missing
        self._hits += len(values) - missing
        return values

    async def _payloads(self, keys: Sequence[str]) -> list[bytes | None]:
        """Give what is whole, alive and of the very key; a tier with something else must not hide what is behind it."""
        names = keys if all(map(str.isascii, keys)) else [_name(key) for key in keys]
        stored = await self._backend.get_many(names)
        payloads = self._unsealed(keys, stored)
        useless = [place for place, sealed in enumerate(stored) if sealed is not None and payloads[place] is None]
        if useless:
            behind = await self._backend.look_behind([names[place] for place in useless])
            unsealed = self._unsealed([keys[place] for place in useless], behind)
            for place, payload in zip(useless, unsealed, strict=True):
                payloads[place] = payload
        return payloads

    def _unsealed(self, keys: Sequence[str], stored: Sequence[bytes | None]) -> list[bytes | None]:
        now = self._wall()
        return [None if sealed is None else unseal(key, sealed, now) for key, sealed in zip(keys, stored, strict=True)]

    def _read(self, payload: bytes | None) -> V | _Missing:
        if payload is None:
            return _MISSING
        try:
            return self._decode(payload)
        except msgspec.DecodeError:
            return _MISSING  # of another version of the type, or nothing that we wrote

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[V]]) -> V:
        """Give the value of `key`; where there is none, have one caller compute it and all who wait share it.

        Among processes that share a Redis server one computes, as far as leases hold. A caller that is cancelled
        leaves alone; when the last has left, the computation is cancelled.

        Args:
            key: what is computed.
            compute: makes the value. What it raises, everyone who waits gets, and nothing is stored.

        Returns:
            A value of the caller's own, read back from what was stored: changing it changes nobody else's.

        Raises:
            NotStorable: the value is no plain data.
            Exception: what `compute` raised.
        """
        (found,) = await self._look_up([key])
        if not isinstance(found, _Missing):
            return found
        payload = await self._flights.run(key, lambda: self._computed(key, compute))
        return self._decode(payload)

    async def _computed(self, key: str, compute: Callable[[], Awaitable[V]]) -> bytes:
        """Look once more, for another may have landed between a miss and this flight; then compute and store."""

        async def stored() -> bytes | None:
            (payload,) = await self._payloads([key])
            return None if isinstance(self._read(payload), _Missing) else payload

        async def computed() -> bytes:
            value = await compute()
            payload = self._encode(value)
            await self._store({key: (payload, self._cost(value))})
            return payload

        store = self._backend.leases
        if store is not None:
            return await Leases(store, self._lease_wait).compute_once(_name(key), stored, computed)
        found = await stored()
        return found if found is not None else await computed()

    async def set(self, key: str, value: V) -> None:
        """Keep a value.

        Raises:
            NotStorable: the value is no plain data.
            StorageFailed: a back end that must not lose values could not keep it.
        """
        await self.set_many({key: value})

    async def set_many(self, items: Mapping[str, V]) -> None:
        """Keep values; when it returns they are as safe as the back end makes them.

        Raises:
            NotStorable: a value is no plain data; none is kept.
            StorageFailed: a back end that must not lose values could not keep them.
        """
        await self._store({key: (self._encode(value), self._cost(value)) for key, value in items.items()})

    def _encode(self, value: V) -> bytes:
        try:
            return self._encoder.encode(value)
        except (TypeError, OverflowError, UnicodeEncodeError, RecursionError) as error:
            raise NotStorable(f"only plain data can be stored: {error}") from error

    def _cost(self, value: V) -> float:
        return 1.0 if self._cost_of is None else self._cost_of(value)

    async def _store(self, payloads: Mapping[str, tuple[bytes, float]]) -> None:
        expires_at = self._wall() + self._ttl
        sealed = {_name(key): seal(key, payload, expires_at, cost) for key, (payload, cost) in payloads.items()}
        await self._backend.put_many(sealed, ttl=self._ttl)

    async def delete(self, key: str) -> None:
        """Forget a key.

        Raises:
            CacheUnavailable, StorageFailed: it may still be there.
        """
        await self._backend.delete_many([_name(key)])

    async def clear(self) -> None:
        """Forget everything.

        Raises:
            CacheUnavailable, StorageFailed: some of it may still be there.
        """
        await self._backend.clear()

    def metrics(self) -> CacheMetrics:
        """Give the figures: lookups as the callers saw them, sizes as the back end counts them."""
        return msgspec.structs.replace(
            self._backend.metrics(), hits=self._hits, misses=self._misses, coalesced=self._flights.coalesced
        )

    async def aclose(self) -> None:
        """Cancel what is being computed, and close the back end. Harmless when called twice."""
        await self._flights.aclose()
        await self._backend.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self._backend.open()
        except BaseException:  # cancelled halfway, for one: what is open by then must not stay open
            with anyio.CancelScope(shield=True):
                await self._backend.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _name(key: str) -> str:
    """Give what a key is called in the back end: itself, unless it holds half of a surrogate pair, which UTF-8 cannot.

    Should another key be called the same, the envelope tells them apart.
    """
    try:
        if not key.isascii():
            key.encode()
    except UnicodeEncodeError:
        return "surrogates:" + key.encode(errors="surrogatepass").hex()
    return key
