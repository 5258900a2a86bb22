"""The model's vocabulary: what is asked of it, and what it answers. Knows no record, no cache and no transport."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec
from msgspec import Struct

FINGERPRINT_VERSION = 2
"""Raised when the meaning of a fingerprint changes, so that answers kept under an older one are not found."""

CARRIAGE = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "service_tier", "store", "stream", "stream_options"}
)
"""Parameters that say how a request is carried, billed or labelled, not what is asked. Everything else counts: a key
that tells too much apart costs a call, one that tells too little gives a wrong answer."""

Kind = Literal["chat_completions", "completions", "embeddings"]
"""What is asked of a model: the next turn of a conversation, how a text goes on, or where it lies in space."""

_canonical = msgspec.msgpack.Encoder(order="deterministic")


class Message(Struct, frozen=True, gc=False):
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        content: plain text, or the provider's own list of parts (text, image addresses).
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """One question to a model, whole: two requests with the same fields ask for the same thing.

    Attributes:
        deployment: which endpoint is asked: its address, or a stable name for it.
        model: the model's name there.
        messages: the conversation so far, oldest first; of chat completions only.
        text: what is to be continued or embedded; `None` for chat completions.
        kind: what is asked.
        parameters: sent as they are beside model and messages (`temperature`, `max_tokens`, `response_format`).
        draw: tells apart samples that are meant to differ although everything else is equal.

    Raises:
        ValueError: a conversation where the kind wants a text, or the reverse.
    """

    deployment: str
    model: str
    messages: tuple[Message, ...] = ()
    text: str | None = None
    kind: Kind = "chat_completions"
    parameters: dict[str, Any] = {}
    draw: str = ""

    def __post_init__(self) -> None:
        if (self.text is None) is not (self.kind == "chat_completions") or (self.messages and self.text is not None):
            wanted = "messages and no text" if self.kind == "chat_completions" else "a text and no messages"
            raise ValueError(f"a request of the kind {self.kind} has {wanted}")

    @property
    def sampled(self) -> bool:
        """Tell whether the answer is drawn at random: text is made, there is no seed, and the temperature is not 0
        (providers take 1 where none is set)."""
        temperature = self.parameters.get("temperature")
        drawn = (temperature is None or temperature != 0) and self.parameters.get("seed") is None
        return drawn and self.kind != "embeddings"

    @property
    def terms(self) -> bytes:
        """What two requests must have in common to be sent as one: everything but what is asked about."""
        return _canonical.encode((self.kind, self.deployment, self.model, self.parameters))

    @property
    def _asked_parameters(self) -> dict[str, Any]:
        if CARRIAGE.isdisjoint(self.parameters):
            return self.parameters
        return {name: value for name, value in self.parameters.items() if name not in CARRIAGE}

    def fingerprint(self, sample: str = "") -> str:
        """Give the key of this request: 64 hexadecimal digits, equal for equal requests on every machine.

        The whole request counts but for `CARRIAGE`. MessagePack tags every type, so 1, 1.0, True and "1" stay apart,
        and sorted keys make the order of `parameters` irrelevant.

        Args:
            sample: tells apart answers that are drawn at random, where these must not be shared.

        Raises:
            TypeError: a parameter is not plain data.
        """
        fields = (
            FINGERPRINT_VERSION,
            self.kind,
            self.deployment,
            self.model,
            self.messages if self.text is None else self.text,
            self._asked_parameters,
            self.draw,
            sample,
        )
        return hashlib.blake2b(_canonical.encode(fields), digest_size=32).hexdigest()


class Usage(Struct, frozen=True, gc=False):
    """What a completion cost, in text tokens as the provider counts them; 0 where it did not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(Struct, frozen=True, kw_only=True, gc=False):
    """A model's answer, as it is kept and handed to `Task.parse`.

    Attributes:
        text: the answer's text; empty when the model only called tools, or was asked for an embedding.
        model: the name of the model that answered, in its own words.
        finish_reason: why it stopped: `stop`, `tool_calls`, `length` (cut off), `content_filter`, ...; always `stop`
            for an embedding.
        usage: what it cost.
        tool_calls: the calls the model asks for, as the provider wrote them.
        refusal: the model's own refusal, where it gave one.
        embedding: where the text lies in space, if that was asked; else `None`.
    """

    text: str
    model: str
    finish_reason: str
    usage: Usage
    tool_calls: tuple[dict[str, Any], ...] = ()
    refusal: str | None = None
    embedding: tuple[float, ...] | None = None

    @property
    def complete(self) -> bool:
        """Tell whether this is a whole answer that anybody may use again: not cut, filtered, refused or empty."""
        return self.finish_reason in {"stop", "tool_calls", "function_call", "eos"} and not self.unusable

    @property
    def unusable(self) -> str | None:
        """Say why there is nothing here to use (the record is a dead letter), or give `None`."""
        if self.finish_reason == "content_filter":
            return "the provider filtered the answer"
        if self.refusal:
            return f"the model refused: {self.refusal[:200]}"
        if not self.text and not self.tool_calls and not self.embedding:
            return f"the answer is empty (finish_reason {self.finish_reason!r})"
        return None
