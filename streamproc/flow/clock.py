"""What a clock is here: pure code is given one, asynchronous code asks the event loop."""

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds on a clock that never goes back; only differences mean anything."""
