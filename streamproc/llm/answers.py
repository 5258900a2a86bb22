"""Turn the body of a successful response into a completion, or say why it is none.

By now the answer is probably paid, so it is kept wherever it can be: what only counts or describes may be
missing or absurd, what was asked for may not. A body that is whole but is no answer (a captive portal, an
empty body) is a `BadAnswer`; one that cannot be read to its end (cut, not UTF-8, nested without end) is
`Ambiguous`, since a model may have written it.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from msgspec import Raw, Struct

from streamproc.completions import Completion, Usage
from streamproc.errors import Ambiguous, BadAnswer
from streamproc.llm.error_body import read_error
from streamproc.llm.errors import error_for

MAX_TOKENS = 1_000_000_000
"""A count above this is no count."""

_NO_ERROR = b"null"


class _Message(Struct, frozen=True):
    content: str | list[Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    refusal: str | None = None


class _Choice(Struct, frozen=True):
    message: _Message
    finish_reason: Any = None
    error: Raw = Raw(_NO_ERROR)


class _Answer(Struct, frozen=True):
    choices: list[_Choice]
    model: Any = None
    usage: Any = None
    error: Any = None


_answers = msgspec.json.Decoder(_Answer)


def completion_from(body: bytes) -> Completion:
    """Read the first choice of an OpenAI `chat.completion`.

    Args:
        body: the whole body of a response with a success status, decompressed.

    Raises:
        BadAnswer: HTML, nothing, or JSON that is no completion.
        Ambiguous: not JSON, or not to its end; not UTF-8; nested too deep.
        RateLimited, Unavailable, RejectedRequest, ProviderStop: the body is an error, see `error_for`.
    """
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not start:
        raise BadAnswer("The endpoint answered with an empty body. Check base_url.", status=200)
    if start == b"<":
        raise BadAnswer("The endpoint answered with a web page instead of JSON. Check base_url.", status=200)
    try:
        answer = _read(body)
    except msgspec.ValidationError as error:
        if read_error(body).declared:
            raise error_for(200, {}, body) from None
        raise BadAnswer(f"The endpoint answered with JSON that is no chat completion: {error}.", status=200) from None
    except (ValueError, RecursionError) as error:
        raise Ambiguous(
            f"The answer cannot be read to its end ({type(error).__name__}, {len(body)} bytes).", status=200
        ) from None
    if answer.error:
        raise error_for(200, {}, body)
    if not answer.choices:
        raise BadAnswer("The endpoint answered with a chat completion without choices.", status=200)
    # OpenRouter: the provider behind it failed in the middle of its answer.
    if (reason := bytes(answer.choices[0].error)) != _NO_ERROR:
        broken = b'{"error":' + reason + b"}"
        if read_error(broken).declared:
            raise error_for(200, {}, broken)
    completion = _completion(answer)
    if completion.tool_calls:
        try:
            msgspec.msgpack.encode(completion.tool_calls)
        except OverflowError:
            message = "The answer calls a tool with a whole number beyond 64 bits, which cannot be kept."
            raise BadAnswer(message, status=200) from None
    return completion


def _read(body: bytes) -> _Answer:
    try:
        return _answers.decode(body)
    except (ValueError, RecursionError):
        return _answers.decode(_strict(body))


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


def _completion(answer: _Answer) -> Completion:
    choice = answer.choices[0]
    return Completion(
        text=_text(choice.message.content),
        model=answer.model if isinstance(answer.model, str) else "",
        finish_reason=choice.finish_reason
        if choice.finish_reason and isinstance(choice.finish_reason, str)
        else "unknown",
        usage=_usage(answer.usage),
        tool_calls=tuple(choice.message.tool_calls or ()),
        refusal=choice.message.refusal,
    )


def _text(content: str | list[Any] | None) -> str:
    """Join the text parts; what a model sends beside them (its thinking) is not the answer's text."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return content or ""


def _usage(usage: Any) -> Usage:
    counts = usage if isinstance(usage, dict) else {}
    return Usage(
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _count(tokens: Any) -> int:
    known = isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= MAX_TOKENS
    return tokens if known else 0
