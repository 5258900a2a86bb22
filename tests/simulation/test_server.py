import asyncio
import io
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest

from streamproc.simulation import Profile, SimulatedServer, profile_named

INSTANT = profile_named("instant")


def ask(text="Hello there. And more.", **parameters):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **parameters}


@asynccontextmanager
async def serving(profile, **options):
    """A server of `profile` and a client of it."""
    async with SimulatedServer(profile, **options) as server, aiohttp.ClientSession() as client:
        yield server, client


async def post(client, server, body, **options):
    async with client.post(f"{server.url}/chat/completions", json=body, **options) as response:
        return response, await response.json()


async def until(condition):
    """Wait for what the other end of a socket does; nothing here is told of it."""
    while not condition():  # noqa: ASYNC110 - asked over a real socket
        await anyio.sleep(0.001)


def with_fault(fault):
    return Profile(name="faulty", fault_ratio={fault: 1.0})


def test_a_success_has_openais_shape():
    """A chat request is answered as OpenAI answers it, and the figures show it."""

    async def main():
        async with serving(INSTANT) as (server, client):
            response, answer = await post(client, server, ask())
            async with client.get(server.url.removesuffix("/v1") + "/simulation") as figures:
                return response, answer, await figures.json()

    response, answer, figures = asyncio.run(main())
    assert response.status == 200
    assert answer.pop("id").startswith("chatcmpl-")
    assert abs(answer.pop("created") - time.time()) < 60
    assert answer == {
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 6, "completion_tokens": 20, "total_tokens": 26},
    }
    assert (figures["requests"], figures["answered"], figures["completion_tokens"]) == (1, 1, 20)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"\xff", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"[]", 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b'{"messages": [{"role": "user"}]}', 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b'{"model": "m"}', 400, "invalid_request"),
        ("GET", "/v1/chat/completions", None, 405, "method_not_allowed"),
        ("POST", "/v1/responses", b"{}", 404, "not_found"),
    ],
)
def test_what_it_cannot_read_gets_openais_error(method, path, body, status, code):
    """A bad request is answered with its status and an error object, and counted."""

    async def main():
        async with serving(INSTANT) as (server, client):
            address = server.url.removesuffix("/v1") + path
            async with client.request(method, address, data=body) as response:
                return response.status, await response.json(), server.figures()

    got, answer, figures = asyncio.run(main())
    assert (got, answer["error"]["code"], answer["error"]["type"]) == (status, code, "invalid_request_error")
    assert (figures.requests, figures.rejected) == (1, {str(status): 1})


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), ("secret", 200)])
def test_only_the_demanded_key_is_let_in(key, status):
    """With a key demanded, any other or none is answered 401 and bills nothing."""

    async def main():
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with serving(INSTANT, api_key="secret") as (server, client):
            response, answer = await post(client, server, ask(), headers=headers)
            return response.status, answer, server.figures().billed

    got, answer, billed = asyncio.run(main())
    assert got == status
    assert billed == (status == 200)
    assert status == 200 or answer["error"]["code"] == "invalid_api_key"


def test_models_lists_the_profile():
    """The list of models holds one, named like the profile."""

    async def main():
        async with (
            serving(INSTANT) as (server, client),
            client.get(f"{server.url}/models") as response,
        ):
            return await response.json()

    assert [model["id"] for model in asyncio.run(main())["data"]] == ["instant"]


def test_a_limit_is_told_in_headers():
    """A 429 says when to come back in whole seconds, and every answer says what is left."""
    profile = Profile(name="p", requests_per_minute=60.0, burst_seconds=1.0, output_mu=0.0)

    async def main():
        async with serving(profile) as (server, client):
            first, _ = await post(client, server, ask())
            second, error = await post(client, server, ask())
            return first, second, error

    first, second, error = asyncio.run(main())
    assert (first.status, second.status) == (200, 429)
    assert first.headers["x-ratelimit-limit-requests"] == "60"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < float(first.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 1
    assert "Retry-After" not in first.headers
    assert second.headers["Retry-After"] == "1"
    assert (error["error"]["type"], error["error"]["code"]) == ("rate_limit_error", "rate_limit_exceeded")


@pytest.mark.parametrize("fault", ["500", "503"])
def test_a_failing_endpoint_says_so(fault):
    """A fault with a status is answered with that status and an error object."""

    async def main():
        async with serving(with_fault(fault)) as (server, client):
            return await post(client, server, ask())

    response, answer = asyncio.run(main())
    assert (response.status, answer["error"]["type"]) == (int(fault), "server_error")


@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ("reset", aiohttp.ClientConnectionError, 0),
        ("reset_after_work", aiohttp.ClientConnectionError, 1),
        ("truncate_body", aiohttp.ClientPayloadError, 1),
    ],
)
def test_a_broken_connection_breaks_at_the_client(fault, error, billed):
    """A reset reaches the client as a lost connection, a cut body as a short one; finished work is billed."""

    async def main():
        async with serving(with_fault(fault)) as (server, client):
            with pytest.raises(error):
                await post(client, server, ask())
            return server.figures()

    figures = asyncio.run(main())
    assert (figures.billed, figures.answered, figures.faults) == (billed, 0, {fault: 1})


def test_html_comes_with_status_200():
    """The page of a proxy is a success by its status and no JSON by its type."""

    async def main():
        async with (
            serving(with_fault("html")) as (server, client),
            client.post(f"{server.url}/chat/completions", json=ask()) as response,
        ):
            return response.status, response.content_type, await response.text()

    status, content_type, text = asyncio.run(main())
    assert (status, content_type) == (200, "text/html")
    assert "<html>" in text


def test_a_client_that_leaves_stops_the_work():
    """When a client closes its connection, the endpoint stops working for it and bills nothing."""

    async def main():
        async with serving(Profile(name="slow", ttft_seconds=60.0)) as (server, client):
            with anyio.move_on_after(0.05):
                await post(client, server, ask())
            await until(lambda: not server.figures().running)
            return server.figures()

    figures = asyncio.run(main())
    assert (figures.requests, figures.billed, figures.peak_running) == (1, 0, 1)


@pytest.mark.parametrize("profile", [with_fault("hang"), Profile(name="slow", ttft_seconds=60.0)])
def test_leaving_the_block_does_not_wait_for_those_in_flight(profile):
    """The server stops at once although a client still waits, and that client loses its connection."""

    async def main():
        lost = []

        async def wait_for_ever(server, client):
            with pytest.raises(aiohttp.ClientConnectionError):
                await post(client, server, ask())
            lost.append(True)

        async with aiohttp.ClientSession() as client, anyio.create_task_group() as waiting:
            with anyio.fail_after(5):
                async with SimulatedServer(profile) as server:
                    waiting.start_soon(wait_for_ever, server, client)
                    await until(lambda: server.figures().requests)
        return lost

    assert asyncio.run(main()) == [True]


def test_connections_are_kept_and_large_bodies_are_read():
    """One connection carries many requests, also one of some megabytes."""
    opened = []

    async def count(*_):
        opened.append(True)

    async def main():
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(count)
        async with (
            SimulatedServer(INSTANT) as server,
            aiohttp.ClientSession(trace_configs=[trace]) as client,
        ):
            statuses = []
            for size in (1, 3_000_000, 1):
                body = io.BytesIO(json.dumps(ask("x" * size)).encode())
                async with client.post(f"{server.url}/chat/completions", data=body) as response:
                    statuses.append(response.status)
                    await response.read()
            return statuses

    assert asyncio.run(main()) == [200, 200, 200]
    assert len(opened) == 1


def test_the_ledger_has_a_line_for_each_billed_request(tmp_path):
    """What is billed stands in the ledger, also when its client never got it; what broke earlier does not."""
    path = tmp_path / "ledger.jsonl"

    async def main():
        for profile in (INSTANT, with_fault("truncate_body"), with_fault("reset")):
            async with serving(profile, ledger=path) as (server, client):
                try:
                    await post(client, server, ask("long " * 50))
                except aiohttp.ClientError:
                    assert profile is not INSTANT

    asyncio.run(main())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["prompt"] for line in lines] == [("long " * 50)[:80]] * 2
    assert lines[0]["fingerprint"] == lines[1]["fingerprint"]


def test_a_taken_port_is_refused_and_leaves_nothing_open(tmp_path):
    """Entering on a taken port raises, and closes what was opened for it."""

    async def main():
        async with SimulatedServer(INSTANT) as server:
            port = int(server.url.rpartition(":")[2].removesuffix("/v1"))
            with pytest.raises(OSError, match="address already in use"):
                await SimulatedServer(INSTANT, port=port, ledger=tmp_path / "l").__aenter__()

    asyncio.run(main())
