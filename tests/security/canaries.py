"""Secrets that sing: each holds one word, which is looked for in whatever a run leaves behind, in every dress."""

import base64
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

WORD = "CANARY"
API_KEY = "CANARYkey/7f3+9c1e=QZ"  # of no shape that anybody knows a key by
VARIABLE = "CANARYvar-5d1f9c-QZ"
PASSWORD = "CANARYdsn%2F5d1f9c@QZ"
HOOK = "https://127.0.0.1:1/services/CANARYhook5d1f9cQZ"
ENVIRON = {"OPENAI_API_KEY": API_KEY, "MY_TOKEN": VARIABLE, "HOOK_URL": HOOK}
DSN = f"redis://someone:{quote(PASSWORD, safe='')}@127.0.0.1:{{port}}/0"


def _base64(text: bytes, skipped: int) -> bytes:
    """Give what is sure to stand in any base64 that has the text at this place of a group of three bytes."""
    first = skipped + 1 if skipped else 0
    return base64.b64encode(b"\0" * skipped + text)[first : (skipped + len(text)) * 8 // 6]


DRESSES = {
    "plain": WORD.encode(),
    "percent-encoded": "".join(f"%{ord(c):02X}" for c in WORD).encode(),
    "percent-encoded, lower case": "".join(f"%{ord(c):02x}" for c in WORD).encode(),
    "hexadecimal": WORD.encode().hex().encode(),
    "UTF-16": WORD.encode("utf-16-le"),
    "reversed": WORD[::-1].encode(),
    **{f"base64 at {skipped}": _base64(WORD.encode(), skipped) for skipped in range(3)},
}


def hits(data: bytes) -> list[str]:
    """Name the dresses in which the word stands in some bytes."""
    return [name for name, dress in DRESSES.items() if dress in data]


def hits_below(folder: Path, *shown: str) -> list[str]:
    """Look through every file of a folder, names included, and through what was shown."""
    found = [f"shown: {hit}" for text in shown for hit in hits(text.encode(errors="surrogateescape"))]
    for path in folder.rglob("*"):
        found += [f"the name of {path.name}" for _ in hits(path.name.encode())]
        if path.is_file():
            found += [f"{path.name}: {hit}" for hit in hits(path.read_bytes())]
    return found


def http(status: str, body: str, *headers: str, length: int | None = None) -> bytes:
    """Write an answer; `{key}` in it becomes the key that came with the request."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {{length:{length or 0}}}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


class Parrot(socketserver.ThreadingTCPServer):
    """Answers every request with the same bytes, with the caller's key wherever `{key}` stands in them."""

    daemon_threads = True
    allow_reuse_address = True
    answer = b""
    seen = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def finished(self, head: bytes) -> bytes:
        key = re.search(rb"(?i)authorization: bearer ([^\r]*)", head)
        answer = self.answer.replace(b"{key}", key[1] if key else b"")
        _, _, body = answer.partition(b"\r\n\r\n")
        return re.sub(rb"\{length:(\d+)\}", lambda found: str(int(found[1]) or len(body)).encode(), answer)


class _Handler(socketserver.StreamRequestHandler):
    server: Parrot

    def handle(self) -> None:
        head = b""
        if self.rfile.peek(1)[:1] == b"\x16":
            return  # a handshake of TLS
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return  # somebody who left
            head += line
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        self.rfile.read(int(length[1]) if length else 0)
        self.server.seen += 1
        self.wfile.write(self.server.finished(head))


@contextmanager
def parrot() -> Iterator[Parrot]:
    """Serve on a thread while the block runs."""
    with Parrot(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


GOOD = http(
    "200 OK",
    json.dumps(
        {
            "model": "m",
            "choices": [{"message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
    ),
    "X-Echo: {key}",
)
