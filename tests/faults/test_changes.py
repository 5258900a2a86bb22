"""Input and job that are not what they were when the run began: refused with the difference, or gone on with."""

import json
import os
from typing import Any

import msgspec
import pytest

from streamproc import DataProcessingPipeline, PipelineConfig
from streamproc.cli.exits import REFUSED, code_of
from streamproc.errors import Refused
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

DONE, ROWS = 20, 30
KINDS = ["jsonl", "csv"]


class Scene:
    """A job in a folder, of which so many records are done."""

    def __init__(self, folder, kind="jsonl", sink="jsonl", **llm):
        self.kind = kind
        self.input = folder / f"in.{kind}"
        self.output = folder / "out"
        self.rows = [f"t{number}" for number in range(ROWS)]
        self.write(self.rows)
        self.tree: dict[str, Any] = {
            "source": {"type": kind, "path": str(self.input)},
            "llm": {"model": "m", "prompt": "Say {{ text }}", "base_url": "http://127.0.0.1:1/v1", **llm},
            "sink": {"type": sink, "path": str(self.output)},
        }
        self.model = ScriptedCompleter(lambda request, _: str(request.messages[-1].content))

    def write(self, rows, end="\n"):
        """Write the input anew, in a file of its own."""
        lines = rows if self.kind == "csv" else [json.dumps({"text": row}) for row in rows]
        header = ["text,n"] if self.kind == "csv" else []
        lines = [f"{line},1" for line in lines] if self.kind == "csv" else lines
        fresh = self.input.with_suffix(".new")
        fresh.write_text("\n".join([*header, *lines]) + end)
        fresh.replace(self.input)

    def run(self, limit=None):
        """Run or continue, on virtual time; give the report."""
        config = PipelineConfig.from_tree(self.tree)
        return run_virtual(DataProcessingPipeline(config, completer=self.model).run(limit=limit))

    def files(self):
        return {
            path: path.read_bytes()
            for path in self.output.parent.iterdir()
            if path.name.startswith("out") and path.is_file()
        }


def edited(rows):
    return [*rows[:7], "other", *rows[8:]]


def inserted(rows):
    return [*rows[:7], "new", *rows[7:]]


def deleted(rows):
    return [*rows[:7], *rows[8:]]


def reordered(rows):
    return [*rows[:7], rows[8], rows[7], *rows[9:]]


def truncated(rows):
    return rows[: DONE - 1]


def emptied(rows):
    return []


def first_gone(rows):
    return rows[1:]


def appended(rows):
    return [*rows, "more", "and more"]


def edited_beyond(rows):
    return [*rows[:-1], "other"]


def truncated_beyond(rows):
    return rows[: DONE + 2]


def the_same(rows):
    return rows


@pytest.mark.fault(47)
@pytest.mark.promise("P15")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
@pytest.mark.parametrize("change", [edited, inserted, deleted, reordered, truncated, emptied, first_gone])
def test_a_change_of_what_is_delivered_is_refused(change, kind, sink, tmp_path, figure):
    """Where a delivered row is not what it was, the run is refused with its place and both digests, nothing is asked
    and nothing touched; with the input restored it goes on."""
    scene = Scene(tmp_path, kind, sink)
    scene.run(limit=DONE)
    scene.write(change(scene.rows))
    before, asked = scene.files(), scene.model.attempts.total()
    with pytest.raises(
        Refused, match=r"record \d+ (changed since .*was \w+, now \w+|was delivered .* gone)"
    ) as refused:
        scene.run()
    assert code_of(refused.value) == REFUSED
    assert scene.input.name in str(refused.value)
    assert scene.model.attempts.total() == asked
    assert sink == "sqlite" or scene.files() == before  # opening a database may fold its log in
    scene.write(scene.rows)
    assert scene.run().completed == ROWS - DONE
    figure.add(1, "changes of input refused")


@pytest.mark.fault(47)
@pytest.mark.promise("P15")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [appended, edited_beyond, truncated_beyond, the_same])
def test_a_change_beyond_what_is_delivered_is_gone_on_with(change, kind, tmp_path):
    """What was not delivered yet may grow, change or go, in a new file under the same name or under another one; so may
    the last line feed."""
    scene = Scene(tmp_path, kind)
    scene.run(limit=DONE)
    rows = change(scene.rows)
    scene.write(rows, end="")
    moved = scene.input.with_name(f"moved.{kind}")
    scene.input.rename(moved)
    scene.tree["source"]["path"] = str(moved)
    assert scene.run().completed == len(rows) - DONE
    assert scene.run().records == 0
    texts = [json.loads(line)["input"]["text"] for line in scene.output.read_text().splitlines()]
    assert sorted(texts) == sorted(rows)


@pytest.mark.fault(47)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["replaced", "grown", "shortened"])
def test_a_change_while_a_run_reads(change, kind, tmp_path):
    """A file that is replaced or grows while it is read is read as it was at the start; one that is cut off is refused,
    and no half of a row is ever asked about."""
    scene = Scene(tmp_path, kind)
    scene.rows = [f"t{number}-{'x' * 4000}" for number in range(3000)]  # far more than is read ahead
    scene.write(scene.rows)
    config = PipelineConfig.from_tree(scene.tree)
    asked = []

    def answer(request, attempt):
        asked.append(str(request.messages[-1].content))
        if len(asked) == 50:
            if change == "replaced":
                scene.write(["another", "file"])
            elif change == "grown":
                with scene.input.open("a") as file:
                    file.write("{half a ro")
            else:
                os.truncate(scene.input, scene.input.stat().st_size // 2 + 2000)
        return "ok"

    run = DataProcessingPipeline(config, completer=ScriptedCompleter(answer)).run()
    if change == "shortened":
        with pytest.raises(Refused, match="shorter while it was read"):
            run_virtual(run)
    else:
        report = run_virtual(run)
        assert (report.ending, report.completed, report.failed) == ("finished", 3000, 0)
    assert set(asked) <= {f"Say {row}" for row in scene.rows}


OTHER = {
    "llm.prompt": ("Say {{ text }}", "Sing {{ text }}"),
    "llm.system_prompt": (None, "You are terse."),
    "llm.model": ("m", "n"),
    "llm.base_url": ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"),
    "llm.deployment": (None, "d"),
    "llm.endpoint": (None, "completions"),
    "llm.parameters": ({"temperature": 0}, {"temperature": 1}),
    "source.id_field": (None, "text"),
    "source.delimiter": (",", ";"),
    "source.type": ("csv", "jsonl"),
}
"""Keys that change what a row means, with a value before and another after; `None` for not set."""
SAME = {
    "llm.api_key_env": "ANOTHER_KEY",
    "llm.timeout_seconds": 7.0,
    "llm.max_attempts": 9,
    "llm.ambiguous_retries": 0,
    "llm.requests_per_minute": 600.0,
    "llm.tokens_per_minute": 600_000.0,
    "llm.unreachable_seconds": 7.0,
    "llm.ca_file": None,  # read when the client is made, which these tests do not
    "cache.enabled": False,
    "cache.backend": "memory",
    "cache.path": "cache.db",
    "cache.url": None,  # of a server
    "cache.namespace": "other",
    "cache.ttl_hours": 1.0,
    "cache.max_size_mb": 7.0,
    "cache.policy": "gdsf",
    "cache.share_samples": True,
    "cache.timeout_seconds": 1.0,
    "cache.lease_seconds": 1.0,
    "cache.lease_wait_seconds": 1.0,
    "resources.monitoring_enabled": False,
    "resources.max_memory_mb": 4000.0,
    "resources.max_cpu_percent": 50.0,
    "resources.max_concurrent": 7,
    "resources.warning_ratio": 0.5,
    "resources.critical_ratio": 0.99,
    "resources.stall_seconds": 7.0,
    "resources.gpu_monitoring": True,
    "resources.deadline_seconds": 700.0,
    "batch_processing.adaptive_sizing": False,
    "batch_processing.initial_size": 7,
    "batch_processing.min_size": 2,
    "batch_processing.max_size": 70,
    "concurrency.adaptive": False,
    "concurrency.initial": 7,
    "concurrency.min": 2,
    "alerts.webhook_url_env": None,  # asks for an address
    "alerts.allow_private": True,
    "source.path": None,  # see above: moved input is the same
    "sink.path": None,  # another output is another run
    "sink.ordered": True,
    "sink.type": None,  # another kind of output at the same path is no output of ours
    "drain_seconds": 7.0,
}
"""Keys that may change from run to run, with another value; `None` where there is more to it."""


def put(tree, place, value):
    section, _, key = place.rpartition(".")
    holder = tree.setdefault(section, {}) if section else tree
    if value is None:
        holder.pop(key, None)
    else:
        holder[key] = value


@pytest.mark.fault(48)
@pytest.mark.promise("P15")
@pytest.mark.parametrize("place", OTHER)
def test_a_key_that_changes_what_rows_mean_is_refused_with_both_values(place, tmp_path, figure):
    """A run is not continued with another value of such a key; the refusal has its name and both values."""
    scene = Scene(tmp_path, "csv", **({"deployment": "c"} if place == "llm.deployment" else {}))
    was, now = OTHER[place]
    put(scene.tree, place, was or scene.tree[place.partition(".")[0]].get(place.rpartition(".")[2]))
    scene.run(limit=DONE)
    asked = scene.model.attempts.total()
    if place == "source.type":
        scene.input.write_text('{"text": "a"}\n' * ROWS)
    put(scene.tree, place, now)
    with pytest.raises(Refused) as refused:
        scene.run()
    assert code_of(refused.value) == REFUSED
    shown = {"llm.parameters": '{"temperature":1}', "llm.base_url": now, "source.type": "jsonl"}.get(place, now)
    name = "llm.deployment" if place == "llm.base_url" else place
    (line,) = [line for line in str(refused.value).splitlines() if line.startswith(f"  {name}: ")]
    assert " was " in line
    assert f"now {shown!r}" in line
    assert line.count(repr(shown)) == 1, "it shows one value twice"
    assert scene.model.attempts.total() == asked
    figure.add(1, "keys of which a change is refused")


@pytest.mark.fault(48)
@pytest.mark.promise("P15")
@pytest.mark.parametrize("place", [place for place, value in SAME.items() if value is not None])
def test_a_key_that_changes_how_a_run_works_is_accepted(place, tmp_path, monkeypatch):
    """A run is continued with another value of every other key."""
    monkeypatch.chdir(tmp_path)
    scene = Scene(tmp_path)
    scene.run(limit=DONE)
    put(scene.tree, place, SAME[place])
    assert scene.run().completed == ROWS - DONE


def test_every_key_of_a_job_is_one_or_the_other():
    """No key is forgotten here: each either changes what rows mean or does not."""
    keys = set()
    for section in msgspec.structs.fields(PipelineConfig):
        default = section.default
        kind = {"llm": "LlmConfig"}.get(section.name)
        if section.name in {"source", "sink"}:
            continue
        if kind is None and not isinstance(default, msgspec.Struct):
            keys.add(section.name)
            continue
        fields = msgspec.structs.fields(section.type if kind else type(default))
        keys |= {f"{section.name}.{field.name}" for field in fields}
    plugins = {"source.type", "source.path", "source.id_field", "source.delimiter"}
    plugins |= {"sink.type", "sink.path", "sink.ordered"}
    assert keys | plugins == OTHER.keys() | SAME.keys()
