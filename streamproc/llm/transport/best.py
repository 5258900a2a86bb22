"""Which transport carries the requests: the lean one where its parser is installed, else aiohttp."""

from __future__ import annotations

import ssl
from importlib.util import find_spec

from streamproc.llm.transport.transport import Transport
from streamproc.secret import SecretStr


def best_transport(base_url: str, api_key: SecretStr, tls: ssl.SSLContext | None, max_connections: int) -> Transport:
    """Make a transport; see `LeanTransport` and `AiohttpTransport` for the arguments."""
    if find_spec("httptools") is not None:
        from streamproc.llm.transport.lean import LeanTransport

        return LeanTransport(base_url, api_key, tls)
    from streamproc.llm.transport.over_aiohttp import AiohttpTransport

    return AiohttpTransport(base_url, api_key, tls, max_connections)
