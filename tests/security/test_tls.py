"""Servers must prove who they are: providers, caches; and nobody can switch that off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from streamproc import CacheConfig
from streamproc.cache.redis.backend import RedisBackend
from streamproc.errors import CacheUnavailable, ConfigError
from streamproc.pipeline.config import PipelineConfig
from tests.faults.recording import Figure
from tests.security.canaries import GOOD, Parrot, _Handler, hits_below
from tests.security.conftest import Sweep, job


class _Tls(Parrot):
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)


@contextlib.contextmanager
def over_tls(authority: trustme.CA, name: str) -> Iterator[Parrot]:
    """Serve good answers over TLS, with a certificate for a name."""
    with _Tls(("127.0.0.1", 0), _Handler) as server:
        server.answer = GOOD
        server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(server.context)
        thread = threading.Thread(target=lambda: server.serve_forever(0.02))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.promise("P17")
@pytest.mark.parametrize(
    ("trusted", "name", "code"),
    [(True, "localhost", 0), (True, "elsewhere.example", 4), (False, "localhost", 4)],
    ids=["right", "another name", "nobody's"],
)
def test_a_provider_proves_who_it_is(
    sweep: Sweep, folder: Path, trusted: bool, name: str, code: int, figure: Figure
) -> None:
    """With its authority in `llm.ca_file` a server is asked; one of another name, or of no known authority, is not."""
    authority = trustme.CA()
    with over_tls(authority, name) as server:
        url = f"https://localhost:{server.server_address[1]}/v1"
        tree = job(url)
        if trusted:
            authority.cert_pem.write_to_path(folder / "ca.pem")
            tree["llm"]["ca_file"] = "ca.pem"
        ended = sweep("run", tree, "--log-level", "debug")
        assert (ended.code, server.seen) == (code, 3 if code == 0 else 0)
    assert hits_below(folder, ended.err) == []
    figure.add(1, "handshakes")


@pytest.mark.promise("P17")
def test_nobody_can_switch_it_off() -> None:
    """No setting's name is about not verifying anything."""
    names = {field.name for section in msgspec.structs.fields(PipelineConfig) for field in _fields(section.type)}
    assert not {name for name in names for word in ("verify", "insecure", "tls", "ssl") if word in name}


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    is_section = isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    return msgspec.structs.fields(kind) if is_section else ()


@pytest.mark.promise("P17")
def test_a_cache_proves_who_it_is(tmp_path: Path) -> None:
    """`rediss://` sends nothing to a server whose certificate nobody vouches for; with its authority named, it does."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    seen: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.close()

    async def main(query: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of a failed handshake
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
        url = f"rediss://u:hunter2@localhost:{server.sockets[0].getsockname()[1]}/0{query}"
        async with server, RedisBackend(url, timeout_seconds=10) as backend:
            with pytest.raises(CacheUnavailable):
                await backend.get_many(["k"])

    asyncio.run(main(""))
    assert not any(seen)
    asyncio.run(main(f"?ssl_ca_certs={tmp_path / 'ca.pem'}"))
    assert any(seen)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("redis://u:hunter2@cache.example/0", True),
        ("valkey://u:hunter2@10.0.0.5", True),
        ("redis://cache.example/0?password=hunter2", True),
        ("rediss://u:hunter2@cache.example", False),
        ("redis://cache.example", False),
        ("redis://u:hunter2@127.0.0.1", False),
        ("redis://u:hunter2@localhost", False),
        ("redis://u:hunter2@[::1]:6379", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_password_in_the_open_is_warned_of(caplog: pytest.LogCaptureFixture, url: str, warned: bool) -> None:
    """A password that would leave this machine unencrypted is warned of; nothing is sent for that."""

    async def main() -> None:
        async with RedisBackend(url):
            pass

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert (["cache.unprotected"] if warned else []) == [entry.message for entry in caplog.records]
    assert "hunter2" not in str([vars(entry) for entry in caplog.records])


def test_verification_of_a_cache_cannot_be_switched_off() -> None:
    """An address that asks not to verify is refused."""
    for query in ("ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"):
        with pytest.raises(ConfigError, match="must be verified"):
            CacheConfig(backend="redis", url=f"rediss://h/0?{query}")
    CacheConfig(backend="redis", url="rediss://h/0?ssl_cert_reqs=required&ssl_check_hostname=true")
