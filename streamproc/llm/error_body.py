"""What an error body says, whatever its shape.

    {"error": {"code": .., "type": .., "message": ..}}      OpenAI, OpenRouter, Anthropic, Azure
    {"error": "text"}                                       Ollama, gateways
    {"object": "error", "message": .., "code": 400}         vLLM
    [{"error": {"code": .., "status": .., "message": ..}}]  Gemini, Vertex
    {"detail": ..}, {"message": ..}                         FastAPI, Azure API Management
    {"error": {"message": "{\"error\": {..}}"}}             a gateway quotes a provider: the inner one counts
    <html>..<title>502 Bad Gateway</title>                  Cloudflare, nginx
    anything else                                           its text

Bodies are other people's text: what leaves here is short, printable, and holds nothing that looks like a key.
"""

from __future__ import annotations

import json
import re
from typing import Any

from msgspec import Struct

from streamproc.llm.redaction import redact

MAX_MESSAGE = 300
"""Characters kept of a provider's message."""

_MAX_NAME = 100
_MAX_READ = 20_000
_MAX_NESTING = 3
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)


class ErrorBody(Struct, frozen=True):
    """What a provider says about an error.

    Attributes:
        code: its code: a name, a number (often the HTTP status again), or `None`.
        type: its type or, at Google, its status by name (`RESOURCE_EXHAUSTED`); `None` where it gave none.
        message: at most 300 printable characters without keys; empty where it gave none.
        declared: the body calls itself an error, as those sent with a success status do.
        content: the body as decoded JSON; `None` where it is none.
    """

    code: str | int | None = None
    type: str | None = None
    message: str = ""
    declared: bool = False
    content: Any = None


def read_error(body: bytes) -> ErrorBody:
    """Read an error body. Never raises: not for garbage, a huge text or 100,000 open brackets."""
    text = body.decode("utf-8-sig", "replace")
    content = _json(text)
    if content is None:
        return ErrorBody(message=_clean(_title(text), MAX_MESSAGE))
    code, type_, message = _read(content, _MAX_NESTING)
    return ErrorBody(
        code=_clean(code, _MAX_NAME) if isinstance(code, str) else code,
        type=None if type_ is None else _clean(type_, _MAX_NAME),
        message=_clean(message, MAX_MESSAGE),
        declared=_declared(_unwrapped(content)),
        content=content,
    )


def _read(content: Any, nesting: int) -> tuple[str | int | None, str | None, str]:
    """Find code, type and message in decoded JSON, following at most `nesting` errors quoted in messages."""
    outer = _unwrapped(content)
    if isinstance(outer, str):
        return None, None, outer
    if not isinstance(outer, dict):
        return None, None, ""
    error = outer.get("error")
    if isinstance(error, dict):
        outer = error
    code = _first(outer, (str, int), "code")
    type_ = _first(outer, (str,), "type", "status")
    message = _first(outer, (str,), "message", "detail", "error") or ""
    quoted = _json(message) if nesting and message.lstrip().startswith(("{", "[")) else None
    if quoted is not None:
        inner_code, inner_type, inner_message = _read(quoted, nesting - 1)
        return code if inner_code is None else inner_code, inner_type or type_, inner_message or message
    return code, type_, message


def _unwrapped(content: Any) -> Any:
    return content[0] if isinstance(content, list) and content else content


def _declared(outer: Any) -> bool:
    return isinstance(outer, dict) and (bool(outer.get("error")) or outer.get("object") == "error")


def _first(fields: dict[str, Any], types: tuple[type, ...], *names: str) -> Any:
    """Give the first of the named fields that has one of the types (a bool is no number) and is not empty."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, types) and not isinstance(value, bool) and value != "":
            return value
    return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _title(text: str) -> str:
    """Give an HTML page's title; any other text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    title = _TITLE.search(text[:_MAX_READ])
    return f"an HTML page: {title[1]}" if title else "an HTML page"


def _clean(text: str, limit: int) -> str:
    """Keep one printable line of at most `limit` characters. Keys go first: the cut could halve one."""
    line = "".join(c for c in " ".join(text[:_MAX_READ].split()) if c.isprintable())
    line = redact(line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
