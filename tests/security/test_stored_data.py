"""What is stored is data: nothing that lies in a cache, a job file or a template is ever run."""

from __future__ import annotations

import ast
import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiocache import SimpleMemoryCache

from streamproc.cache.aiocache.backend import AiocacheBackend, RawSerializer
from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.envelope import seal
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import ConfigError
from streamproc.job_files import MAX_BYTES, parse_yaml, read_job
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.paid_answers import Answer
from tests.faults.recording import Figure
from tests.redis_server import RedisServer

pytestmark = pytest.mark.promise("P18")
ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "streamproc").rglob("*.py"))
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "diskcache", "code", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
LOADERS = {"load", "load_all", "full_load", "unsafe_load"}


def dangers(tree: ast.AST) -> list[str]:
    """Name what could run stored data: modules, calls, loaders of YAML without a loader of ours."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or ""] if (node.module or "").partition(".")[0] in MODULES else []
            found += [alias.name for alias in node.names if alias.name == "PickleSerializer"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.append(node.func.id)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {f"yaml.{name}" for name in LOADERS}:
            found += [] if [ast.unparse(each) for each in node.args[1:]] == ["_StrictLoader"] else ["yaml.load"]
        elif isinstance(node, ast.Attribute) and node.attr in {"PickleSerializer", "enable_load_extension"}:
            found.append(node.attr)
    return found


def test_no_module_can_run_what_is_stored(figure: Figure) -> None:
    """No file of streamproc imports a loader of objects, or calls one, or compiles text; YAML has its own loader."""
    found = {str(path): dangers(ast.parse(path.read_text())) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
    figure.say(f"{len(FILES)} modules without a loader of objects")


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from marshal import loads",
        "import dill as d",
        "eval('1')",
        "yaml.load(t)",
        "yaml.unsafe_load(t)",
        "yaml.load(t, yaml.Loader)",
        "from aiocache.serializers import PickleSerializer",
        "s.PickleSerializer()",
    ],
)
def test_the_search_finds(code: str) -> None:
    """What the search is for, it finds."""
    assert len(dangers(ast.parse(code))) == 1


class Bomb:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


Make = Callable[[Path, RedisServer], CacheBackend]
BACKENDS: dict[str, Make] = {
    "memory": lambda _, __: MemoryBackend(10**6),
    "sqlite": lambda folder, _: SqliteBackend(folder / "c.db", 10**6),
    "redis": lambda _, server: RedisBackend(server.url, timeout_seconds=5),
    "tiered": lambda _, server: TieredBackend(MemoryBackend(10**6), RedisBackend(server.url, timeout_seconds=5)),
    "aiocache": lambda _, __: AiocacheBackend(SimpleMemoryCache()),
}


@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("sealed", [False, True], ids=["bare", "sealed"])
def test_a_planted_pickle_is_a_miss(
    tmp_path: Path, redis_server: RedisServer, make: Make, sealed: bool, figure: Figure
) -> None:
    """A pickle in place of an answer, even under a right checksum, is missing, is never run, and makes way."""
    proof = tmp_path / "ran"
    bombs = [pickle.dumps(Bomb(proof), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    pickle.loads(bombs[-1])
    assert proof.exists(), "the bomb is one"
    proof.unlink()

    async def main() -> None:
        async with make(tmp_path, redis_server) as backend:
            for bomb in bombs:
                payload = seal("k", bomb, time.time() + 60) if sealed else bomb
                await backend.put_many({"k": payload}, ttl=60.0)
                for kind in (Answer, None):
                    cache: CacheManager[Any] = CacheManager(CacheConfig(), backend, kind)
                    assert await cache.get("k") is None
                    assert not proof.exists()

    asyncio.run(main())
    figure.add(len(bombs), "planted pickles, none run")


def test_aiocache_is_given_no_serializer_of_its_own(redis_server: RedisServer) -> None:
    """Whatever cache of aiocache's is used, bytes pass through it as they are."""
    own = SimpleMemoryCache()
    AiocacheBackend(own)
    assert type(own.serializer) is RawSerializer

    async def main() -> None:
        async with RedisBackend(redis_server.url) as backend:
            assert type(backend._opened._cache.serializer) is RawSerializer

    asyncio.run(main())


DOCUMENTS = {
    "an object": "a: !!python/object/apply:os.system ['touch ran']",
    "an object made new": "a: !!python/object/new:os.system ['touch ran']",
    "an object with state": "a: !!python/object:pathlib.Path {}",
    "a module": "a: !!python/module:os",
    "a name": "a: !!python/name:os.system",
    "a tuple": "a: !!python/tuple [1]",
    "a class of one's own": "a: !Thing {}",
    "a long tag": "a: !<tag:yaml.org,2002:python/object/apply:eval> ['1']",
    "a key twice": "a: 1\na: 2",
    "a merge": "x: &x {a: 1}\ny:\n  <<: *x",
    "laughter": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "an endless one": "a: &a [*a]",
    "deep brackets": "a: " + "[" * 20_000,
    "deep braces": "a: " + "{b: " * 20_000,
    "deep lines": "\n".join(" " * n + "a:" for n in range(900)),
    "a huge number": "a: !!int " + "9" * 5000,
    "two documents": "a: 1\n---\nb: 2",
    "keys of lists": "? [a]\n: 1",
    "bytes": "a: !!binary notbase64!",
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_data_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, figure: Figure
) -> None:
    """YAML that asks for objects, or grows without end, is refused in moments, and runs nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError):
        PipelineConfig.load(tmp_path / "job.yaml", environ={})
    assert time.process_time() - began < 10
    assert not (tmp_path / "ran").exists()
    figure.add(1, "hostile documents, none run")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A job file beyond a mebibyte is refused, however long."""
    with (tmp_path / "job.yaml").open("wb") as file:
        file.truncate(100 * MAX_BYTES)
    with pytest.raises(ConfigError, match="a job file has at most"):
        read_job(tmp_path / "job.yaml", {})
    assert parse_yaml(yaml.safe_dump({"a": "!!python/none"})) == {"a": "!!python/none"}


def test_what_has_no_size_is_read_no_further_than_a_file(tmp_path: Path) -> None:
    """A job file that comes through a pipe, whose size is told as 0, has the same bound."""
    pipe = tmp_path / "job.yaml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b" " * (MAX_BYTES + 1)])
    writer.start()
    with pytest.raises(ConfigError, match="a job file has at most"):
        read_job(pipe, {})
    writer.join()


@pytest.mark.parametrize(
    ("text", "environ", "wanted"),
    [
        ("${A}", {"A": "${B}", "B": "no"}, "${B}"),
        ("${A}", {"A": "$${B}", "B": "no"}, "$${B}"),
        ("${A:-${B}}", {"B": "no"}, "${B}"),
        ("${A}", {"A": "!!python/name:os.system"}, "!!python/name:os.system"),
        ("${A}", {"A": "x: [1]\n- *y"}, "x: [1]\n- *y"),
        ("$A $(A) `A` %A%", {"A": "no"}, "$A $(A) `A` %A%"),
        ("$${A}", {"A": "no"}, "${A}"),
        ("${${A}}", {"A": "B", "B": "no"}, None),
        ("${A[0]}", {"A": "no"}, None),
        ("${A.b}", {"A": "no"}, None),
        ("${}", {}, None),
        ("${UNKNOWN}", {"A": "no"}, None),
        ("${", {}, None),
    ],
)
def test_the_environment_is_taken_once(tmp_path: Path, text: str, environ: dict[str, str], wanted: str | None) -> None:
    """A variable's value is text as it stands, neither YAML nor searched for variables; an unknown one is an error."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"a": text}))
    if wanted is None:
        with pytest.raises(ConfigError):
            read_job(tmp_path / "job.yaml", environ)
    else:
        assert read_job(tmp_path / "job.yaml", environ) == {"a": wanted}
