"""Stops a process at the K-th system call that changes a file, counted over all its threads, and kills it there.

The process asks for that itself: it installs a seccomp filter that hands each such call to its parent, which lets it
happen or kills with SIGKILL before it does. The kernel hands the calls over one by one, in one order for all threads,
so K from 1 on names every point between two changes of any file. Needs Linux 5.5, and no privileges.
"""

import array
import ctypes
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

NUMBERS = {
    "x86_64": {
        "write": 1, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77,
        "rename": 82, "unlink": 87, "unlinkat": 263, "renameat": 264, "fallocate": 285, "pwritev": 296,
        "renameat2": 316, "pwritev2": 328,
    },
    "aarch64": {
        "write": 64, "pwrite64": 68, "writev": 66, "fsync": 82, "fdatasync": 83, "truncate": 45, "ftruncate": 46,
        "unlinkat": 35, "renameat": 38, "fallocate": 47, "pwritev": 70, "renameat2": 276, "pwritev2": 287,
    },
}  # fmt: skip
"""The calls that change a file or its name, or make a change durable, by their numbers."""
OPENING = {
    "x86_64": {"open": 2, "mkdir": 83, "creat": 85, "openat": 257, "mkdirat": 258},
    "aarch64": {"mkdirat": 34, "openat": 56},
}
"""The calls that may make a new file or folder; nobody is killed at these, but a witness is told of them."""
Witness = Callable[[int, str, list[int]], None]
"""Told of a process, the name of a call that it begins, and the arguments, before the call happens."""
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _NEW_LISTENER = 1, 8
_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_REPLY = struct.Struct("=QqiI")
_CONTINUE = 1


class NotPermitted(Exception):
    """This system does not let a process watch its child's system calls."""


@dataclass
class Watched:
    """What became of a process.

    Attributes:
        status: its exit status; minus the signal if it was killed.
        calls: how many calls of each kind it began.
        point: the call at which it was killed, with its file; empty if it was not.
    """

    status: int
    calls: Counter[str] = field(default_factory=Counter)
    point: str = ""


def run_until(
    work: Callable[[], int], kill_at: int | None = None, *, torn: bool = False, witness: Witness | None = None
) -> Watched:
    """Have `work` done in a child, and kill that before its `kill_at`-th call, counted from 1.

    Args:
        work: gives the child's exit status.
        kill_at: `None` to let the child live.
        torn: kill within the `kill_at`-th call that writes instead, when the first half of its data is in the file.
        witness: told of each call, and of those that open files.

    Raises:
        NotPermitted: the kernel refuses; the message says what.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _be_watched(theirs, work, opening=witness is not None)
    theirs.close()
    with ours:
        said, listeners, _, _ = socket.recv_fds(ours, 200, 1)
    if not listeners:
        os.waitpid(child, 0)
        raise NotPermitted(f"seccomp user notification is needed, Linux 5.5 or newer: {said.decode()}")
    try:
        calls, point = _follow(child, listeners[0], kill_at, torn, witness)
    finally:
        os.close(listeners[0])
    return Watched(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), calls, point)


def _be_watched(parent: socket.socket, work: Callable[[], int], *, opening: bool) -> None:
    status = 70
    try:
        try:
            listener = _install_filter(opening=opening)
        except (OSError, KeyError) as error:
            parent.send(f"{type(error).__name__}: {error}".encode())
            return
        socket.send_fds(parent, [b"watched"], [listener])
        os.close(listener)
        parent.close()
        status = work()
    except BaseException as error:  # noqa: BLE001 - a child that returned would be a second parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _install_filter(*, opening: bool) -> int:
    """Have each of the calls asked about from now on, by all threads to come; give where the questions arrive."""
    machine = platform.machine()
    wanted = sorted([*NUMBERS[machine].values(), *(OPENING[machine].values() if opening else ())])
    steps = [struct.pack("=HBBI", _LOAD_NUMBER, 0, 0, 0)]
    steps += [struct.pack("=HBBI", _JUMP_IF_EQUAL, len(wanted) - at, 0, nr) for at, nr in enumerate(wanted)]
    steps += [struct.pack("=HBBI", _RETURN, 0, 0, action) for action in (_ALLOW, _NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP[machine], _SET_FILTER, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(listener)


def _follow(
    child: int, listener: int, kill_at: int | None, torn: bool, witness: Witness | None
) -> tuple[Counter[str], str]:
    changing, opening = (table[platform.machine()] for table in (NUMBERS, OPENING))
    names = {number: name for name, number in (changing | opening).items()}
    calls: Counter[str] = Counter()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        question = array.array("B", bytes(_NOTIFICATION.size))
        try:
            fcntl.ioctl(listener, _RECEIVE, question)
        except FileNotFoundError:  # who asked is gone
            continue
        key, _, _, number, _, _, *arguments = _NOTIFICATION.unpack(question)
        name = names[number]
        if name in changing:
            calls[name] += 1
            reached = calls["write"] + calls["pwrite64"] if torn else calls.total()
            if reached == kill_at:
                if torn:
                    _write_half(child, name, arguments)
                point = f"{name} {file_of(child, arguments[0])}"
                os.kill(child, signal.SIGKILL)
                return calls, point
        if witness is not None:
            witness(child, name, arguments)
        with suppress(FileNotFoundError):
            fcntl.ioctl(listener, _ANSWER, _REPLY.pack(key, 0, 0, _CONTINUE))
    return calls, ""


def _write_half(child: int, name: str, arguments: list[int]) -> None:
    descriptor, address, length, offset, *_ = arguments
    data = read_memory(child, address, length // 2)
    file = os.open(f"/proc/{child}/fd/{descriptor}", os.O_WRONLY)
    try:
        if name == "write":
            os.write(file, data)
        else:
            os.pwrite(file, data, offset)
    finally:
        os.close(file)


def read_memory(child: int, address: int, length: int) -> bytes:
    """Give what stands in a process's memory; less than asked for where it ends."""
    with open(f"/proc/{child}/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - unbuffered
        return os.pread(memory.fileno(), length, address)


def file_of(child: int, descriptor: int) -> str:
    """Give the path of a process's open file."""
    try:
        return str(Path(f"/proc/{child}/fd/{descriptor}").readlink())
    except OSError:
        return "(by name)"
