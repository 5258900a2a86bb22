"""How the size of batches follows what they cost, or stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from streamproc.control.batch_size import BatchSizeOptimizer

Observe = Callable[[int, float, int, int], None]
"""Told of each batch: its size, its seconds, how many were answered, how many refused because it was too large."""


class AdaptiveSize:
    """Tell an optimizer of each batch, and turn the knob as it says.

    Args:
        optimizer: decides.
        resize: the knob.
        headroom: gives how much memory is free, as a ratio in [0, 1].
    """

    def __init__(
        self, optimizer: BatchSizeOptimizer, resize: Callable[[int], None], headroom: Callable[[], float]
    ) -> None:
        self._optimizer = optimizer
        self._resize = resize
        self._headroom = headroom

    def __call__(self, size: int, seconds: float, succeeded: int, failed: int) -> None:
        """Enter a batch that has ended, see `BatchSizeOptimizer.observe`."""
        self._resize(self._optimizer.observe(size, seconds, succeeded, failed, self._headroom()))


def keep_size(size: int, seconds: float, succeeded: int, failed: int) -> None:
    """Learn nothing."""
