"""An endpoint that refuses: the key, the money, the pace, the address. Over real sockets, on virtual time."""

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaviours import MONEY
from tests.faults.network import Scene

RECORDS, CONCURRENCY = 200, 8
STOPPING = ["401", "402", "403", "404", "404-model", "302", "307", *(f"429-{name}" for name in MONEY)]
ROW = {"401": 37, "402": 36, "403": 37, "302": 44, "307": 44}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, RECORDS)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("begins", [1, 100])
@pytest.mark.parametrize("do", [pytest.param(do, marks=pytest.mark.fault(ROW.get(do, 36))) for do in STOPPING])
def test_what_a_person_must_mend_stops_the_run(do: str, begins: int, scene: Scene, figure: Any) -> None:
    """From the first refusal on, at most the calls in the air are asked, and a probe where the key had worked; the run
    stops within 2 s, what was answered is kept, and continuing pays nothing again."""
    pace = {"do": "answer", "after": [0.05, 0.4]}
    scene.run([{"do": do, "requests": [begins, 10**6]}, pace], CONCURRENCY)
    assert scene.stop is not None
    assert scene.report is not None
    assert scene.report.ending == "stopped"
    refused = [request for request in scene.requests if request["did"] == do]
    after = len(scene.requests) - begins
    assert after <= CONCURRENCY + (do == "401")
    assert scene.seconds - refused[0]["at"] <= 2
    assert scene.dead() == {}
    figure.most(after, "requests after the refusal, 8 at once")
    figure.most(round(scene.seconds - refused[0]["at"], 1), "s to the end")
    scene.run([pace], CONCURRENCY)
    scene.judged(repayable=0)


@pytest.mark.fault(37)
def test_a_key_that_is_refused_once_is_probed(scene: Scene) -> None:
    """A gateway that errs once about a key that works costs a second, not the run."""
    report = scene.run([{"do": "401", "requests": [100, 100]}, {"do": "answer", "after": 0.1}], CONCURRENCY)
    assert report.ending == "finished"
    scene.judged()


@pytest.mark.fault(44)
@pytest.mark.parametrize("do", ["302", "307"])
def test_a_redirect_is_not_followed(do: str, scene: Scene) -> None:
    """Where an endpoint redirects, nothing at all is sent there, the key least of all."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        where = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v1/chat/completions"
        scene.run([{"do": do, "location": where}])
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert "redirect" in str(scene.stop)


SPELLED = ["429-seconds", "429-float", "429-ms", "429-date", "429-skewed-date"]


@pytest.mark.fault(35)
@pytest.mark.promise("P9")
@pytest.mark.parametrize("do", SPELLED)
@pytest.mark.parametrize("wait", [2, 7])
def test_what_is_asked_is_waited_for(do: str, wait: int, scene: Scene, figure: Any) -> None:
    """However a wait is spelled: from the moment a refusal can have been read until the wait is over nobody asks, and
    on average somebody does within half a second after it."""
    rules = [
        *({"do": do, "requests": [number, number], "wait": wait} for number in (5, 60, 120)),
        {"do": "answer", "after": [0.1, 0.3]},
    ]
    report = scene.run(rules, CONCURRENCY)
    assert report.ending == "finished"
    assert scene.dead() == {}
    scene.judged()
    late = []
    for refusal in [request for request in scene.requests if request["asked"] is not None]:
        told, due = refusal["at"] + refusal["took"], refusal["at"] + wait
        after = [request["at"] for request in scene.requests if request["at"] > told + 0.01]
        early = [at for at in after if at < due - 0.01]
        assert not early
        late.append(min(after) - due)
    assert len(late) == 3
    mean = sum(late) / len(late)
    assert mean < 0.5
    figure.add(0, "requests that came early")
    figure.most(round(mean, 2), "s late on average")


@pytest.mark.fault(35)
@pytest.mark.parametrize("do", ["429-nan", "429-negative", "429"])
def test_a_wait_that_is_none_is_none(do: str, scene: Scene) -> None:
    """NaN and negative waits are no waits: what is refused so is tried again after pauses of our own."""
    report = scene.run([{"do": do, "share": 0.1, "seed": 1}, {"do": "answer", "after": 0.1}], CONCURRENCY)
    assert report.ending == "finished"
    scene.judged()


@pytest.mark.fault(35)
def test_a_wait_beyond_every_measure_stops_the_run(scene: Scene) -> None:
    """Whoever asks to wait for thirty years is not waited for: the run stops, and can be continued."""
    scene.run([{"do": "429-huge", "requests": [50, 50]}, {"do": "answer", "after": 0.1}], CONCURRENCY)
    assert scene.stop is not None
    assert "1e+09 s" in str(scene.stop)
    assert scene.seconds < 10
    scene.run()
    scene.judged()


@pytest.mark.slow
@pytest.mark.fault(35)
@pytest.mark.promise("P10")
def test_after_a_storm_nobody_floods(tmp_path: Path, figure: Any) -> None:
    """A minute in which 95 of 100 requests are refused without a hint: from its end on under a tenth of the requests
    are wasted, and within 30 s nine tenths of the earlier goodput are back."""
    begins, ends = 20, 80
    scene = Scene(tmp_path, 5200)
    storm = {"do": "429", "seconds": [begins, ends], "share": 0.95, "seed": 7}
    report = scene.run([storm, {"do": "answer", "after": [0.3, 0.7]}], 32)
    assert report.ending == "finished"
    assert scene.dead() == {}
    scene.judged()
    answered = [request["at"] for request in scene.requests if request["did"] == "answer"]
    before = sum(begins - 10 <= at < begins for at in answered) / 10
    after = sum(ends + 30 <= at < ends + 40 for at in answered) / 10
    back = next(
        second
        for second in range(200)
        if sum(ends + second <= at < ends + second + 3 for at in answered) / 3 >= 0.9 * before
    )
    asked = [request for request in scene.requests if ends <= request["at"] < ends + 30]
    wasted = sum(request["did"] != "answer" for request in asked) / len(asked)
    figure.say(f"{wasted:.1%} wasted after it, 90 % of the goodput back after {back} s")
    assert wasted < 0.1
    assert back <= 30
    assert after >= 0.9 * before
    during = sum(begins <= request["at"] < ends for request in scene.requests)
    figure.say(f"{during} requests in the minute of the storm, {before * 60:.0f} in one before it")
