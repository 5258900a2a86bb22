"""Mistakes that people make: each has its exit code, and a message with the place, the value and the way out."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

KEY = "sk-canary-0123456789abcdef"
JOB = """\
source: {type: jsonl, path: in.jsonl}
llm: {model: m, prompt: "Say {{ text }}", base_url: "http://127.0.0.1:9/v1"}
sink: {type: jsonl, path: out.jsonl}
"""
CSV = JOB.replace("type: jsonl, path: in.jsonl", "type: csv, path: in.csv")
CHECK, RUN = ("check", "job.yaml"), ("run", "job.yaml")


class Mistake(NamedTuple):
    """What somebody does, and what must come of it: the exit code, and words that the message holds."""

    name: str
    words: tuple[str, ...]
    job: str | bytes = JOB
    arguments: tuple[str, ...] = CHECK
    environ: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    code: int = 2


def changed(old: str, new: str) -> str:
    assert old in JOB
    return JOB.replace(old, new)


def llm(line: str) -> str:
    """Put further keys into the `llm` section."""
    return changed("model: m", f"model: m, {line}")


def address(url: str) -> str:
    return changed("http://127.0.0.1:9/v1", url)


def laughs() -> str:
    levels = (f"  {c}: &{c} [{', '.join(['*' + p] * 9)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    return "llm:\n  a: &a [x]\n" + "\n".join(levels) + "\n"


def mergers() -> str:
    return "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


JOB_FILES = [
    Mistake("job file missing", ("nope.yaml", "No such file"), arguments=("run", "nope.yaml")),
    Mistake("job file is a folder", ("folder: cannot be read", "Is a directory"), arguments=("run", "folder")),
    Mistake("not UTF-8", ("job.yaml", "not UTF-8", "byte 6"), b"llm: {\xff}"),
    Mistake("not YAML", ("job.yaml", "line 1"), "llm: ["),
    Mistake("a tab", ("job.yaml", "line 2", r"'\t'"), "llm:\n\tmodel: m\n"),
    Mistake("a control character", ("job.yaml", "is not YAML", "#x0001"), "llm: \x01"),
    Mistake("empty", ("job.yaml", "must hold sections", "`llm:`"), ""),
    Mistake("a list", ("job.yaml", "must hold sections", "list"), "- llm\n- sink\n"),
    Mistake("two documents", ("job.yaml", "line 4", "another document"), JOB + "---\nllm: {}\n"),
    Mistake("a section twice", ("job.yaml", "line 4", "'llm'", "twice"), JOB + "llm: {}\n"),
    Mistake("a key twice", ("line 3", "'model'", "twice"), "llm:\n  model: a\n  model: b\n"),
    Mistake("a number as key", ("line 1", "keys must be text", "got 1"), "1: 2\n"),
    Mistake(
        "a Python object", ("line 1", "python/object/apply:os.system"), "llm: !!python/object/apply:os.system [ls]\n"
    ),
    Mistake("a tag that does not fit", ("line 1", "is no bool", "'maybe'", "quote it"), "llm: !!bool maybe\n"),
    Mistake("no date", ("line 2", "timestamp", "'2020-99-01'", "quote it"), "llm:\n  model: 2020-99-01\n"),
    Mistake(
        "a date where text belongs", ("llm.model: must be str", "2020, 1, 1"), changed("model: m", "model: 2020-01-01")
    ),
    Mistake("half a surrogate pair", ("line 1", "surrogate"), 'llm: {model: "\\ud800"}\n'),
    Mistake("a billion laughs", ("llm.", "more than 10000 values"), laughs()),
    Mistake("a billion keys", ("line 2", "<<", "write the keys out"), mergers()),
    Mistake("an alias of itself", ("line 1", "recursive"), "llm: &a {model: *a}\n"),
    Mistake("a bottomless list", ("job.yaml", "recursion"), "llm: " + "[" * 1000),
]

SETTINGS = [
    Mistake("unknown section", ("sauce: unknown section", "known: ", "source"), JOB + "sauce: {}\n"),
    Mistake("unknown key", ("cache.enabeld: unknown key", "enabled"), JOB + "cache: {enabeld: true}\n"),
    Mistake("unknown key of a plug-in", ("source.pth: unknown key", "path"), changed("in.jsonl", "in.jsonl, pth: x")),
    Mistake("wrong type", ("cache.enabled: must be bool", "'yes please'"), JOB + "cache: {enabled: yes please}\n"),
    Mistake(
        "a fraction", ("batch_processing.min_size: must be int", "1.5"), JOB + "batch_processing: {min_size: 1.5}\n"
    ),
    Mistake("a value as section", ("cache: must be a section", "got 3"), JOB + "cache: 3\n"),
    Mistake(
        "out of range", ("batch_processing.min_size: must be >= 1", "got 0"), JOB + "batch_processing: {min_size: 0}\n"
    ),
    Mistake(
        "initial above max",
        ("batch_processing.initial_size", "max_size 100", "got 200"),
        JOB + "batch_processing: {initial_size: 200}\n",
    ),
    Mistake("initial below min", ("concurrency.initial: must be >= min 9", "got 8"), JOB + "concurrency: {min: 9}\n"),
    Mistake("negative drain", ("drain_seconds: must be >= 0", "got -1"), JOB + "drain_seconds: -1\n"),
    Mistake("endless drain", ("drain_seconds: must be a finite number", "inf"), JOB + "drain_seconds: .inf\n"),
    Mistake("endless cache", ("cache.max_size_mb: must be <= 1000000000", "inf"), JOB + "cache: {max_size_mb: .inf}\n"),
    Mistake(
        "cache backend memcache", ("cache.backend", "sqlite, redis", "'memcache'"), JOB + "cache: {backend: memcache}\n"
    ),
    Mistake("redis without a server", ("cache.url", "redis://localhost:6379/0"), JOB + "cache: {backend: redis}\n"),
    Mistake(
        "redis at a web address",
        ("cache.url: must be an address that begins with one of redis://", "got 'https://***@host'"),
        JOB + "cache: {backend: redis, url: 'https://me:hush@host'}\n",
    ),
    Mistake(
        "redis at no port",
        ("cache.url: must be an address", "got 'redis://host:99999999'"),
        JOB + "cache: {backend: redis, url: 'redis://host:99999999'}\n",
    ),
    Mistake(
        "a server and no redis",
        ("cache.url: belongs to backend redis", "with backend sqlite"),
        JOB + "cache: {backend: sqlite, url: 'redis://host'}\n",
    ),
    Mistake("a namespace with a star", ("cache.namespace", "'a*'"), JOB + "cache: {namespace: 'a*'}\n"),
    Mistake(
        "an unknown policy",
        ("cache.policy: must be one of lru, gdsf, s3fifo", "'fifo'"),
        JOB + "cache: {policy: fifo}\n",
    ),
    Mistake(
        "a redis option that is none",
        ("cache.url", "socket_timeout"),
        JOB + "cache: {backend: redis, url: 'redis://host?socket_timeout=soon'}\n",
        RUN,
    ),
    Mistake("cache path in memory", ("cache.path", "sqlite", "'c.db'"), JOB + "cache: {backend: memory, path: c.db}\n"),
    Mistake(
        "unknown source",
        ("source.type: must be one of csv, jsonl", "'parquet'"),
        changed("type: jsonl, path: in", "type: parquet, path: in"),
    ),
    Mistake(
        "unknown sink",
        ("sink.type: must be one of jsonl, sqlite", "'s3'"),
        changed("type: jsonl, path: out", "type: s3, path: out"),
    ),
    Mistake(
        "source type missing", ("source.type: is required", "csv, jsonl"), changed("type: jsonl, path: in", "path: in")
    ),
    Mistake("source path missing", ("source.path: is required",), changed(", path: in.jsonl", "")),
    Mistake("source path empty", ("source.path: must be the path of a file", "''"), changed("in.jsonl", "''")),
    Mistake("sink path is here", ("sink.path: must be the path of a file", "'.'"), changed("out.jsonl", ".")),
    Mistake("NUL in a path", ("sink.path: must be the path of a file", r"\x00"), changed("out.jsonl", r'"a\0"')),
    Mistake("no source", ("source: is required",), changed("source: {type: jsonl, path: in.jsonl}", "")),
    Mistake("no sink", ("sink: is required",), changed("sink: {type: jsonl, path: out.jsonl}", ""), RUN),
    Mistake(
        "output over input",
        ("sink.path", "source.path 'in.jsonl'", "delete"),
        changed("out.jsonl", "./in.jsonl"),
        (*RUN, "--overwrite"),
    ),
    Mistake(
        "output over its dead letters",
        ("sink.path", "out.jsonl.dead.jsonl"),
        JOB,
        (*RUN, "--overwrite", "--input", "out.jsonl.dead.jsonl"),
    ),
    Mistake("no llm", ("llm: is required",), "source: {type: jsonl, path: in.jsonl}\n"),
    Mistake("no model", ("llm.model: is required",), changed("model: m, ", "")),
    Mistake("no prompt", ("llm.prompt: is required",), changed('prompt: "Say {{ text }}", ', "")),
    Mistake(
        "malformed prompt",
        ("llm.prompt: line 1", "unexpected '}'", "Say {{ text }"),
        changed("{{ text }}", "{{ text }"),
    ),
    Mistake("unknown filter", ("llm.prompt: line 1", "nofilter"), changed("{{ text }}", "{{ text | nofilter }}")),
    Mistake("key in the file", ("llm.api_key", "refused", "NAME", "llm.api_key_env"), llm(f"api_key: {KEY}")),
    Mistake("key in place of its name", ("llm.api_key_env", "NAME", "OPENAI_API_KEY"), llm(f"api_key_env: {KEY}")),
    Mistake("key like a name", ("llm.api_key_env", "NAME"), llm("api_key_env: sk_live_0123456789")),
    Mistake(
        "address without scheme",
        ("llm.base_url: must be an http or https address", "'127.0.0.1:9/v1'"),
        address("127.0.0.1:9/v1"),
    ),
    Mistake("address with bad port", ("llm.base_url", "'http://h:99999/v1'"), address("http://h:99999/v1")),
    Mistake(
        "address with password", ("llm.base_url: must hold no user, password", "NAME"), address(f"http://u:{KEY}@h/v1")
    ),
    Mistake("address with password and bad port", ("llm.base_url",), address(f"http://u:{KEY}@h:99999/v1")),
    Mistake("address with key", ("llm.base_url", "query"), address(f"http://h/v1?key={KEY}")),
    *(
        Mistake(
            f"parameter {name}",
            (f"llm.parameters.{name}", "streamproc sets it itself"),
            llm(f"parameters: {{{name}: 1}}"),
        )
        for name in ("model", "messages", "stream", "n")
    ),
    Mistake(
        "NaN parameter",
        ("llm.parameters.temperature: must be a finite number", "nan"),
        llm("parameters: {temperature: .nan}"),
    ),
    Mistake(
        "infinity inside", ("llm.parameters.a.b.0: must be a finite number", "inf"), llm("parameters: {a: {b: [.inf]}}")
    ),
    Mistake(
        "date as parameter", ("llm.parameters.d", "JSON", "2020, 1, 1", "quote it"), llm("parameters: {d: 2020-01-01}")
    ),
    Mistake(
        "huge parameter", ("llm.parameters.seed", "64 bits", "99999"), llm("parameters: {seed: 99999999999999999999}")
    ),
    Mistake(
        "wide delimiter",
        ("source.delimiter: must be one character", "';;'"),
        CSV.replace("in.csv", "in.csv, delimiter: ';;'"),
    ),
    Mistake(
        "quote as delimiter", ("source.delimiter", "no quote", "'\"'"), CSV.replace("in.csv", "in.csv, delimiter: '\"'")
    ),
]

PLACES = [
    Mistake(
        "variable not set",
        ("llm.model", "NOT_SET_HERE is not set", "${NOT_SET_HERE:-default}"),
        changed("model: m", 'model: "${NOT_SET_HERE}"'),
    ),
    Mistake("bad reference", ("llm.model: ${ must be followed by", "$${"), changed("model: m", 'model: "${1}"')),
    Mistake("reference without end", ("llm.model: ${ must be followed by", "$${"), changed("model: m", 'model: "${"')),
    Mistake(
        "variable of the wrong type",
        ("batch_processing.initial_size: must be int", "'abc'", "STREAMPROC_BATCH_SIZE"),
        environ={"STREAMPROC_BATCH_SIZE": "abc"},
    ),
    Mistake(
        "variable out of range",
        ("initial_size", "max_size 100", "500", "STREAMPROC_BATCH_SIZE"),
        environ={"STREAMPROC_BATCH_SIZE": "500"},
    ),
    Mistake("variable is no YAML", ("STREAMPROC_CACHE_ENABLED", "line 1"), environ={"STREAMPROC_CACHE_ENABLED": "["}),
    Mistake(
        "bad OPENAI_BASE_URL",
        ("OPENAI_BASE_URL: must be an http", "'nowhere'"),
        changed(', base_url: "http://127.0.0.1:9/v1"', ""),
        RUN,
        {"OPENAI_BASE_URL": "nowhere"},
    ),
    Mistake(
        "password in OPENAI_BASE_URL",
        ("OPENAI_BASE_URL: must hold no user",),
        changed(', base_url: "http://127.0.0.1:9/v1"', ""),
        CHECK,
        {"OPENAI_BASE_URL": f"http://u:{KEY}@h/v1"},
    ),
    Mistake("--set without =", ("--set llm.model", "section.key=value"), arguments=(*CHECK, "--set", "llm.model")),
    Mistake(
        "--set through a value",
        ("--set llm.model.x=3", "model is a value, not a section"),
        arguments=(*CHECK, "--set", "llm.model.x=3"),
    ),
    Mistake("--set without path", ("--set =3", "such as llm.model"), arguments=(*CHECK, "--set", "=3")),
    Mistake(
        "--set unknown key", ("llm.modle: unknown key", "model", "--set"), arguments=(*CHECK, "--set", "llm.modle=x")
    ),
    Mistake("--set unknown section", ("lm: unknown section", "llm"), arguments=(*CHECK, "--set", "lm.model=x")),
    Mistake(
        "--set text that is no YAML",
        ("--set llm.prompt={{ text }}", "quotes inside"),
        arguments=(*CHECK, "--set", "llm.prompt={{ text }}"),
    ),
    Mistake(
        "--set number as text", ("llm.model: must be str", "got 4", "--set"), arguments=(*CHECK, "--set", "llm.model=4")
    ),
    Mistake("--set key", ("llm.api_key", "NAME"), arguments=(*CHECK, "--set", f"llm.api_key={KEY}")),
]

USAGE = [
    Mistake("--limit 0", ("--limit", "x>=1", "--help"), arguments=(*RUN, "--limit", "0")),
    Mistake("unknown option", ("No such option", "--verbose"), arguments=(*RUN, "--verbose")),
    Mistake("unknown subcommand", ("No such command", "'walk'"), arguments=("walk",)),
    Mistake("no job", ("Missing argument", "JOB.yaml"), arguments=("run",)),
    Mistake("unknown progress", ("--progress", "'fancy'", "'plain'"), arguments=(*RUN, "--progress", "fancy")),
    Mistake("unknown level", ("--log-level", "'loud'", "'debug'"), arguments=(*RUN, "--log-level", "loud")),
    Mistake("unknown profile", ("profile", "'nope'", "small-gpu"), arguments=("simulate", "--profile", "nope")),
    Mistake("unknown scenario", ("nope", "control"), arguments=("bench", "nope")),
    Mistake("no port", ("--port", "65535"), arguments=("simulate", "--port", "70000")),
    Mistake(
        "cache of nothing",
        ("cache", "backend: memory", "sqlite"),
        JOB + "cache: {backend: memory}\n",
        ("cache", "stats", "job.yaml"),
    ),
    Mistake(
        "cache switched off",
        ("cache", "enabled: false"),
        JOB + "cache: {enabled: false}\n",
        ("cache", "clear", "job.yaml"),
    ),
    Mistake(
        "cache is a folder", ("cache.path", "'folder'"), JOB + "cache: {path: folder}\n", ("cache", "prune", "job.yaml")
    ),
]

FILES = [
    Mistake(
        "input missing",
        ("source.path: cannot read 'gone.jsonl'", "No such file"),
        changed("in.jsonl", "gone.jsonl"),
        RUN,
    ),
    Mistake(
        "input is a folder", ("source.path: cannot read 'folder'", "Is a directory"), changed("in.jsonl", "folder"), RUN
    ),
    Mistake("CSV empty", ("source.path: 'empty.csv' is empty", "header"), CSV.replace("in.csv", "empty.csv"), RUN),
    Mistake("CSV column twice", ("source.path", "'twice.csv'", "twice"), CSV.replace("in.csv", "twice.csv"), RUN),
    Mistake(
        "CSV header not UTF-8",
        ("source.path", "'latin.csv'", "not UTF-8", "byte 0"),
        CSV.replace("in.csv", "latin.csv"),
        RUN,
    ),
    Mistake(
        "duplicate ids",
        ("in.jsonl", "lines 1 and 3", "'id'", "unique"),
        changed("in.jsonl", "in.jsonl, id_field: id"),
        RUN,
        code=3,
    ),
    Mistake("output is a folder", ("sink.path: must name a file", "'folder'"), changed("out.jsonl", "folder"), RUN),
    Mistake(
        "output folder missing",
        ("sink.path: the folder of 'gone/out.jsonl' does not exist",),
        changed("out.jsonl", "gone/out.jsonl"),
        RUN,
    ),
    Mistake(
        "output folder missing, overwritten",
        ("sink.path: the folder of 'gone/out.jsonl'",),
        changed("out.jsonl", "gone/out.jsonl"),
        (*RUN, "--overwrite"),
    ),
    Mistake(
        "output without state",
        ("foreign.jsonl exists", "state.db", "--overwrite"),
        changed("out.jsonl", "foreign.jsonl"),
        RUN,
        code=3,
    ),
    Mistake(
        "output of another program",
        ("foreign.db", "another program", "choose another path"),
        changed("type: jsonl, path: out.jsonl", "type: sqlite, path: foreign.db"),
        RUN,
        code=3,
    ),
    Mistake(
        "output is no database",
        ("in.csv", "no SQLite database"),
        changed("type: jsonl, path: out.jsonl", "type: sqlite, path: in.csv"),
        RUN,
        code=3,
    ),
    Mistake("nothing to verify", ("nothing to verify", "state.db does not exist"), JOB, ("verify", "job.yaml"), code=3),
    Mistake(
        "summary to nowhere",
        ("--summary-json gone/s.json", "No such file"),
        JOB,
        (*RUN, "--summary-json", "gone/s.json"),
    ),
    Mistake(
        "summary to a folder", ("--summary-json folder", "Is a directory"), JOB, (*RUN, "--summary-json", "folder")
    ),
    Mistake(
        "certificates missing", ("llm.ca_file: cannot read 'gone.pem'", "No such file"), llm("ca_file: gone.pem"), RUN
    ),
    Mistake("cache folder missing", ("gone/c.db: No such file",), JOB + "cache: {path: gone/c.db}\n", RUN, code=74),
]

TABLE = [*JOB_FILES, *SETTINGS, *PLACES, *USAGE, *FILES]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that jobs name: some good, some not."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": "{name}", "text": "x"}}\n' for name in "aba"))
    (tmp_path / "in.csv").write_text("text\nx\n" * 100)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    (tmp_path / "latin.csv").write_bytes(b"\xe4,b\n1,2\n")
    (tmp_path / "foreign.jsonl").write_text("precious\n")
    (tmp_path / "folder").mkdir()
    connection = sqlite3.connect(tmp_path / "foreign.db")
    connection.execute("CREATE TABLE precious (a)")
    connection.close()
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("mistake", TABLE, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_with_its_place_and_its_exit_code(command, folder, mistake):
    """Each mistake ends with its exit code and a message that says where it is and how out, and harms no file."""
    job = mistake.job if isinstance(mistake.job, bytes) else mistake.job.encode()
    (folder / "job.yaml").write_bytes(job)
    before = files_of(folder)

    ended = command(*mistake.arguments, **mistake.environ)

    assert ended.code == mistake.code, ended
    assert [word for word in mistake.words if word not in ended.err] == [], ended.err
    assert "Traceback" not in ended.err
    assert KEY not in ended.out + ended.err
    assert before.items() <= files_of(folder).items()


def test_a_read_only_folder_is_a_failure_of_storage(command, folder, monkeypatch):
    """An output folder that takes nothing ends with 74 and its name.

    Root may write anywhere, so the refusal is put in.
    """
    (folder / "job.yaml").write_text(JOB)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    ended = command(*RUN)

    assert ended.code == 74
    assert "out.jsonl.streamproc: Read-only file system" in ended.err


def test_a_first_record_without_the_field_is_told_by_check(command, folder):
    """A prompt that names a field which the first record lacks ends `check` with 1, as it would make a dead letter."""
    (folder / "job.yaml").write_text(changed("{{ text }}", "{{ txt }}"))
    ended = command(*CHECK)
    assert ended.code == 1
    assert "first record would become a dead letter: the record has no field 'txt'" in ended.out


def test_a_reader_that_leaves_is_no_bug(command, folder):
    """With nobody reading standard output the command ends with 141, as a shell's do, and says nothing."""
    (folder / "job.yaml").write_text(JOB)
    (folder / "in.jsonl").write_text('{"text": "hello"}\n')
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "streamproc", *CHECK], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_bare_command_shows_its_help(command):
    """Without a subcommand the help is shown, and `--version` tells the version."""
    bare, version = command(), command("--version")
    assert "Usage" in bare.out + bare.err
    assert (version.code, version.out.startswith("streamproc 0.")) == (0, True)
