"""An account's rate limits, read from a response's headers.

`x-ratelimit-limit-*`, `-remaining-*` and `-reset-*` (OpenAI and most compatible servers; durations such as `6m0s`) and
`anthropic-ratelimit-*-limit` do not say over which time a limit holds. Nearly always it is a minute; but the same names
carry limits by the day, as on Groq and on OpenAI's free tier. What is left and how long it takes to fill up tell them
apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from msgspec import Struct

from streamproc.llm.waiting import duration

LONGEST_PERIOD_SECONDS = 600.0
"""A limit that takes longer than this to fill up is not by the minute."""
LIMIT_HEADERS = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-tokens-limit",
)
"""What holds a limit."""
_COUNT = re.compile(r"[0-9]{1,12}")


class RateLimits(Struct, frozen=True):
    """Limits that an endpoint tells, by the minute.

    Attributes:
        requests_per_minute: `None` where nothing usable is told.
        tokens_per_minute: likewise, prompt and answer together.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


def told_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Read the limits of a response. Never raises.

    Args:
        headers: with names in lower case.

    Returns:
        `None` where no limit is told. Limits below 1 (Azure sends 0 and -1) and limits by the day are none.
    """
    requests, tokens = _limit(headers, "requests"), _limit(headers, "tokens")
    if requests is None and tokens is None:
        return None
    return RateLimits(requests, tokens)


def unsure_of_period(headers: Mapping[str, str]) -> bool:
    """Tell whether nothing was used of a limit that is told, so that its period does not show yet."""
    return any(
        (limit := headers.get(f"x-ratelimit-limit-{unit}")) is not None
        and headers.get(f"x-ratelimit-remaining-{unit}") == limit
        for unit in ("requests", "tokens")
    )


def _limit(headers: Mapping[str, str], unit: str) -> float | None:
    limit = _count(headers.get(f"x-ratelimit-limit-{unit}") or headers.get(f"anthropic-ratelimit-{unit}-limit"))
    if limit is None or limit < 1:
        return None
    left = _count(headers.get(f"x-ratelimit-remaining-{unit}"))
    reset = duration(headers.get(f"x-ratelimit-reset-{unit}", ""))
    if left is not None and reset is not None and left < limit:
        period = limit * reset / (limit - left)
        if not math.isfinite(period) or period > LONGEST_PERIOD_SECONDS:
            return None
    return float(limit)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None
