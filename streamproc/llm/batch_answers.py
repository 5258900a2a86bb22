"""Turn the body of a response to many texts into one completion for each, or say why it is no answer to them.

An answer says by `index` which text it is about; the order in which answers stand means nothing. A text without
an answer, or with two, spoils the whole: nobody could tell what the others are worth.
"""

from __future__ import annotations

import base64
import binascii
import math
from array import array
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from streamproc.completions import Completion, Usage
from streamproc.errors import BadAnswer
from streamproc.llm.answer_body import read_body, reason_of, usage_of

_FLOAT_BYTES = 4


class _Vector(Struct, frozen=True):
    index: int
    embedding: tuple[float, ...] | str


class _Vectors(Struct, frozen=True):
    data: list[_Vector]
    model: Any = None
    usage: Any = None
    error: Any = None


class _Text(Struct, frozen=True):
    index: int
    text: str
    finish_reason: Any = None


class _Texts(Struct, frozen=True):
    choices: list[_Text]
    model: Any = None
    usage: Any = None
    error: Any = None


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...


I = TypeVar("I", bound=_Indexed)  # noqa: E741 - an indexed answer

_vectors = msgspec.json.Decoder(_Vectors)
_texts = msgspec.json.Decoder(_Texts)


def embeddings_from(body: bytes, texts: Sequence[str]) -> list[Completion]:
    """Read an OpenAI list of embeddings, as numbers or in base64.

    Args:
        body: the whole body of a response with a success status, decompressed.
        texts: what was embedded.

    Returns:
        One completion a text, in the order of `texts`; what all cost is split among them by length.

    Raises:
        ProviderError: as `read_body` says; `BadAnswer` also where not each text has one answer.
    """
    answer = read_body(body, _vectors, "list of embeddings")
    model, usage = _name(answer.model), usage_of(answer.usage)
    prompts = shares(usage.prompt_tokens, [len(text) for text in texts])
    return [
        Completion(
            text="", model=model, finish_reason="stop", usage=Usage(tokens), embedding=_numbers(vector.embedding)
        )
        for vector, tokens in zip(_by_index(answer.data, len(texts)), prompts, strict=True)
    ]


def continuations_from(body: bytes, texts: Sequence[str]) -> list[Completion]:
    """Read an OpenAI `text_completion` with one choice a text.

    Args:
        body: the whole body of a response with a success status, decompressed.
        texts: what was to be continued.

    Returns:
        One completion a text, in the order of `texts`; what all cost is split among them by length, prompts by that of
        the texts and answers by that of the answers.

    Raises:
        ProviderError: as `read_body` says; `BadAnswer` also where not each text has one answer.
    """
    answer = read_body(body, _texts, "text completion")
    model, usage = _name(answer.model), usage_of(answer.usage)
    choices = _by_index(answer.choices, len(texts))
    prompts = shares(usage.prompt_tokens, [len(text) for text in texts])
    answers = shares(usage.completion_tokens, [len(choice.text) for choice in choices])
    return [
        Completion(
            text=choice.text,
            model=model,
            finish_reason=reason_of(choice.finish_reason),
            usage=Usage(prompt, completion),
        )
        for choice, prompt, completion in zip(choices, prompts, answers, strict=True)
    ]


def shares(total: int, lengths: Sequence[int]) -> list[int]:
    """Split a count in proportion to lengths; the parts are whole numbers and add up to it."""
    weights = [max(1, length) for length in lengths]
    whole = sum(weights)
    parts: list[int] = []
    given = reached = 0
    for weight in weights:
        reached += weight
        due = total * reached // whole
        parts.append(due - given)
        given = due
    return parts


def _by_index(answers: Sequence[I], count: int) -> list[I]:
    ordered = {answer.index: answer for answer in answers}
    if len(answers) != count or len(ordered) != count or not all(0 <= index < count for index in ordered):
        message = (
            f"The endpoint answered {len(answers)} texts, {len(ordered)} of them different, where {count} were sent."
        )
        raise BadAnswer(message, status=200)
    return [ordered[index] for index in range(count)]


def _numbers(embedding: tuple[float, ...] | str) -> tuple[float, ...]:
    if isinstance(embedding, tuple):
        return embedding
    numbers = array("f")
    try:
        packed = base64.b64decode(embedding, validate=True)
        if len(packed) % _FLOAT_BYTES == 0:
            numbers.frombytes(packed)
            if memoryview(b"\1\0").cast("H")[0] != 1:  # the bytes are little-endian, this machine is not
                numbers.byteswap()
            if all(map(math.isfinite, numbers)):
                return tuple(numbers)
    except (binascii.Error, ValueError):
        pass
    raise BadAnswer("The endpoint answered with an embedding that is no base64 of finite numbers.", status=200)


def _name(model: Any) -> str:
    return model if isinstance(model, str) else ""
