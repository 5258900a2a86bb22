"""What a chat request asks for, and the words it is answered with. Knows no time and no transport.

A token is about four characters. Everything drawn comes from the seed and the request alone, so that a
repeated request gets the same answer, whenever and through whichever door it comes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import msgspec
from msgspec import Struct

from streamproc.simulation.profiles import Profile

CHARACTERS_PER_TOKEN = 4

_canonical = msgspec.json.Encoder(order="deterministic")
_standard_normal = NormalDist()
_sentence_end = re.compile(r"(?<=[.!?])\s")
_paragraph_end = re.compile(r"\n\s*\n")


class MalformedRequest(Exception):
    """The body is no chat request; the message names the field, its value and the rule."""


class Question(Struct, frozen=True):
    """A chat request as the engine sees it.

    Attributes:
        model: the model it names.
        prompt: the text of the last message of the user; empty if there is none.
        prompt_tokens: about a quarter of the characters of all messages, at least 1.
        max_tokens: the most tokens it wants; `None` for no limit.
        fingerprint: 32 hexadecimal digits, equal for equal bodies whatever the order of their keys.
    """

    model: str
    prompt: str
    prompt_tokens: int
    max_tokens: int | None
    fingerprint: str


def read_question(body: Any) -> Question:
    """Read the decoded JSON body of a chat request.

    Raises:
        MalformedRequest: a field that the answer needs is missing or of a wrong type.
    """
    model = model_in(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise MalformedRequest(f"messages must be a non-empty list, got {type(messages).__name__}")
    prompt, characters = "", 0
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise MalformedRequest(f"messages[{index}] must be an object with a role")
        text = _text_of(message.get("content"), index)
        characters += len(text)
        if message["role"] == "user":
            prompt = text
    return Question(
        model=model,
        prompt=prompt,
        prompt_tokens=max(1, math.ceil(characters / CHARACTERS_PER_TOKEN)),
        max_tokens=most_tokens_in(body),
        fingerprint=hashlib.blake2b(_canonical.encode(body), digest_size=16).hexdigest(),
    )


def model_in(body: Any) -> str:
    """Give the model that a decoded JSON body names.

    Raises:
        MalformedRequest: it is no object, or names none.
    """
    if not isinstance(body, Mapping):
        raise MalformedRequest(f"the body must be a JSON object, got {type(body).__name__}")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise MalformedRequest(f"model must be a non-empty string, got {model!r}")
    return model


def most_tokens_in(body: Mapping[str, Any]) -> int | None:
    """Give the most tokens that an answer may have, where the body says so.

    Raises:
        MalformedRequest: it is no whole number above 0.
    """
    for field in ("max_completion_tokens", "max_tokens"):
        limit = body.get(field)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise MalformedRequest(f"{field} must be a whole number >= 1, got {limit!r}")
        return limit
    return None


def draw_output_tokens(profile: Profile, seed: int, fingerprint: str) -> int:
    """Draw how many tokens (>= 1) the whole answer has, from the profile's lognormal distribution."""
    digest = hashlib.blake2b(f"{seed}:{fingerprint}".encode(), digest_size=6).digest()
    share = (int.from_bytes(digest, "big") + 0.5) / 2**48  # strictly between 0 and 1
    deviation = profile.output_sigma * _standard_normal.inv_cdf(share)
    return max(1, round(math.exp(profile.output_mu + deviation)))


def word_answer(prompt: str, tokens: int) -> str:
    """Answer with the first sentence of the prompt's last paragraph, cut between words to fit `tokens`.

    The last paragraph, because prompts often begin with instructions that are equal for every record.
    """
    paragraph = _paragraph_end.split(prompt.strip())[-1]
    sentence = " ".join(_sentence_end.split(paragraph, maxsplit=1)[0].split()) or "Understood."
    room = tokens * CHARACTERS_PER_TOKEN
    if len(sentence) <= room:
        return sentence
    return sentence[: room + 1].rpartition(" ")[0] or sentence[:room]


def _text_of(content: Any, index: int) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""  # an assistant's turn that only called tools
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    raise MalformedRequest(f"messages[{index}].content must be text or a list of parts")
