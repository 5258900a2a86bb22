"""Turn the body of a successful chat response into a completion, or say why it is none."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from streamproc.completions import Completion
from streamproc.errors import BadAnswer
from streamproc.llm.answer_body import read_body, reason_of, usage_of
from streamproc.llm.error_body import read_error
from streamproc.llm.errors import error_for

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
    answer = read_body(body, _answers, "chat completion")
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


def _completion(answer: _Answer) -> Completion:
    choice = answer.choices[0]
    return Completion(
        text=_text(choice.message.content),
        model=answer.model if isinstance(answer.model, str) else "",
        finish_reason=reason_of(choice.finish_reason),
        usage=usage_of(answer.usage),
        tool_calls=tuple(choice.message.tool_calls or ()),
        refusal=choice.message.refusal,
    )


def _text(content: str | list[Any] | None) -> str:
    """Join the text parts; what a model sends beside them (its thinking) is not the answer's text."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return content or ""
