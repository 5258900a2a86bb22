"""Read the body of a successful response, whatever was asked.

By now the answer is probably paid, so it is kept wherever it can be: what only counts or describes may be
missing or absurd, what was asked for may not. A body that is whole but is no answer (a captive portal, an
empty body) is a `BadAnswer`; one that cannot be read to its end (cut, not UTF-8, nested without end) is
`Ambiguous`, since a model may have written it.
"""

from __future__ import annotations

import json
import math
from typing import Any, Protocol, TypeVar

import msgspec

from streamproc.completions import Usage
from streamproc.errors import Ambiguous, BadAnswer
from streamproc.llm.error_body import read_error
from streamproc.llm.errors import error_for

MAX_TOKENS = 1_000_000_000
"""A count above this is no count."""


class _Answer(Protocol):
    @property
    def error(self) -> Any: ...


A = TypeVar("A", bound=_Answer)


def read_body(body: bytes, decoder: msgspec.json.Decoder[A], what: str) -> A:
    """Decode an answer.

    Args:
        body: the whole body of a response with a success status, decompressed.
        decoder: of what is expected; that has a field `error`, for the errors that come with a success status.
        what: what is expected, in words.

    Raises:
        BadAnswer: HTML, nothing, or JSON that is something else.
        Ambiguous: not JSON, or not to its end; not UTF-8; nested too deep.
        RateLimited, Unavailable, RejectedRequest, ProviderStop: the body is an error, see `error_for`.
    """
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not start:
        raise BadAnswer("The endpoint answered with an empty body. Check base_url.", status=200)
    if start == b"<":
        raise BadAnswer("The endpoint answered with a web page instead of JSON. Check base_url.", status=200)
    try:
        answer = _read(body, decoder)
    except msgspec.ValidationError as error:
        if read_error(body).declared:
            raise error_for(200, {}, body) from None
        raise BadAnswer(f"The endpoint answered with JSON that is no {what}: {error}.", status=200) from None
    except (ValueError, RecursionError) as error:
        raise Ambiguous(
            f"The answer cannot be read to its end ({type(error).__name__}, {len(body)} bytes).", status=200
        ) from None
    if answer.error:
        raise error_for(200, {}, body)
    return answer


def _read(body: bytes, decoder: msgspec.json.Decoder[A]) -> A:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError):
        return decoder.decode(_strict(body))


def _strict(body: bytes) -> bytes:
    """Write loose JSON strictly, for answers that are whole but for a detail.

    Without its byte order mark; null for NaN, Infinity and numbers beyond a float; U+FFFD for half a
    surrogate pair, which no sink could store.

    Raises:
        ValueError: it is no JSON all the same.
        RecursionError: it is nested too deep.
    """
    content = json.loads(body.decode("utf-8-sig"), parse_float=_finite, parse_constant=_finite)
    text = json.dumps(content, ensure_ascii=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _finite(literal: str) -> float | None:
    number = float(literal)
    return number if math.isfinite(number) else None


def reason_of(finish_reason: Any) -> str:
    """Give why the model stopped, or `unknown` where that is not said."""
    return finish_reason if finish_reason and isinstance(finish_reason, str) else "unknown"


def usage_of(usage: Any) -> Usage:
    """Give what an answer cost; what is missing or absurd counts as 0."""
    counts = usage if isinstance(usage, dict) else {}
    return Usage(
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _count(tokens: Any) -> int:
    known = isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= MAX_TOKENS
    return tokens if known else 0
