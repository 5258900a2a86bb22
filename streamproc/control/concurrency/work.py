"""What an attempt's answer amounts to, so that long answers and short ones can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct

from streamproc.control.attempts import Attempt

FEWEST_TO_FIT = 16
FIRST_PROMPT_TOKEN_SHARE = 0.01
"""What a prompt's token costs in tokens of an answer, until it is known: reading is parallel, writing is not."""
MOST_OVERHEAD_IN_ANSWERS = 10.0
RIDGE = 1e-3
MEMORY = 2000
"""The typical answer is the mean of about so many."""


class Speed(Struct, frozen=True):
    """Work a second, and the unit of that work; what was measured in one unit is compared by the typical answer in it.

    Attributes:
        work: tokens of an answer, or what equals them, a second.
        per_prompt_token: what a token of the prompt counted.
        overhead: what an attempt counted beside its tokens.
    """

    work: float
    per_prompt_token: float
    overhead: float


class WorkModel:
    """Work in tokens of an answer: those written, a share for each read, and an overhead for each attempt.

    The seconds of an attempt are about proportional to its work, whatever its length. So the work over the seconds of a
    few attempts says how fast the endpoint is, and hardly depends on which lengths they happened to have. Scaling all
    times, or all tokens, changes nothing.
    """

    def __init__(self) -> None:
        self._per_prompt_token = FIRST_PROMPT_TOKEN_SHARE
        self._overhead = 0.0
        self._answers = 0
        self._written = 0.0
        self._read = 0.0

    def enter(self, attempt: Attempt) -> None:
        """Count an answered attempt towards the typical one."""
        self._answers = min(self._answers + 1, MEMORY)
        self._written += (attempt.completion_tokens - self._written) / self._answers
        self._read += (attempt.prompt_tokens - self._read) / self._answers

    def speed(self, attempts: Sequence[Attempt]) -> Speed:
        """Give the work a second that one call of these does, after learning from them.

        Args:
            attempts: answered, made under equal load; at least one, of more than 0 seconds together.
        """
        self._fit(attempts)
        written = sum(attempt.completion_tokens for attempt in attempts)
        read = sum(attempt.prompt_tokens for attempt in attempts)
        work = written + self._per_prompt_token * read + self._overhead * len(attempts)
        per_prompt_token, overhead = self._per_prompt_token, self._overhead
        if not written:  # the provider counts no tokens: an answer is an answer
            work, per_prompt_token, overhead = float(len(attempts)), 0.0, 1.0
        return Speed(work / sum(attempt.seconds for attempt in attempts), per_prompt_token, overhead)

    def typical(self, per_prompt_token: float, overhead: float) -> float:
        """Give the work of a typical answer in the unit of a measurement; more than 0."""
        return (self._written + per_prompt_token * self._read + overhead) or 1.0

    def _fit(self, attempts: Sequence[Attempt]) -> None:
        """Fit the attempts' seconds to their tokens by least squares; too few, or too much alike, change nothing."""
        if len(attempts) < FEWEST_TO_FIT or not all(attempt.completion_tokens for attempt in attempts):
            return
        seconds = [attempt.seconds for attempt in attempts]
        written = [float(attempt.completion_tokens) for attempt in attempts]
        read = [float(attempt.prompt_tokens) for attempt in attempts]
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
        overhead = (fmean(seconds) - per_written * fmean(written) - per_read * fmean(read)) / per_written
        self._per_prompt_token = min(max(per_read / per_written, 0.0), 1.0)
        self._overhead = min(max(overhead, 0.0), MOST_OVERHEAD_IN_ANSWERS * fmean(written))


def _covariance(xs: Sequence[float], ys: Sequence[float]) -> float:
    x_mean, y_mean = fmean(xs), fmean(ys)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
