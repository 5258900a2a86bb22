"""What a request about many texts asks for, and the vectors it is answered with. Knows no time."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from streamproc.simulation.profiles import Profile
from streamproc.simulation.question import (
    CHARACTERS_PER_TOKEN,
    MalformedRequest,
    Question,
    model_in,
    most_tokens_in,
)

TextKind = Literal["completions", "embeddings"]

_FIELD: dict[TextKind, str] = {"completions": "prompt", "embeddings": "input"}
_FULL_SCALE = 2.0**15
_canonical = msgspec.json.Encoder(order="deterministic")


class TextsQuestion(Struct, frozen=True, kw_only=True):
    """A request about many texts as the engine sees it.

    Attributes:
        kind: what is asked about them.
        model: the model it names.
        questions: one a text, each with a fingerprint that does not depend on the others.
        dimensions: numbers wanted in an embedding.
        packed: whether embeddings are wanted in base64.
    """

    kind: TextKind
    model: str
    questions: tuple[Question, ...]
    dimensions: int
    packed: bool


class TooManyTexts(Exception):
    """The request has more texts than the endpoint takes."""


def read_texts(body: Any, kind: TextKind, profile: Profile) -> TextsQuestion:
    """Read the decoded JSON body of a request about texts.

    Raises:
        MalformedRequest: a field that the answer needs is missing or of a wrong type, or a text is empty (embeddings)
            or too long.
        TooManyTexts: there are more than `profile.max_inputs`.
    """
    model = model_in(body)
    texts = body.get(_FIELD[kind])
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise MalformedRequest(f"{_FIELD[kind]} must be a text or a non-empty list of texts")
    if profile.max_inputs is not None and len(texts) > profile.max_inputs:
        raise TooManyTexts(f"{_FIELD[kind]} must have at most {profile.max_inputs} texts, got {len(texts)}")
    dimensions = body.get("dimensions", profile.embedding_dimensions)
    if not isinstance(dimensions, int) or isinstance(dimensions, bool) or dimensions < 1:
        raise MalformedRequest(f"dimensions must be a whole number >= 1, got {dimensions!r}")
    limit = most_tokens_in(body)
    terms = _canonical.encode({name: value for name, value in body.items() if name != _FIELD[kind]})
    asked = hashlib.blake2b(kind.encode() + terms, digest_size=16)
    questions = []
    for index, text in enumerate(texts):
        if not text and kind == "embeddings":
            raise MalformedRequest(f"{_FIELD[kind]}[{index}] must not be empty")
        tokens = max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))
        if profile.max_input_tokens is not None and tokens > profile.max_input_tokens:
            raise MalformedRequest(
                f"{_FIELD[kind]}[{index}] must have at most {profile.max_input_tokens} tokens, got {tokens}"
            )
        own = asked.copy()
        own.update(text.encode())
        questions.append(Question(model, text, tokens, limit, own.hexdigest()))
    return TextsQuestion(
        kind=kind,
        model=model,
        questions=tuple(questions),
        dimensions=dimensions,
        packed=isinstance(body, Mapping) and body.get("encoding_format") == "base64",
    )


def embedding_of(model: str, text: str, dimensions: int) -> list[float]:
    """Give the vector of a text: `dimensions` numbers from -1 up to 1, equal for equal model and text."""
    drawn = array("h", hashlib.shake_128(f"{model}\n{text}".encode()).digest(2 * dimensions))
    return [number / _FULL_SCALE for number in drawn]
