"""What holds a secret does not show it: printed, copied, pickled, or in a traceback with every variable."""

from __future__ import annotations

import asyncio
import copy
import gc
import io
import logging
import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streamproc import CacheConfig, Completed, DataProcessingPipeline, LlmConfig, PipelineConfig, Record, Request
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.redis.client import connect
from streamproc.errors import ConfigError, ProviderError, StreamprocError
from streamproc.llm.openai import OpenAICompleter
from streamproc.llm.redaction import redact
from streamproc.monitoring.config import AlertsConfig
from streamproc.monitoring.configured_webhook import webhook_from
from streamproc.monitoring.webhook import Webhook
from streamproc.observe.secrets import Secrets, forms_of
from streamproc.secret import SecretStr, looks_secret, secrets_in_url
from tests.security.canaries import API_KEY, DSN, HOOK, WORD, Parrot, hits
from tests.security.test_canary_provider import ANSWERS

pytestmark = pytest.mark.promise("P17")
URL = DSN.format(port=6379)
CONFIG = PipelineConfig(llm=LlmConfig(model="m", prompt="{{ text }}"), cache=CacheConfig(backend="redis", url=URL))
HOLDERS: dict[str, Callable[[], Any]] = {
    "secret": lambda: SecretStr(API_KEY),
    "completer": lambda: OpenAICompleter("https://h/v1", SecretStr(API_KEY), max_connections=1),
    "cache section": lambda: CONFIG.cache,
    "config": lambda: CONFIG,
    "pipeline": lambda: DataProcessingPipeline(CONFIG),
    "redis": lambda: RedisBackend(URL),
    "client": lambda: connect(SecretStr(URL), 1.0),
    "webhook": lambda: Webhook(HOOK, allow_private=True),
}


def shown(value: Any) -> str:
    """Give a value in every way in which one looks at values."""
    console = Console(file=io.StringIO(), width=200)
    console.print(value)
    assert isinstance(console.file, io.StringIO)
    return f"{value} {value!r} {[value]} {vars(value) if hasattr(value, '__dict__') else ''} {console.file.getvalue()}"


def with_variables(error: BaseException) -> str:
    """Give a traceback with every variable of every frame, of the causes and contexts too."""
    told, seen = "", set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            told += "".join(traceback.TracebackException.from_exception(each, capture_locals=True).format())
            told += shown(each) + repr(each.args)
            left += [each.__cause__, each.__context__]
    return told


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_a_holder_shows_nothing(make: Callable[[], Any]) -> None:
    """Printing and copying show no secret; what is but a holder of one cannot be pickled."""

    async def main() -> str:
        holder = make()
        text = shown(holder)
        with suppress(TypeError):
            text += shown(copy.copy(holder))
        if not isinstance(holder, PipelineConfig | CacheConfig):  # settings, which belong to whoever made them
            with suppress(Exception):
                assert not hits(pickle.dumps(holder))
        return text

    assert hits(asyncio.run(main()).encode()) == []


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_error_of_the_provider(echo: Parrot, answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """No error of an attempt leads to the key: not by its text, its frames' variables, its causes or the log."""
    caplog.set_level(logging.DEBUG)
    echo.answer = answer
    assert hits(with_variables(_failure(echo.url)).encode(errors="replace")) == []
    assert hits(caplog.text.encode(errors="replace")) == []


def _failure(url: str) -> ProviderError:
    request = Request(deployment="d", model="m", kind="completions", text="hello")

    async def main() -> None:
        async with OpenAICompleter(url, SecretStr(API_KEY), max_connections=1) as completer:
            await completer.complete(request)

    with pytest.raises(ProviderError) as raised:
        asyncio.run(main())
    return raised.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: connect(SecretStr(f"redis://u:{WORD}hunter2@h/0?no_such_option=1&db=x"), 1.0),
        lambda: CacheConfig(backend="redis", url=f"http://u:{WORD}hunter2@h"),
        lambda: CacheConfig(backend="sqlite", url=f"redis://u:{WORD}hunter2@h"),
        lambda: webhook_from(AlertsConfig(webhook_url_env="HOOK"), {"HOOK": f"http://h/{WORD}hunter2"}.get),
        lambda: webhook_from(AlertsConfig(webhook_url_env="HOOK"), {"HOOK": f"{WORD}hunter2"}.get),
        lambda: OpenAICompleter("https://h/v1", SecretStr(f"{WORD}\nhunter2"), max_connections=1),
    ],
)
def test_an_error_about_a_secret(make: Callable[[], Any]) -> None:
    """A secret that is malformed is refused without showing it; no frame below the caller's has it in a variable."""
    error: ConfigError | None = None
    try:
        make()
    except ConfigError as raised:
        error = raised
    assert error is not None
    told = with_variables(error)
    if str(error).startswith("url: "):
        told = str(error)  # a section is its settings, which its caller passes in plain
    assert hits(told.encode()) == []


def test_user_code_that_raises(echo: Parrot) -> None:
    """A stream whose source raises gives an exception without a secret in the frames of streamproc."""

    def records() -> Any:
        yield {"text": "1"}
        raise RuntimeError("the source broke")

    async def main() -> list[str]:
        llm = LlmConfig(base_url=echo.url, model="m", prompt="{{ text }}")
        done = []
        async with DataProcessingPipeline(
            PipelineConfig(llm=llm, cache=CacheConfig(backend="redis", url=URL))
        ) as pipeline:
            async for outcome in pipeline.stream(records()):
                assert isinstance(outcome, Completed)
                done.append(outcome.envelope.record.id)
        return done

    with pytest.raises((RuntimeError, StreamprocError, BaseExceptionGroup)) as raised:
        asyncio.run(main())
    errors = [raised.value, *getattr(raised.value, "exceptions", ())]
    ours = "".join(with_variables(error) for error in errors)
    assert hits(ours.encode()) == []
    assert Record("a", {}).id == "a"
    gc.collect()


@given(st.text(st.characters(codec="utf-8"), min_size=8, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_a_known_secret_is_struck_out_in_every_form(secret: str, before: str, after: str) -> None:
    """Whatever a secret is, no form of it is left in a text that it stood in, and striking twice changes nothing."""
    secrets = Secrets({})
    secrets.add(secret)
    for form in (secret, *forms_of(secret)):
        struck = secrets.strike(before + form + after)
        assert form not in struck
        assert len(form) < 8 or secrets.strike(struck) == struck


def test_what_is_too_short_is_left() -> None:
    """A key of fewer than eight characters is part of many words, and is not known by its value."""
    secrets = Secrets({})
    secrets.add("EMPTY", "", "sk-1234")
    assert secrets.strike("EMPTY is empty, sk-1234") == "EMPTY is empty, sk-1234"


def test_the_environment_is_watched() -> None:
    """What is taken under a secret's name, and a password in any address, is known from then on; nothing else is."""
    secrets = Secrets({"MY_API_KEY": "hunter2-hunter2", "REDIS_URL": "redis://u:swordfish-1@h", "CITY": "Casablanca"})
    text = "hunter2-hunter2 swordfish-1 Casablanca"
    assert secrets.strike(text) == text
    for name in ("MY_API_KEY", "REDIS_URL", "CITY", "NONE"):
        secrets.environ.get(name)
    assert secrets.strike(text) == "*** *** Casablanca"
    secrets.forget()
    assert secrets.strike(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [("OPENAI_API_KEY", True), ("pg_dsn", True), ("DB_PASSWORD", True), ("MAX_TOKENS", False), ("MONKEY", False)],
)
def test_names(name: str, secret: bool) -> None:
    """A secret is known by a word of its variable's name."""
    assert looks_secret(name) is secret


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://me:p%40ss@h", ["p%40ss", "p@ss"]),
        ("redis://token@h", ["token"]),
        ("redis://h/0?password=hush&db=1", ["hush"]),
        ("unix:///path", []),
        ("http://[", []),
        ("no address", []),
    ],
)
def test_addresses(url: str, secrets: list[str]) -> None:
    """The password of an address is its secret, decoded too; the user is one only where there is no password."""
    assert secrets_in_url(url) == secrets


@given(st.text(st.sampled_from("skey-_:= Bearer0123456789abcdef\"'xAI\n"), max_size=300))
def test_redaction_by_shape_settles(text: str) -> None:
    """Redacting what is redacted changes nothing, and never makes a text much longer."""
    once = redact(text)
    assert redact(once) == once
    assert len(once) <= len(text) + 10 * (1 + text.count(" ") + text.count("-"))
