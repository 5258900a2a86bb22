"""What goes wrong on the wire, as errors of ours: the one place that knows aiohttp's exceptions.

None of them is ever a cause or context of ours, as they hold the request's headers.
"""

from __future__ import annotations

import errno

import aiohttp

from streamproc.errors import Ambiguous, NotSent, ProviderError, ProviderStop

CONNECT_SECONDS = 10.0
STALE = "stale_connection"
"""The code of a request whose connection, used before, was closed before any answer: the server had let go of it."""


def mapped(error: aiohttp.ClientError, *, stale: bool) -> ProviderError:
    """Turn aiohttp's exceptions into ours; the subclasses come before their bases.

    Args:
        error: one of them.
        stale: whether the connection was used before, and no answer had begun.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return ProviderStop(
                f"no trusted connection to {error.host}: {error.os_error}. Check llm.base_url and llm.ca_file",
                code="tls",
            )
        case aiohttp.ClientConnectorError():
            return mapped_os(error.os_error, f" to {error.host}:{error.port}")
        case aiohttp.ConnectionTimeoutError():
            return NotSent(f"no connection within {CONNECT_SECONDS:g} s", code="connect_timeout")
        case aiohttp.InvalidURL():
            return ProviderStop("llm.base_url is not a usable address", code="invalid_url")
        case aiohttp.ClientResponseError():
            return Ambiguous("the answer is not HTTP: a bad status line, or headers beyond every measure", status=200)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if stale:
            return Ambiguous("a connection that was used before was closed before an answer came", code=STALE)
        case aiohttp.ServerDisconnectedError():
            return Ambiguous("the connection was closed before an answer came", code="disconnected")
        case _:
            return Ambiguous(f"the connection broke while the answer was on its way ({type(error).__name__})")


def mapped_os(error: OSError, where: str = "") -> ProviderError:
    """Turn the system's own error into ours; `where` says to whom no connection could be made, if that was it."""
    code = errno.errorcode.get(error.errno or 0, "os_error").lower()
    if where or error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS}:
        return NotSent(f"no connection{where}: {error.strerror or error}", code=code)
    return Ambiguous(f"the connection broke: {error.strerror or type(error).__name__}", code=code)
