"""The `llm` section of a job."""

from __future__ import annotations

import math
import os
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from streamproc.completions import Kind, Message, Request
from streamproc.config import Config, check_path
from streamproc.errors import ConfigError
from streamproc.llm.redaction import redact

OPENAI_URL = "https://api.openai.com/v1"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = frozenset({"model", "messages", "stream", "n"})
RESERVED_WITH_TEXTS = RESERVED | {"input", "prompt"}


class LlmConfig(Config, frozen=True, kw_only=True):
    """Which model is asked, and how.

    Attributes:
        base_url: the endpoint's address up to `/v1`; not set, it is taken from OPENAI_BASE_URL, then OpenAI's own.
        deployment: a stable name for the endpoint, for one whose address changes between runs; without it the address
            tells whether two runs ask the same endpoint.
        api_key_env: the name of the environment variable that holds the key. The key itself never stands in a file.
        endpoint: the kind of call: chat completions, or completions or embeddings of many texts at once.
        model: the model's name there.
        system_prompt: sent before the prompt, if any; chat completions only.
        prompt: a Jinja2 template over the record's fields.
        parameters: sent as they are (`temperature`, `max_tokens`).
        timeout_seconds: for one attempt, stalls of this process not counted.
        max_attempts: failed attempts that reached the provider before a record becomes a dead letter.
        ambiguous_retries: further attempts after one that may have been paid.
        requests_per_minute: never send more; `None` for no such limit.
        tokens_per_minute: never send more text tokens, prompt and answer together; `None` for no such limit.
        unreachable_seconds: stop the run when nothing was answered for so long.
        ca_file: certificate authorities in PEM, in place of the system's.
    """

    base_url: str | None = None
    deployment: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    endpoint: Kind = "chat_completions"
    model: Annotated[str, Meta(min_length=1)]
    system_prompt: str | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    timeout_seconds: Annotated[float, Meta(gt=0)] = 120.0
    max_attempts: Annotated[int, Meta(ge=1)] = 6
    ambiguous_retries: Annotated[int, Meta(ge=0)] = 1
    requests_per_minute: Annotated[float, Meta(gt=0)] | None = None
    tokens_per_minute: Annotated[float, Meta(gt=0)] | None = None
    unreachable_seconds: Annotated[float, Meta(gt=0)] = 300.0
    ca_file: str | None = None

    def check(self) -> None:
        if not _VARIABLE.fullmatch(self.api_key_env) or redact(self.api_key_env) != self.api_key_env:
            raise ConfigError(
                "api_key_env: must be the NAME of an environment variable such as OPENAI_API_KEY; "
                "what stands there is not shown, it may be the key itself"
            )
        if self.base_url is not None:
            check_base_url(self.base_url)
        if self.ca_file is not None:
            check_path("ca_file", self.ca_file)
        reserved = RESERVED if self.endpoint == "chat_completions" else RESERVED_WITH_TEXTS
        if self.system_prompt is not None and self.endpoint != "chat_completions":
            raise ConfigError(
                f"system_prompt: must not be set with endpoint {self.endpoint}, which has no place for it"
            )
        for name in sorted(reserved & self.parameters.keys()):
            raise ConfigError(f"parameters.{name}: is not a parameter here; streamproc sets it itself")
        _refuse_odd_values("parameters", self.parameters)

    @property
    def address(self) -> str:
        """The endpoint's address: `base_url`, else OPENAI_BASE_URL from the environment, else OpenAI's own.

        Raises:
            ConfigError: OPENAI_BASE_URL is no address.
        """
        if self.base_url is not None:
            return self.base_url
        found = os.environ.get("OPENAI_BASE_URL")
        if not found:
            return OPENAI_URL
        check_base_url(found, "OPENAI_BASE_URL")
        return found

    def request(self, prompt: str) -> Request:
        """Give the request for a prompt, with the model, the system prompt and the parameters; for endpoints without
        messages the prompt is the text itself."""
        if self.endpoint != "chat_completions":
            return Request(
                deployment=self.deployment or self.address,
                model=self.model,
                text=prompt,
                kind=self.endpoint,
                parameters=self.parameters,
            )
        messages = [Message("user", prompt)]
        if self.system_prompt is not None:
            messages.insert(0, Message("system", self.system_prompt))
        return Request(
            deployment=self.deployment or self.address,
            model=self.model,
            messages=tuple(messages),
            parameters=self.parameters,
        )


def check_base_url(url: str, name: str = "base_url") -> None:
    """Refuse what is no address of an endpoint.

    Args:
        url: the address.
        name: where it comes from.

    Raises:
        ConfigError: with the rule.
    """
    if "@" in url or "?" in url:  # not shown: it may hold a password
        raise ConfigError(f"{name}: must hold no user, password or query; put the NAME of a variable in api_key_env")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{name}: must be an http or https address such as https://host/v1, got {url!r}")


def _refuse_odd_values(path: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: must be a finite number, got {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{path}: must be a number of at most 64 bits, got {value!r:.100}")
    if value is not None and not isinstance(value, str | int | float | dict | list | tuple):
        raise ConfigError(f"{path}: must be what JSON can hold, got {value!r:.100}; quote it to send text")
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, child in children:
        _refuse_odd_values(f"{path}.{name}", child)
