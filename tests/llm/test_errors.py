from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.errors import ProviderError, ProviderStop, RateLimited, RejectedRequest, Unavailable
from streamproc.llm.error_body import MAX_MESSAGE, read_error
from streamproc.llm.errors import error_for

MONEY = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
]


def body(code: Any = None, named: Any = None, message: Any = "It went wrong.", **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "type": named, "message": message, **more}}).encode()


BY_STATUS: list[tuple[int, dict[str, str], bytes, type[ProviderError], str]] = [
    (301, {}, b"", ProviderStop, "base_url"),
    (302, {"location": "https://elsewhere.example"}, b"", ProviderStop, "redirect"),
    (307, {}, b"<html></html>", ProviderStop, "base_url"),
    (400, {}, body("bad_value", "invalid_request_error"), RejectedRequest, "rejected"),
    (400, {}, body("context_length_exceeded"), RejectedRequest, "too long"),
    (
        400,
        {},
        body(400, "BadRequestError", "The maximum context length is 4096."),
        RejectedRequest,
        "too long",
    ),
    (400, {}, body("content_filter"), RejectedRequest, "filter"),
    (401, {}, body("invalid_api_key"), ProviderStop, "Check the API key"),
    (402, {}, body(402), ProviderStop, "credit"),
    (402, {"retry-after": "NaN"}, body(402), ProviderStop, "credit"),
    (402, {"x-ratelimit-reset-requests": "1s"}, body(402), ProviderStop, "credit"),
    (402, {"retry-after": "3"}, body(402), RateLimited, "slow down"),
    (402, {"retry-after": "3"}, body("insufficient_quota"), ProviderStop, "credit"),
    (403, {}, body("unsupported_country_region_territory"), ProviderStop, "region"),
    (403, {}, body("content_filter"), RejectedRequest, "filter"),
    (404, {}, body("model_not_found"), ProviderStop, "Check the model's name"),
    (404, {}, b"404 page not found", ProviderStop, "base_url"),
    (405, {}, b"", RejectedRequest, "rejected"),
    (408, {}, b"", Unavailable, "gave up waiting"),
    (409, {}, b"", Unavailable, "conflict"),
    (413, {}, b"", RejectedRequest, "too long"),
    (418, {}, b"", RejectedRequest, "rejected"),
    (422, {}, b'{"detail":[{"loc":["body"]}]}', RejectedRequest, "rejected"),
    (425, {}, b"", Unavailable, "not ready"),
    (429, {}, body("rate_limit_exceeded", "tokens"), RateLimited, "slow down"),
    (429, {}, b"", RateLimited, "slow down"),
    (451, {}, b"", RejectedRequest, "legal"),
    (500, {}, body("server_error"), Unavailable, "failed"),
    (502, {}, b"<html><title>502 Bad Gateway</title></html>", Unavailable, "502 Bad Gateway"),
    (503, {}, b"", Unavailable, "failed"),
    (504, {}, b"", Unavailable, "failed"),
    (529, {}, body(None, "overloaded_error"), Unavailable, "is overloaded"),
    (599, {}, b"", Unavailable, "failed"),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "says"), BY_STATUS)
def test_what_a_status_means(
    status: int, headers: dict[str, str], body: bytes, kind: type[ProviderError], says: str
) -> None:
    """Every status and name of an error has one class, and its sentence says what happened or what to do."""
    error = error_for(status, headers, body)
    assert type(error) is kind
    assert says in error.message
    assert error.status == status


@pytest.mark.parametrize("name", MONEY)
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_money_stops_the_run(name: str, status: int) -> None:
    """A quota that is used up stops the run under any status, whether its name stands in code or type."""
    headers = {"retry-after": "1", "x-should-retry": "true"}
    for sent in (body(name), body(None, name), body(status, name), body("rate_limit_exceeded", name)):
        error = error_for(status, headers, sent)
        assert type(error) is ProviderStop
        assert (error.code, error.retry_after) == (name, None)


@pytest.mark.parametrize(
    ("sent", "kind", "status"),
    [
        (body(429), RateLimited, 429),
        (body("429"), RateLimited, 429),
        (body(502), Unavailable, 502),
        (body(401), ProviderStop, 401),
        (body(400), RejectedRequest, 400),
        (body("rate_limit_exceeded"), RateLimited, 429),
        (body(None, "overloaded_error"), Unavailable, 529),
        (body(None, "authentication_error"), ProviderStop, 401),
        (body("insufficient_quota"), ProviderStop, 200),
        (body("content_filter"), RejectedRequest, 200),
        (body("server_error"), Unavailable, 200),
        (body(200), Unavailable, 200),
        (body(True), Unavailable, 200),
        (body(10**30), Unavailable, 200),
        (b'{"object":"error","message":"too long","code":400}', RejectedRequest, 400),
    ],
)
def test_an_error_under_a_success_status(sent: bytes, kind: type[ProviderError], status: int) -> None:
    """An error sent with status 200 means what its code would mean as the status."""
    error = error_for(200, {}, sent)
    assert (type(error), error.status) == (kind, status)


@pytest.mark.parametrize(
    ("status", "order", "kind"),
    [
        (400, "true", Unavailable),
        (422, " True ", Unavailable),
        (418, "true", Unavailable),
        (429, "true", RateLimited),
        (503, "true", Unavailable),
        (429, "false", RejectedRequest),
        (503, "false", RejectedRequest),
        (409, "false", RejectedRequest),
        (400, "false", RejectedRequest),
        (400, "perhaps", RejectedRequest),
        (503, "perhaps", Unavailable),
        (401, "true", ProviderStop),
        (401, "false", ProviderStop),
        (404, "true", ProviderStop),
        (302, "true", ProviderStop),
        (402, "false", ProviderStop),
    ],
)
def test_the_provider_says_whether_to_retry(status: int, order: str, kind: type[ProviderError]) -> None:
    """`x-should-retry` decides between retrying and not, and never starts a run that a person must mend."""
    assert type(error_for(status, {"x-should-retry": order}, b"")) is kind


def test_only_what_is_retried_waits() -> None:
    """The wait that was asked for goes with the errors that are retried, from headers or body."""
    details = [{"retryDelay": "34s"}]
    assert error_for(429, {}, body(429, "RESOURCE_EXHAUSTED", details=details)).retry_after == 34.0
    assert error_for(503, {"retry-after": "5"}, b"").retry_after == 5.0
    assert error_for(503, {}, b"").retry_after is None
    assert error_for(429, {"retry-after": "5", "x-should-retry": "false"}, b"").retry_after is None
    assert error_for(401, {"retry-after": "5"}, b"").retry_after is None


QUOTED = json.dumps({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})


@pytest.mark.parametrize(
    ("sent", "code", "type_", "message"),
    [
        (b'{"error":{"code":"c","type":"t","message":"m"}}', "c", "t", "m"),
        (b'{"error":{"code":null,"type":null,"message":"m"}}', None, None, "m"),
        (
            b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}',
            429,
            "RESOURCE_EXHAUSTED",
            "m",
        ),
        (b'{"type":"error","error":{"type":"api_error","message":"m"}}', None, "api_error", "m"),
        (b'{"error":"Unauthorized"}', None, None, "Unauthorized"),
        (
            b'{"object":"error","message":"m","type":"BadRequestError","code":400}',
            400,
            "BadRequestError",
            "m",
        ),
        (b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', 400, "INVALID_ARGUMENT", "m"),
        (b'{"detail":"Not Found"}', None, None, "Not Found"),
        (b'{"statusCode":429,"message":"m"}', None, None, "m"),
        (body("gateway", None, QUOTED), 503, "UNAVAILABLE", "The model is overloaded."),
        (
            body(500, None, json.dumps({"error": {"code": "insufficient_quota"}})),
            "insufficient_quota",
            None,
            None,
        ),
        (body("c", None, "{not json}"), "c", None, "{not json}"),
        (b'"text"', None, None, "text"),
        (b"<html><head><title>502 Bad\nGateway</title>", None, None, "an HTML page: 502 Bad Gateway"),
        (b"<!doctype html><p>hello", None, None, "an HTML page"),
        (b"upstream\x1b[31m timed\r\nout\x00\xff", None, None, "upstream[31m timed out\ufffd"),
        (b"\xef\xbb\xbf" + body("c"), "c", None, "It went wrong."),
        (b'{"error":{"message":"\\ud800a\\u202eb\\u0007","code":NaN}}', None, None, "ab"),
        (b'{"error":{"code":true,"type":5,"message":["m"]}}', None, None, ""),
        (b'{"error":[]}', None, None, ""),
        (b"[]", None, None, ""),
        (b"null", None, None, "null"),
        (b"17", None, None, ""),
        (b"", None, None, ""),
    ],
)
def test_the_shapes_of_error_bodies(sent: bytes, code: Any, type_: str | None, message: str | None) -> None:
    """Code, type and message are found in every shape of error body that providers and gateways send."""
    found = read_error(sent)
    assert (found.code, found.type) == (code, type_)
    assert message is None or found.message == message


@pytest.mark.parametrize(
    "sent",
    [
        b"[" * 100_000,
        b'{"error":' * 100_000,
        b'{"error":{"message":"' + b"a" * 5_000_000 + b'"}}',
        b"sk-" * 100_000,
        b"key " * 100_000,
        b"bearer " * 100_000,
        b'{"error":{"code":' + b"9" * 10_000 + b"}}",
        body("c" * 100_000, "t" * 100_000),
        b"<title>" * 50_000,
    ],
    ids=range(9),
)
def test_hostile_bodies(sent: bytes) -> None:
    """A body that is huge or nested without end is read like any other: at once, and cut short."""
    found = read_error(sent)
    assert len(found.message) <= MAX_MESSAGE
    assert len(error_for(500, {}, sent).message) < 2 * MAX_MESSAGE


def test_a_long_name_is_cut() -> None:
    """A provider's name for an error stays a name, however long it is."""
    assert len(error_for(500, {}, body("c" * 1000)).code or "") == 100


SECRETS = [
    ("Incorrect API key provided: {}. See the docs.", "sk-abc***xyz"),
    ("Incorrect API key provided: {}", "sk-proj-CANARY0123456789"),
    ("Authorization: {}", "Bearer CANARY"),
    ("Authorization: {}", "Basic Q0FOQVJZOmNhbmFyeQ=="),
    ("Access denied: subscription key {!r} is not valid", "C0FFEE00C0FFEE00C0FFEE00"),
    ("api_key={}&x=1", "CANARYcanaryCANARYcanary"),
    ("no such project for {}", "AIzaSyCANARYcanary"),
    ("token {} expired", "eyJhbGciOiJIUzI1NiJ9.e30.CANARY"),
    ("x" * 290 + " key: {}", "CANARYcanaryCANARYcanary"),
    ("key:\n\u200b{}", "sk-\u200bCANARY"),
]


@pytest.mark.parametrize(("message", "secret"), SECRETS)
@pytest.mark.parametrize("wrap", [lambda m: body(None, None, m), lambda m: json.dumps({"error": m}).encode()])
def test_keys_are_struck_out(message: str, secret: str, wrap: Any) -> None:
    """What looks like a key never gets from a provider's message into ours, not even half of it."""
    error = error_for(401, {}, wrap(message.format(secret)))
    for shown in (error.message, repr(error)):
        assert "CANARY" not in shown.upper()
        assert "C0FFEE" not in shown
        assert "abc***" not in shown


def test_keys_in_names_are_struck_out() -> None:
    """A key that stands as an error's code or type is struck out there, too."""
    for sent in (body("sk-CANARY"), body(None, "sk-CANARY")):
        assert "CANARY" not in repr(vars(error_for(400, {}, sent)))


def test_an_error_reads_as_a_sentence() -> None:
    """An error says what happened, the status, the provider's own name and words, and the way out."""
    error = error_for(401, {}, body("invalid_api_key", None, "Incorrect API key provided: sk-abc***xyz"))
    assert error.message == (
        "The provider does not accept the API key (HTTP 401, invalid_api_key): "
        "Incorrect API key provided: [redacted]. Check the API key."
    )
    assert (error.code, error.status) == ("invalid_api_key", 401)
    assert error_for(503, {}, b"").message == "The provider failed (HTTP 503)."


NAMES = st.sampled_from([*MONEY, "content_filter", "model_not_found"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "type", "message", "status", "object"]), inner)
        | inner.map(lambda quoted: {"error": {"message": json.dumps(quoted)}})
    ),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None)
@given(
    st.integers(min_value=-1, max_value=1000),
    st.dictionaries(st.sampled_from(["retry-after", "x-should-retry"]), st.text() | st.just("true")),
    st.binary() | JSON.map(lambda content: json.dumps(content).encode()),
)
def test_any_response_is_an_error_of_the_four(status: int, headers: dict[str, str], sent: bytes) -> None:
    """Whatever comes back, it is one of four errors, with a short and printable message."""
    error = error_for(status, headers, sent)
    assert type(error) in {RateLimited, Unavailable, RejectedRequest, ProviderStop}
    assert error.message.isprintable()
    assert len(error.message) < 2 * MAX_MESSAGE
    assert error.retry_after is None or error.retry_after >= 0
