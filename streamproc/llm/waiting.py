"""How long a provider asks its callers to wait, read from a response.

Providers say it in five ways. From the most to the least exact: `retry-after-ms` (OpenAI, Azure), `retry-
after` in seconds or as a date (RFC 9110, 10.2.3), the moment at which a spent quota is full again
(`x-ratelimit-reset-*` of OpenAI and Groq, `anthropic-ratelimit-*-reset`), and `retryDelay` in a Gemini error
body. The first that can be read wins.

Nothing here reads a clock: a date counts from the response's own `date` header, so a clock that is wrong on
either side does no harm. How much of a wait to grant is the caller's to decide; nothing is capped here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

_MAX_TEXT = 64
"""No honest wait needs more characters than this."""

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?")
_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]+)(ms|us|µs|ns|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_UNIT_SECONDS = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}

_OPENAI_RESET = re.compile(r"x-ratelimit-reset-(.+)")
_ANTHROPIC_RESET = re.compile(r"anthropic-ratelimit-(.+)-reset")


def requested_wait(headers: Mapping[str, str], body: Any = None) -> float | None:
    """Read how long the provider asks to wait. Never raises.

    Args:
        headers: the response's headers. Their names must be in lower case; others are not seen.
        body: the error body as decoded JSON, of whatever shape; `None` where there is none.

    Returns:
        Finite seconds >= 0, counted from the response; `None` where nothing readable was asked.
    """
    for wait in (
        retry_after(headers),
        _openai_reset(headers),
        _anthropic_reset(headers),
        _gemini_delay(body),
    ):
        if wait is not None:
            return wait
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` and `retry-after` alone, whatever the quotas say. Never raises.

    Args:
        headers: the response's headers, with lower-case names.

    Returns:
        Finite seconds >= 0, counted from the response; `None` where neither header can be read.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    seconds = _number(asked)
    return seconds if seconds is not None else _until(_http_date(asked), headers)


def _openai_reset(headers: Mapping[str, str]) -> float | None:
    waits = {
        dimension: duration(headers[f"x-ratelimit-reset-{dimension}"])
        for dimension in _dimensions(headers, _OPENAI_RESET)
    }
    return _spent_quota(waits, {d: headers.get(f"x-ratelimit-remaining-{d}") for d in waits})


def _anthropic_reset(headers: Mapping[str, str]) -> float | None:
    waits = {
        dimension: _until(_rfc3339(headers[f"anthropic-ratelimit-{dimension}-reset"]), headers)
        for dimension in _dimensions(headers, _ANTHROPIC_RESET)
    }
    return _spent_quota(waits, {d: headers.get(f"anthropic-ratelimit-{d}-remaining") for d in waits})


def _dimensions(headers: Mapping[str, str], reset: re.Pattern[str]) -> list[str]:
    return [found[1] for name in headers if (found := reset.fullmatch(name))]


def _spent_quota(waits: Mapping[str, float | None], remaining: Mapping[str, str | None]) -> float | None:
    """Give the longest wait among the quotas that are spent; among all where none says what is left.

    Every response carries these headers, so a quota with something left in it asks for nothing.
    """
    told = any(left is not None for left in remaining.values())
    readable = [
        wait for name, wait in waits.items() if wait is not None and (not told or _number(remaining[name]) == 0)
    ]
    return max(readable, default=None)


def _gemini_delay(body: Any) -> float | None:
    answer = body[0] if isinstance(body, list) and body else body
    error = answer.get("error") if isinstance(answer, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        wait = duration(delay) if isinstance(delay, str) else None
        if wait is not None:
            return wait
    return None


def _number(text: str | None) -> float | None:
    """Read a finite number >= 0. Stricter than `float`, which also takes `nan`, `1_0` and Arabic digits."""
    if text is None or len(text) > _MAX_TEXT or not _NUMBER.fullmatch(text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def duration(text: str) -> float | None:
    """Read `6m0s`, `2m59.56s`, `12ms` (the grammar of Go's `time.Duration`), or plain seconds."""
    if len(text) > _MAX_TEXT:
        return None
    if not _DURATION.fullmatch(text.strip()):
        return _number(text)
    return sum(float(amount) * _UNIT_SECONDS[unit] for amount, unit in _DURATION_PART.findall(text))


def _until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    sent = _http_date(headers.get("date"))
    if moment is None or sent is None or moment < sent:
        return None
    return (moment - sent) / timedelta(seconds=1)


def _http_date(text: str | None) -> datetime | None:
    if text is None or len(text) > _MAX_TEXT:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # The asctime form names no zone and means UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rfc3339(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else None
