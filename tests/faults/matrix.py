"""What can go wrong, one row each, and what has to come of it. Tests that prove a row carry `@pytest.mark.fault(N)`.

Beside what its row says, every test holds its run against the standard: no record lost, none doubled, no recorded
answer paid again, at most the calls in flight paid again for each crash, and output that parses. `tests/system/oracle`
is the judge; it shares no code with streamproc.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        number: its name in marks and reports.
        fault: what goes wrong.
        injection: how the tests make it happen.
        outcome: what has to come of it, beside the standard.
        waits_for: the part of streamproc that it concerns and that does not exist yet; empty for all others.
    """

    number: int
    fault: str
    injection: str
    outcome: str
    waits_for: str = ""


PARQUET, POSTGRES, STREAMS = "the Parquet sink", "the Postgres sink", "Redis Streams as source or sink"
PAGE = "the dashboard"

FAULTS = (
    Fault(1, "killed at any write", "SIGKILL before and within every call that changes a file", "continues by itself"),
    Fault(2, "killed at any moment", "SIGKILL from outside, at random", "continues by itself"),
    Fault(3, "killed while it recovers", "SIGKILL again at random calls of the next start", "recovery can be repeated"),
    Fault(
        4, "power loss", "unsynced bytes dropped, halved, zeroed or garbled; unsynced names gone", "cut at the commit"
    ),
    Fault(5, "a torn or unended last line", "bytes or the line feed cut off or added", "cut, never appended to"),
    Fault(
        6, "committed output shortened or edited", "truncate, flip a byte", "refused (3), untouched, the place named"
    ),
    Fault(7, "output or state missing, or another run's", "remove, copy", "refused (3)"),
    Fault(8, "the state is corrupt", "overwrite a page", "refused; paid answers survive --overwrite"),
    Fault(
        9, "output disk full", "a tmpfs of 64 KiB", "cut at the commit, paused, alerted, goes on with room; or exit 74"
    ),
    Fault(10, "state or journal disk full", "the same", "nothing more is sent until there is room"),
    Fault(11, "EIO at a write", "strace injects it", "exit 74"),
    Fault(12, "fsync fails", "strace injects EIO", "never tried again, exit 74, nothing after the last commit claimed"),
    Fault(13, "interrupted and short writes", "strace, file size limit", "written to the end"),
    Fault(14, "a folder that cannot be written", "another user's folder", "refused before the first request"),
    Fault(15, "a slow disk", "each flush delayed by 2 s", "back-pressure; no answer runs into its deadline"),
    Fault(16, "killed between a part's rename and its commit", "SIGKILL", "the orphan is removed", PARQUET),
    Fault(17, "two processes on one output", "start twice", "the second exits with 3 within a second"),
    Fault(18, "a frozen process wakes after another took over", "SIGSTOP, lock removed", "its commits are refused"),
    Fault(19, "the database dies within a commit", "SIGKILL", "the checkpoint row decides", POSTGRES),
    Fault(20, "the database restarts or turns read-only", "restart", "intake paused until it is back", POSTGRES),
    Fault(
        21,
        "the SQLite output is locked by another",
        "BEGIN EXCLUSIVE",
        "waited for, alerted after 30 s; no record fails",
    ),
    Fault(22, "the stream's server is killed", "SIGKILL", "own pending entries first", STREAMS),
    Fault(23, "a stream that is not persistent", "no append-only file", "refused at the start", STREAMS),
    Fault(24, "the stream's server is frozen", "SIGSTOP", "one entry a record", STREAMS),
    Fault(25, "Redis is full or read-only", "maxmemory, READONLY", "the run goes on without its cache"),
    Fault(26, "the cache is down, corrupt or slow", "kill, flip bytes", "a miss; never a wrong answer, never the end"),
    Fault(
        27, "no connection: refused, no name, no route", "closed port, network namespace", "waited for, then stopped"
    ),
    Fault(28, "an untrusted certificate", "self-signed, expired, other host", "stopped (4) before any request"),
    Fault(29, "a kept connection is closed under a request", "server closes at the second request", "sent once more"),
    Fault(30, "reset before an answer", "SO_LINGER 0", "tried again within bounds"),
    Fault(31, "cut within the body", "with a length, chunked, with neither", "never taken for an answer"),
    Fault(32, "bytes that trickle", "a byte each 0.1 s, headers or body", "the deadline holds; others unharmed"),
    Fault(33, "no answer at all", "accepted and silent", "the deadline holds; what it may have cost is shown"),
    Fault(34, "bursts of 500, 502, 503, 529, pages of HTML", "raw server", "outlived: no dead letters"),
    Fault(35, "a storm of 429", "95 % refused; every spelling of Retry-After", "waited for; nobody floods after it"),
    Fault(36, "the money is used up", "402 and six codes", "stopped (4) after at most the calls in flight"),
    Fault(37, "the key is refused", "401 at the start and later", "stopped at once; later after one probe"),
    Fault(38, "a record that can never succeed", "400, 413, 422, content filter", "one request, a dead letter"),
    Fault(39, "success without an answer", "error body, empty, no choices, null, HTML", "never an empty row"),
    Fault(40, "an answer that is not whole", "length, content_filter, tool_calls, unknown", "flagged; not paid again"),
    Fault(41, "an answer that cannot be read", "cut JSON, bad UTF-8, BOM, NaN, 100,000 brackets", "one bad answer"),
    Fault(
        42, "odd characters in an answer", "half a surrogate, NUL, U+2028, 10 MB, controls", "one line, nothing lost"
    ),
    Fault(43, "an answer that is a bomb", "1 GiB, gzip, headers of 9 kB, 10,000 headers", "capped; memory bounded"),
    Fault(44, "redirected elsewhere", "302, 307", "stopped; the key is not sent on"),
    Fault(45, "absurd accounts", "usage missing, negative, huge; ids repeated", "the answer is kept, the count is 0"),
    Fault(46, "bad rows", "broken JSON, bytes, blanks, CRLF, 1 GiB, duplicates", "dead letters with their line"),
    Fault(47, "the input changes", "appended, edited, reordered, shrunk, replaced", "gone on with, or refused (3)"),
    Fault(48, "the job changes", "prompt, model, parameters, endpoint, format", "refused (3), with both values"),
    Fault(49, "the clock jumps", "a day ahead and back", "only log stamps move"),
    Fault(50, "the process is stalled", "SIGSTOP 30 s, event loop blocked", "answers that arrived are kept"),
    Fault(51, "signals and closed terminals", "one, two, three; SIGHUP; broken pipe", "drained, aborted, left"),
    Fault(52, "too few file descriptors", "ulimit -n 64", "fewer at once, a warning, every record done"),
    Fault(53, "too little memory", "ulimit -v", "ends; continues"),
    Fault(54, "a worker fails in an unknown way", "raises, raises CancelledError, hangs", "never a silent end"),
    Fault(55, "the host cancels", "at every step of the event loop", "nothing lost, no task left"),
    Fault(56, "user code misbehaves", "blocks, raises, changes its record", "that record's affair alone"),
    Fault(57, "a dashboard client stalls or is foreign", "raw client", "unharmed, 403", PAGE),
    Fault(58, "the webhook is down, slow or points inside", "raw server", "the run is unharmed; drops are counted"),
    Fault(59, "figures are asked for during shutdown", "scrape in a loop", "no hang", PAGE),
    Fault(60, "no room for dead letters", "a tmpfs without inodes", "as with a full disk"),
)
