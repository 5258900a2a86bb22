"""Single flight against a model that keeps lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.flow.flights import Flight, Flights


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_every_waiter_lands_once_with_its_flight(steps: list[tuple[str, bool]]) -> None:
    """Whoever boards a key opens a flight if none is in the air, and joins it if one is; landing gives everyone who
    boarded since, in order, the one who pays first."""
    flights: Flights[int] = Flights()
    in_air: dict[str, tuple[Flight[int], list[int]]] = {}
    for waiter, (key, boards) in enumerate(steps):
        if boards:
            flight = flights.board(key, waiter)
            assert (flight is None) == (key in in_air)
            if flight is not None:
                in_air[key] = (flight, [])
            in_air[key][1].append(waiter)
        elif key in in_air:
            flight, waiters = in_air.pop(key)
            assert flights.land(flight) == waiters
        assert len(flights) == len(in_air)


def test_a_flight_lands_once() -> None:
    """Landing what has landed is refused: its waiters have their outcome."""
    flights: Flights[str] = Flights()
    flight = flights.board("key", "who pays")
    assert flight is not None
    flights.land(flight)
    with pytest.raises(KeyError):
        flights.land(flight)
