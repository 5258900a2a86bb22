"""The one place that turns what a provider answered into an error. Knows no transport and no exceptions.

Names in the body count first, then the status, then `x-should-retry`. A quota that is used up comes as a 429
like any other, and a provider that fails after its model started says so with status 200: the status alone
would be wrong in both cases. An error is known by status, code, type and headers, never by its text; the one
exception is marked.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from streamproc.errors import ProviderError, ProviderStop, RateLimited, RejectedRequest, Unavailable
from streamproc.llm.error_body import ErrorBody, read_error
from streamproc.llm.waiting import requested_wait, retry_after


class _Verdict(Struct, frozen=True):
    """What an error is, in a sentence, and what a person can do about it, where one can do anything."""

    kind: type[ProviderError]
    what: str
    way_out: str = ""


_MONEY_NAMES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
    }
)
_MONEY = _Verdict(
    ProviderStop,
    "The account has no money or quota left",
    "Add credit or raise the limit, then give the same command again.",
)
_FILTERED = _Verdict(RejectedRequest, "The provider's content filter refused the request")
_TOO_LONG = _Verdict(RejectedRequest, "The request is too long for the model", "Shorten the input or lower max_tokens.")
_MODEL_NOT_FOUND = _Verdict(
    ProviderStop, "The endpoint does not know the model, or the key may not use it", "Check the model's name."
)
_REDIRECT = _Verdict(
    ProviderStop,
    "The endpoint redirects elsewhere, and redirects are not followed, so that the key stays here",
    "Set base_url to the final address.",
)
_FAILED = _Verdict(Unavailable, "The provider failed")
_REJECTED = _Verdict(RejectedRequest, "The provider rejected the request")
_RATE_LIMITED = _Verdict(RateLimited, "The provider asks to slow down")

_BY_STATUS = {
    401: _Verdict(ProviderStop, "The provider does not accept the API key", "Check the API key."),
    402: _MONEY,
    403: _Verdict(
        ProviderStop,
        "The provider forbids the request",
        "Check the API key's rights and whether the provider serves your region.",
    ),
    404: _Verdict(ProviderStop, "There is nothing at this address", "Check base_url and the model's name."),
    408: _Verdict(Unavailable, "The provider gave up waiting for the request"),
    409: _Verdict(Unavailable, "The provider met a conflict"),
    413: _TOO_LONG,
    425: _Verdict(Unavailable, "The provider is not ready for the request"),
    429: _RATE_LIMITED,
    451: _Verdict(RejectedRequest, "The provider may not answer the request for legal reasons"),
    529: _Verdict(Unavailable, "The provider is overloaded"),
}

_STATUS_BY_NAME = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
}
"""What the names of OpenAI and Anthropic mean where a success status hides the real one."""


def error_for(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Give the error that a response stands for, to be raised by the caller. Never raises.

    Args:
        status: the HTTP status: any but a success, or a success whose body is an error.
        headers: the response's headers, with lower-case names.
        body: the response's body, decompressed, as it came.

    Returns:
        One of RateLimited, Unavailable, RejectedRequest and ProviderStop. Its `status` is the one that the
        body names where the response had a success status; its `code` is the provider's own name for the
        error; `retry_after` is set only on the two that are retried; the message quotes the provider, without
        anything that looks like a key.
    """
    found = read_error(body)
    if 200 <= status < 300:
        status = _status_in(found) or status
    verdict = _obeying(headers, _verdict(status, headers, found))
    retried = issubclass(verdict.kind, RateLimited | Unavailable)
    code = _name(found)
    return verdict.kind(
        _sentence(verdict, status, code, found.message),
        status=status,
        retry_after=requested_wait(headers, found.content) if retried else None,
        code=code,
    )


def _verdict(status: int, headers: Mapping[str, str], found: ErrorBody) -> _Verdict:
    names = {found.code, found.type}
    if names & _MONEY_NAMES:
        return _MONEY
    if "content_filter" in names:
        return _FILTERED
    # vLLM names this error by its text alone.
    if "context_length_exceeded" in names or "maximum context length" in found.message:
        return _TOO_LONG
    if status == 402 and retry_after(headers) is not None:
        return _RATE_LIMITED  # OpenRouter: the budget is only held by requests in flight
    if status == 404 and "model_not_found" in names:
        return _MODEL_NOT_FOUND
    if 300 <= status < 400:
        return _REDIRECT
    return _BY_STATUS.get(status, _REJECTED if 400 <= status < 500 else _FAILED)


def _obeying(headers: Mapping[str, str], verdict: _Verdict) -> _Verdict:
    """Let `x-should-retry` turn a verdict, as OpenAI's client does; never one that a person must act upon."""
    order = headers.get("x-should-retry", "").strip().lower()
    if order == "true" and verdict.kind is RejectedRequest:
        return _Verdict(Unavailable, verdict.what)
    if order == "false" and verdict.kind is not ProviderStop:
        return _Verdict(RejectedRequest, verdict.what, verdict.way_out)
    return verdict


def _status_in(found: ErrorBody) -> int | None:
    """Give the HTTP status that an error body names by number or by word."""
    code = found.code
    if isinstance(code, str) and len(code) == 3 and code.isdecimal():
        code = int(code)
    if isinstance(code, int) and 300 <= code < 600:
        return code
    return next((_STATUS_BY_NAME[name] for name in (code, found.type) if name in _STATUS_BY_NAME), None)


def _name(found: ErrorBody) -> str | None:
    """Give the provider's name for an error: one that decided, else its code in words, else its type."""
    names = [n for n in (found.code, found.type) if isinstance(n, str) and n and not n.isdecimal()]
    return next((n for n in names if n in _MONEY_NAMES), names[0] if names else None)


def _sentence(verdict: _Verdict, status: int, code: str | None, said: str) -> str:
    label = f"HTTP {status}, {code}" if code else f"HTTP {status}"
    what = f"{verdict.what} ({label}): {said}" if said else f"{verdict.what} ({label})"
    if not what.endswith((".", "!", "?", "…")):
        what += "."
    return f"{what} {verdict.way_out}".rstrip()
