"""Take in the body of a response, inflated where it is compressed, up to a most and never beyond.

Nothing compressed is asked for; a server that compresses all the same could send a thousand times what it seems to.
"""

from __future__ import annotations

import zlib

from streamproc.errors import Ambiguous

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_ZLIB_METHOD = 8  # the low half of the first byte, where there is a header at all


class CappedBody:
    """A body on its way. Whatever is wrong with one may have been paid for all the same.

    Args:
        most_bytes: the most that is taken in, inflated.
        encoding: its `Content-Encoding`, if it has one.

    Raises:
        Ambiguous: it is compressed in a way that cannot be read here.
    """

    def __init__(self, most_bytes: int, encoding: str | None = None) -> None:
        self._most = most_bytes
        self._encoding = (encoding or "identity").strip().lower()
        self._inflater: zlib._Decompress | None = None
        self._parts: list[bytes] = []
        self._size = 0
        if self._encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
            raise Ambiguous("the answer is compressed in a way that was not asked for", status=200)

    def feed(self, data: bytes) -> None:
        """Take in what has arrived.

        Raises:
            Ambiguous: it is too much, or not compressed as it says.
        """
        try:
            part = data if self._encoding == "identity" else self._inflate(data)
        except zlib.error as error:
            raise Ambiguous("the answer is not compressed as it says", status=200) from error
        self._size += len(part)
        if self._size > self._most:
            raise Ambiguous(f"an answer of more than {self._most} bytes, which are the most that is read", status=200)
        self._parts.append(part)

    def _inflate(self, data: bytes) -> bytes:
        if self._inflater is None:
            wrapped = self._encoding != "deflate" or data[0] % 16 == _ZLIB_METHOD
            self._inflater = zlib.decompressobj(
                _RAW if not wrapped else zlib.MAX_WBITS if self._encoding == "deflate" else _GZIP
            )
        if self._inflater.eof:  # zlib would keep what follows, however much, and copy all of it each time
            raise zlib.error("bytes after the end")
        return self._inflater.decompress(data, self._most - self._size + 1)

    def whole(self) -> bytes:
        """Give all of it, once all has arrived.

        Raises:
            Ambiguous: it is compressed, and its end is missing.
        """
        if self._inflater is not None and not self._inflater.eof:
            raise Ambiguous("the end of a compressed answer is missing", status=200)
        return self.so_far()

    def so_far(self) -> bytes:
        """Give what has arrived, if there is no more to come."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
