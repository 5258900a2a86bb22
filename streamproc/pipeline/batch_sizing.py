"""How the size of the model's batches follows what they cost, or stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from streamproc.control.batch_size import BatchSizeOptimizer
from streamproc.flow.batching import Batcher
from streamproc.pipeline.task import Call


class AdaptiveSize:
    """Tell an optimizer of each batch, and turn the knob as it says.

    Args:
        optimizer: decides.
        batcher: has the knob.
        headroom: gives how much memory is free, as a ratio in [0, 1].
    """

    def __init__(
        self, optimizer: BatchSizeOptimizer, batcher: Batcher[Call], headroom: Callable[[], float] = lambda: 1.0
    ) -> None:
        self._optimizer = optimizer
        self._batcher = batcher
        self._headroom = headroom

    def __call__(self, size: int, seconds: float, succeeded: int, failed: int) -> None:
        """Enter a batch that has ended, see `BatchSizeOptimizer.observe`."""
        self._batcher.resize(self._optimizer.observe(size, seconds, succeeded, failed, self._headroom()))


def keep_size(size: int, seconds: float, succeeded: int, failed: int) -> None:
    """Learn nothing."""
