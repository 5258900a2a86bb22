"""One call per key, many waiters. Single flight as a data structure: nobody sleeps on anybody."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

W = TypeVar("W")


class Flight(Struct, Generic[W], eq=False):
    """A call in the air and those who wait for its answer, in order of boarding; the first one pays.

    Attributes:
        key: what is asked.
        waiters: at least one.
    """

    key: str
    waiters: list[W]


class Flights(Generic[W]):
    """The calls in the air, one for each key.

    Board before the cache is asked: then an answer is either found there or its flight is still in the air, and no
    moment lies between the two.
    """

    def __init__(self) -> None:
        self._in_air: dict[str, Flight[W]] = {}

    def __len__(self) -> int:
        return len(self._in_air)

    def board(self, key: str, waiter: W) -> Flight[W] | None:
        """Wait for the answer to `key`.

        Returns:
            A new flight, which its receiver must land; or `None`: the waiter joined one that is in the air already.
        """
        flight = self._in_air.get(key)
        if flight is not None:
            flight.waiters.append(waiter)
            return None
        flight = self._in_air[key] = Flight(key, [waiter])
        return flight

    def land(self, flight: Flight[W]) -> list[W]:
        """End a flight, whatever came of it, and give everyone who waits on it.

        Raises:
            KeyError: it has landed already.
        """
        del self._in_air[flight.key]
        return flight.waiters
