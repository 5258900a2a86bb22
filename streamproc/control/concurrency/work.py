"""What an attempt's answer amounts to, so that long answers and short ones can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from streamproc.control.attempts import Attempt

FEWEST_TO_FIT = 16
FIRST_PROMPT_TOKEN_SHARE = 0.01
"""What a prompt's token costs in tokens of an answer, until it is known: reading is parallel, writing is not."""
MOST_OVERHEAD_IN_ANSWERS = 10.0
RIDGE = 1e-3


class WorkModel:
    """Work in tokens of an answer: those written, a share for each read, and an overhead for each attempt.

    The time of an attempt is about proportional to its work, whatever its length. So the sum of work over the sum of
    seconds says how fast the endpoint is, and hardly depends on which lengths happened to come. Scaling all times, or
    all tokens, changes nothing.
    """

    def __init__(self) -> None:
        self._per_prompt_token = FIRST_PROMPT_TOKEN_SHARE
        self._overhead = 0.0

    def of(self, attempt: Attempt) -> float:
        """Give the work of an answered attempt; 1 where the provider counts no tokens."""
        if not attempt.completion_tokens:
            return 1.0
        return attempt.completion_tokens + self._per_prompt_token * attempt.prompt_tokens + self._overhead

    def fit(self, attempts: Sequence[Attempt]) -> None:
        """Learn from attempts made under equal load, by least squares of their seconds on their tokens.

        Too few of them, or too much alike, change nothing.
        """
        if len(attempts) < FEWEST_TO_FIT or not all(attempt.completion_tokens for attempt in attempts):
            return
        seconds = [attempt.seconds for attempt in attempts]
        written = [float(attempt.completion_tokens) for attempt in attempts]
        read = [float(attempt.prompt_tokens) for attempt in attempts]
        mean_seconds, mean_written, mean_read = fmean(seconds), fmean(written), fmean(read)
        ww = _covariance(written, written) * (1 + RIDGE)
        rr = _covariance(read, read) * (1 + RIDGE)
        wr, ws, rs = _covariance(written, read), _covariance(written, seconds), _covariance(read, seconds)
        determinant = ww * rr - wr * wr
        if determinant > 0:
            per_written = (ws * rr - rs * wr) / determinant
            per_read = (rs * ww - ws * wr) / determinant
        elif ww > 0:
            per_written, per_read = ws / ww, 0.0
        else:
            return
        if per_written <= 0:
            return
        overhead = (mean_seconds - per_written * mean_written - per_read * mean_read) / per_written
        self._per_prompt_token = min(max(per_read / per_written, 0.0), 1.0)
        self._overhead = min(max(overhead, 0.0), MOST_OVERHEAD_IN_ANSWERS * mean_written)


def _covariance(xs: Sequence[float], ys: Sequence[float]) -> float:
    x_mean, y_mean = fmean(xs), fmean(ys)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
