"""The supervisor of a run: what it turns and logs, and what goes wrong in it without harm."""

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.performance import REOPEN_HEADROOM, PerformanceOptimizer
from streamproc.flow.meter import Snapshot
from streamproc.monitoring.alerting import ResourceAlert
from streamproc.monitoring.free_memory import FreeMemory
from streamproc.pipeline.knobs import Knob, KnobLog
from streamproc.pipeline.supervisor import GUARDS_A_TICK
from streamproc.pipeline.vigil import Vigil
from streamproc.simulation.completer import SimulatedCompleter
from streamproc.simulation.profiles import profile_named
from streamproc.simulation.virtual_time import run_virtual
from tests.pipeline.scenes import Echo, SlowSource, config, play, played, records


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, event: str) -> list[dict[str, Any]]:
        """Give the fields of each line of an event."""
        return [vars(record) for record in self.records if record.getMessage() == event]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is logged from here on."""
    log, handler = logging.getLogger("streamproc"), Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def turns_of(script: list[list[int]], step: float) -> list[dict[str, Any]]:
    """Turn a knob as often as said between looks; give what is logged."""
    log, handler = logging.getLogger("streamproc"), Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    size = [100]
    try:
        book = KnobLog([Knob("k", lambda: size[0], lambda: f"made {size[0]}", step)])
        for turns in script:
            for turn in turns:
                size[0] = turn
            book.look()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return handler.of("knob.changed")


@given(
    st.lists(st.lists(st.integers(1, 1000), max_size=4), max_size=20),
    st.sampled_from([0.0, 0.1, 0.25]),
)
def test_a_knob_is_logged_once_a_look_with_old_new_and_reason(script: list[list[int]], step: float) -> None:
    """However often it turned between two looks: one line at most, each begins where the one before ended, and what is
    not logged is less than a step away."""
    told = turns_of(script, step)
    assert len(told) <= len(script)
    for line in told:
        assert (line["knob"], line["reason"]) == ("k", f"made {line['new']}")
        assert line["new"] != line["old"]
        assert abs(line["new"] - line["old"]) >= step * line["old"]
    assert all(before["new"] == after["old"] for before, after in pairwise(told))
    flat = [turn for turns in script for turn in turns] or [100]
    last = told[-1]["new"] if told else 100
    assert flat[-1] == last or abs(flat[-1] - last) < step * last


def test_a_search_is_logged_as_it_goes(lines: Lines) -> None:
    """A plain example: a run on a simulated endpoint logs each change of the calls allowed, from the initial 8 on, at
    most once a second, with a reason."""
    report = play(3000, config(), SimulatedCompleter(profile_named("hard-knee")))
    told = [line for line in lines.of("knob.changed") if line["knob"] == "llm_call_permits"]
    assert told[0]["old"] == 8
    assert told[-1]["new"] == report.final_concurrency
    assert all(before["new"] == after["old"] for before, after in pairwise(told))
    assert all(line["reason"] for line in told)
    assert len(told) <= report.elapsed_seconds + 1


def raising(*_: object, **__: object) -> Any:
    raise RuntimeError("a mistake in deciding")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(PerformanceOptimizer, "plan"), (PerformanceOptimizer, "span_for"), (Vigil, "tick"), (Vigil, "memory_headroom")],
)
def test_what_decides_may_fail(owner: type, name: str, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """A mistake in deciding or looking is logged once; the run goes on to its end with its knobs as they were."""
    monkeypatch.setattr(owner, name, raising)
    report = play(500, config({"adaptive": False, "initial": 7}), Echo(0.2))
    assert (report.completed, report.ending) == (500, "finished")
    assert report.final_concurrency == 7
    failed = lines.of("supervisor.failed")
    assert [(line["error_type"], line["reason"]) for line in failed] == [("RuntimeError", "a mistake in deciding")]
    assert [line for line in lines.of("knob.changed") if line["knob"] == "records_span"] == []


def test_a_watcher_that_raises_is_dropped(lines: Lines) -> None:
    """It is logged and not asked again; the others see every second."""
    asked, seen = [0], []

    def broken(_: Snapshot) -> None:
        asked[0] += 1
        raise KeyError("no such figure")

    watchers: list[Callable[[Snapshot], None]] = [broken, lambda snapshot: seen.append(snapshot.at)]
    report = run_virtual(played(80, config({"adaptive": False}), Echo(1.0)).run(watchers=watchers))
    assert (report.completed, asked) == (80, [1])
    assert [round(at) for at in seen][:10] == list(range(1, 11))
    assert [line["error_type"] for line in lines.of("watcher.dropped")] == ["KeyError"]


def alerts_of(count: int, settings: Any, completer: Any, **parts: Any) -> tuple[Any, list[ResourceAlert]]:
    """Run; give the report and the alerts about stalls that the caller was told of."""
    told: list[ResourceAlert] = []
    report = play(count, settings, completer, on_alert=told.append, **parts)
    return report, [alert for alert in told if alert.metric == "stall"]


def test_a_stall_is_alerted_and_resolved() -> None:
    """An endpoint that answers nothing for 60 s, with calls in the air and a patience of 20 s: one alert after 25 s,
    and its end once it is known to go on."""
    settings = config({"adaptive": False, "initial": 4}, {"stall_seconds": 20.0})
    report, told = alerts_of(400, settings, Echo(1.0, hangs=(30.0, 90.0)))
    assert report.completed == 400
    assert [(alert.level, alert.state) for alert in told] == [("warning", "firing"), ("warning", "resolved")]
    assert 54 <= told[0].at <= 58
    assert told[1].at <= 110
    assert "The time since the last record was delivered" in told[0].message
    assert [line.split(":")[0] for line in report.alerts if "stall" in line] == ["stall firing", "stall resolved"]


def test_waiting_for_input_is_no_stall() -> None:
    """With nothing on its way nothing can be stalled, however long the source takes."""
    settings = config({"adaptive": False}, {"stall_seconds": 5.0})
    report, told = alerts_of(6, settings, Echo(1.0), source=SlowSource(records(6), 200.0))
    assert (report.completed, told) == (6, [])


@given(st.floats(1, 40), st.floats(0.1, 60))
def test_a_stall_is_alerted_exactly_when_it_lasts(patience: float, seconds: float) -> None:
    """Calls that each take so long are alerted if that is clearly more than the patience, never if it is less."""
    settings = config({"adaptive": False, "initial": 2}, {"stall_seconds": patience})
    _, told = alerts_of(6, settings, Echo(seconds))
    if seconds > patience + 8:
        assert told
    if seconds < patience - 0.1:
        assert not told


def test_without_monitoring_there_are_no_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No vigil, no alert, not even of a stall; the concurrency is searched for all the same."""
    monkeypatch.setattr(Vigil, "tick", raising)
    settings = config({"adaptive": False}, {"stall_seconds": 5.0, "monitoring_enabled": False})
    report, told = alerts_of(50, settings, Echo(1.0, hangs=(3.0, 90.0)))
    assert (report.completed, report.alerts, told) == (50, (), [])
    search = config(resources={"monitoring_enabled": False})
    report = play(3000, search, SimulatedCompleter(profile_named("hard-knee")))
    assert report.final_concurrency >= 45


def test_a_callback_that_raises_harms_no_run(lines: Lines) -> None:
    """It is logged; the run goes on, and its report has the alerts."""
    settings = config({"adaptive": False, "initial": 4}, {"stall_seconds": 20.0})
    report = play(100, settings, Echo(1.0, hangs=(5.0, 65.0)), on_alert=raising)
    assert report.completed == 100
    assert lines.of("alert.listener_failed")
    assert any("stall firing" in alert for alert in report.alerts)


def test_reading_stops_where_memory_is_critical_and_goes_on_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no memory is left one record at a time goes through; with a quarter of the headroom back, all of them."""
    left = {"headroom": 1.0}
    monkeypatch.setattr(Vigil, "memory_headroom", lambda _: left["headroom"])
    spans: dict[int, tuple[float, float]] = {}

    def look(snapshot: Snapshot) -> None:
        spans[round(snapshot.at)] = snapshot.gauges["records_span"], snapshot.gauges["records_span_limit"]

    async def main() -> None:
        running = played(4000, config({"adaptive": False, "initial": 50}), Echo(1.0))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: running.run(watchers=[look]))
            for at, headroom in ((10.1, 0.0), (70.1, REOPEN_HEADROOM), (90.1, 1.0)):
                await anyio.sleep_until(at)
                left["headroom"] = headroom
        assert running.report is not None
        assert running.report.completed == 4000
        assert any("memory is short" in advice for advice in running.report.recommendations)

    run_virtual(main())
    assert [spans[second][1] for second in (10, 65, 80, 95)] == [2048, 1, 1024, 2048]
    assert spans[65][0] <= 1 < spans[80][0]


def test_free_memory_is_given_back_while_it_is_short_and_for_a_while_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before memory is short, then until 30 s after it was: urgently only while reading is held back."""
    asked: dict[int, bool] = {}
    left = {10: 0.5, 20: 0.0, 30: 1.0}

    async def give_back(_: FreeMemory, now: float, *, urgent: bool = False) -> None:
        asked[int(now)] = urgent

    def headroom(_: Vigil) -> float:
        return next((share for since, share in reversed(left.items()) if anyio.current_time() >= since), 1.0)

    monkeypatch.setattr(FreeMemory, "give_back", give_back)
    monkeypatch.setattr(Vigil, "memory_headroom", headroom)
    play(800, config({"adaptive": False, "initial": 8}), Echo(1.0))
    assert sorted(asked) == list(range(10, 60))
    assert [second for second, urgent in asked.items() if urgent] == list(range(20, 30))


def test_giving_memory_back_may_fail(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """A mistake there is logged once, and the run goes on to its end."""
    monkeypatch.setattr(FreeMemory, "give_back", raising)
    monkeypatch.setattr(Vigil, "memory_headroom", lambda _: 0.5)
    assert play(100, config({"adaptive": False, "initial": 8}), Echo(1.0)).completed == 100
    assert len(lines.of("supervisor.failed")) == 1


def test_guarding_costs_little_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick run reads thousands of times a second; memory is looked at no more than a hundred, and at least
    four times, a second."""
    looks: list[float] = []

    def look(_: Vigil) -> float:
        looks.append(anyio.current_time())
        return 1.0

    monkeypatch.setattr(Vigil, "memory_headroom", look)
    report = play(20_000, config({"adaptive": False, "initial": 64}), Echo(0.02))
    assert GUARDS_A_TICK * int(report.elapsed_seconds) <= len(looks) <= 106 * report.elapsed_seconds + 10
