"""The command from its first run to the proof that it did right, against a simulated endpoint over HTTP."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from tests.cli.job import Job

SUMMARY_KEYS = frozenset(
    {
        "records",
        "completed",
        "failed",
        "cache_hits",
        "coalesced",
        "model_calls",
        "retries",
        "prompt_tokens",
        "completion_tokens",
        "elapsed_seconds",
        "records_per_second",
        "peak_concurrency",
        "final_concurrency",
        "peak_memory_bytes",
        "limited_by",
        "recommendations",
        "alerts",
    }
)
"""What a summary always holds."""
CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture
def job(tmp_path, command, endpoint) -> Job:
    return Job(tmp_path, command, endpoint)


def everything(stop: int) -> Counter[str]:
    return Counter(f"r{n}" for n in range(stop))


def test_a_run_completes_every_record_once_and_tells_its_figures(job):
    """A run ends with 0, one row a record, and a summary that holds every documented key."""
    before = job.requests
    summary = job.run()

    assert summary.keys() >= SUMMARY_KEYS
    assert (summary["records"], summary["completed"], summary["failed"], summary["model_calls"]) == (30, 30, 0, 30)
    assert job.requests - before == 30
    assert job.ids() == everything(30)
    row = next(row for row in job.rows() if row["id"] == "r7")
    assert row.keys() == {"id", "input", "output", "model", "finish_reason", "usage", "origin", "attempts"}
    assert (row["input"], row["origin"], row["attempts"]) == ({"id": "r7", "text": "word 7"}, "model", 1)


def test_a_summary_goes_to_a_file_and_standard_output_stays_empty(job):
    """With a path the summary is that file's JSON, and results are never mixed with what is shown."""
    ended = job("run", "--summary-json", "summary.json")
    assert (ended.code, ended.out) == (0, "")
    assert json.loads((job.folder / "summary.json").read_text())["completed"] == 30
    assert "30 records" in ended.err
    assert "out.jsonl" in ended.err


def test_a_summary_says_where_a_record_spent_its_time(job):
    """The stages add up to the mean of a record's time; the lines for people show their shares, the largest first."""
    ended = job("run", "--summary-json", "summary.json")
    summary = json.loads((job.folder / "summary.json").read_text())
    assert sum(summary["stage_seconds"].values()) == pytest.approx(30 * summary["mean_record_seconds"])
    assert summary["stage_seconds"]["endpoint"] > 0
    (line,) = (line for line in ended.err.splitlines() if line.startswith("  a record "))
    shares = [int(share) for share in re.findall(r"(\d+)% [a-z]", line)]
    assert shares == sorted(shares, reverse=True)
    assert 90 <= sum(shares) <= 105
    assert job("run").err.count("  a record ") == 0


def test_bad_records_become_dead_letters_with_their_line(job):
    """Rows that cannot be read or rendered end in the dead letters with line or field, and the run with 1."""
    with (job.folder / "in.jsonl").open("ab") as file:
        file.write(b'{broken\n"text"\n\xff\n{"id": "bare"}\n{"text": "no id"}\n')
    summary = job.run(code=1)

    assert (summary["completed"], summary["failed"], summary["dead_letters"]) == (30, 5, 5)
    letters = {row["id"]: row["error"] for row in job.rows(".dead.jsonl")}
    assert letters.keys() == {"line-31", "line-32", "line-33", "bare", "line-35"}
    assert all(f"line {n}: " in letters[f"line-{n}"]["message"] for n in (31, 32, 33, 35))
    assert (letters["bare"]["type"], "no field 'text'" in letters["bare"]["message"]) == ("render_failed", True)
    assert job("run").code == 1
    assert job("verify").code == 0


def test_a_finished_run_says_so_and_sends_nothing(job):
    """The same command on a finished job sends nothing, changes nothing and ends with 0."""
    job.run()
    before, output = job.requests, job.output.read_bytes()
    ended = job("run")
    assert (ended.code, "nothing left to do: all 30 records" in ended.err) == (0, True)
    assert (job.requests, job.output.read_bytes()) == (before, output)


def test_grown_input_is_continued(job):
    """Records appended to the input are done by the next run, and no other."""
    job.run()
    job.grow(30, 40)
    assert job.run()["model_calls"] == 10
    assert job.ids() == everything(40)


def test_a_limit_is_continued(job):
    """With --limit at most that many records are accepted, and the next runs take up the rest."""
    assert job.run("--limit", 12)["records"] == 12
    assert job("verify").code == 1
    assert job.run("--limit", 12)["records"] == 12
    assert job.run()["records"] == 6
    assert job.ids() == everything(30)
    assert job("verify").code == 0


def test_overwriting_does_not_pay_again(job):
    """--overwrite starts anew, and takes what was paid from the cache."""
    job.run()
    before = job.requests
    summary = job.run("--overwrite")
    assert (summary["completed"], summary["cache_hits"], summary["model_calls"]) == (30, 30, 0)
    assert job.requests == before
    assert job.ids() == everything(30)
    assert {row["origin"] for row in job.rows()} == {"cache"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("llm.prompt='Shout {{ text }}'", ("llm.prompt: was 'Say {{ text }}', now 'Shout {{ text }}'",)),
        ("llm.model=other", ("llm.model: was 'm', now 'other'",)),
        ("llm.parameters={max_tokens: 60}", ("llm.parameters", '{"max_tokens":50}', '{"max_tokens":60}')),
    ],
)
def test_changed_settings_are_refused_with_both_values(job, setting, words):
    """A run of other work is refused with 3, both values and the ways out, and nothing is sent or changed."""
    job.run()
    before, output = job.requests, job.output.read_bytes()
    ended = job("run", "--set", setting)
    assert (ended.code, [word for word in (*words, "--overwrite") if word not in ended.err]) == (3, [])
    assert (job.requests, job.output.read_bytes()) == (before, output)


def test_changed_input_is_refused_with_its_line(job):
    """A delivered row that is no longer what it was is refused with 3 and its line; so is one that is gone."""
    job.run()
    source = job.folder / "in.jsonl"
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*lines[:6], lines[6].replace("word", "wort"), *lines[7:]]))
    edited = job("run")
    source.write_text("".join(lines[:20]))
    shortened = job("run")

    assert (edited.code, "in.jsonl line 7: record 6 changed" in edited.err, "--overwrite" in edited.err) == (
        3,
        True,
        True,
    )
    assert (shortened.code, "record 20 was delivered" in shortened.err, "shorter" in shortened.err) == (3, True, True)


def test_a_damaged_output_is_not_continued(job):
    """A run on damaged output is refused with 3 and its place, and leaves it as it is."""
    job.run()
    data = bytearray(job.output.read_bytes())
    data[len(data) // 2] ^= 1
    job.output.write_bytes(data)
    output = job.output.read_bytes()
    ended = job("run")
    assert (ended.code, "out.jsonl is damaged: bytes " in ended.err) == (3, True)
    assert job.output.read_bytes() == output


def test_a_wrong_key_stops_the_run_and_is_never_shown(tmp_path, command, guarded_endpoint):
    """A refused key ends the run with 4 and what to do; with the right key the same command continues."""
    job = Job(tmp_path, command, guarded_endpoint)
    ended = job("run", "--log-level", "debug", OPENAI_API_KEY=CANARY)
    assert (ended.code, "Check the API key" in ended.err, CANARY in ended.out + ended.err) == (4, True, False)
    assert "the same command continues" in ended.err
    assert job.run(OPENAI_API_KEY=" sk-the-right-key\n")["completed"] == 30


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_key_in_an_error_is_struck_out(job, form):
    """Where an error repeats the key, the log strikes it out."""
    (job.folder / "in.jsonl").write_text(json.dumps({"id": "r0", "text": CANARY}) + "\n")
    options = ("--log-level", "debug", "--log-bodies", "--log-format", form, "--set", "llm.prompt='{{ {}[text] }}'")
    ended = job("run", *options, OPENAI_API_KEY=CANARY)
    assert (ended.code, "has no attribute" in ended.err, "[redacted]" in ended.err, CANARY in ended.err) == (
        1,
        True,
        True,
        False,
    )


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_key_is_neither_shown_nor_stored(job, form):
    """The key appears in no output and in no file, at the most talkative level."""
    options = ("--log-level", "debug", "--log-format", form, "--progress", "plain")
    told = [job("run", *options, OPENAI_API_KEY=CANARY), job("check", OPENAI_API_KEY=CANARY)]
    told.append(job("run", *options, OPENAI_API_KEY=CANARY))
    told.append(job("verify", OPENAI_API_KEY=CANARY))
    files = [path for path in job.folder.rglob("*") if path.is_file()]

    assert [ended.code for ended in told] == [0, 0, 0, 0]
    assert [ended for ended in told if CANARY in ended.out + ended.err] == []
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    assert {"state.db", "cache.db", "lock"} <= {path.name for path in files}


def test_a_json_log_is_one_object_a_line(job):
    """With --log-format json everything on standard error is JSON lines, errors included."""
    told = [job("run", "--log-format", "json") for _ in range(2)]
    told.append(job("run", "--log-format", "json", "--set", "llm.model=other"))
    told.append(job("run", "--log-format", "json", "--set", "llm.modle=other"))
    events = [[json.loads(line) for line in ended.err.splitlines()] for ended in told]

    first = [event for event in events[0] if event["event"] != "knob.changed"]
    assert [event["event"] for event in first] == ["run.started", "run.finished"]
    assert first[1]["records"] == 30
    assert [event["event"] for event in events[1]] == ["run.resumed", "run.finished"]
    assert [(lines[-1]["event"], lines[-1]["exit_code"]) for lines in events[2:]] == [
        ("command.failed", 3),
        ("command.failed", 2),
    ]
    assert "llm.modle: unknown key" in events[3][-1]["reason"]


def test_check_shows_settings_and_the_first_request_without_a_network(job):
    """`check` shows what a run would use and send, tells whether the key is set, and asks nobody."""
    before = job.requests
    ended = job("check", "--set", "llm.system_prompt=Be brief", "--set", "cache.ttl_hours=2", OPENAI_API_KEY=CANARY)

    assert (ended.code, job.requests) == (0, before)
    assert "ttl_hours: 2" in ended.out
    assert "api_key_env: OPENAI_API_KEY" in ended.out
    assert "OPENAI_API_KEY is set" in ended.out
    _, _, request = ended.out.partition("# the first request, for record 'r0':\n")
    assert json.loads(request) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Say word 0"}],
        "max_tokens": 50,
    }
    assert "OPENAI_API_KEY is not set" in job("check").out
    assert not job.output.exists()


def test_check_shows_the_types_of_source_and_sink(job):
    """What `check` shows is a job file again: `check` on it shows the same."""
    shown = job("check").out
    settings, _, _ = shown.partition("\n# ")
    (job.folder / "job.yaml").write_text(settings)
    assert job("check").out == shown


def test_the_cache_can_be_looked_at_pruned_and_cleared(job):
    """`cache` counts the answers, removes those whose time is over, and all; cleared answers are paid again."""
    assert "no answers yet" in job._command("cache", "stats", "job.yaml").out
    job.run()
    said = [job._command("cache", name, "job.yaml") for name in ("stats", "prune", "clear", "stats")]
    assert [ended.code for ended in said] == [0, 0, 0, 0]
    expected = ("30 answers, ", "0 answers removed", "30 answers removed", "0 answers, 0 bytes")
    assert [word for word, ended in zip(expected, said, strict=True) if word not in ended.out] == []
    assert job.run("--overwrite")["model_calls"] == 30


def test_nothing_is_discarded_for_a_cache_that_is_another_programs(job):
    """--overwrite with a cache path that names somebody's file is refused before the earlier output goes."""
    job.run()
    before = job.output.read_bytes()
    (job.folder / "tickets.csv").write_text("precious\n")
    assert job("run", "--overwrite", "--set", "cache.path=tickets.csv").code == 3
    assert (job.output.read_bytes(), (job.folder / "tickets.csv").read_text()) == (before, "precious\n")


def test_paths_of_the_command_line_are_taken_as_they_are(job):
    """--input and --output replace the job's paths, with spaces, quotes and YAML's own characters in them."""
    (job.folder / "in.jsonl").rename(job.folder / "it's: [my] #1 input.jsonl")
    ended = job("run", "--input", "it's: [my] #1 input.jsonl", "--output", "täg: {x}'s.jsonl")
    assert ended.code == 0, ended
    assert len((job.folder / "täg: {x}'s.jsonl").read_text().splitlines()) == 30


def test_the_environment_sets_and_the_command_line_overrides(job):
    """A setting comes from the job, then the environment, then --set; what comes later wins."""
    shown = job("check", STREAMPROC_BATCH_SIZE="20", STREAMPROC_MAX_BATCH_SIZE="50").out
    assert "initial_size: 20" in shown
    assert "max_size: 50" in shown
    shown = job("check", "--set", "batch_processing.initial_size=30", STREAMPROC_BATCH_SIZE="20").out
    assert "initial_size: 30" in shown
