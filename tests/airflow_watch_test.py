"""Lag, triggers and sensor without an Airflow that runs: when they end or ring, what they keep, and that they never hold the loop."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow.serialization.encoders import encode_trigger
from airflow.triggers.base import BaseEventTrigger

import headrace
from headrace import recruitment
from headrace.airflow import lag as lag_module
from headrace.airflow import triggers
from headrace.airflow.lag import Lag, look
from headrace.airflow.secrets import has_password
from headrace.airflow.sensors import LagSensor
from headrace.airflow.triggers import DoorbellTrigger, LagTrigger

ROWS = 2_000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An embedded store, by its connection, whose topic holds all rows, none of them cleaned."""
    directory = tmp_path / "store"
    recruitment.simulate(tmp_path, rows=ROWS)
    recruitment.load(tmp_path / "tracking.csv", to=directory)
    recruitment.jobs(tmp_path / "job.csv", to=directory)
    recruitment.replay(from_=directory, to=directory)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "headrace", "host": f"embedded:{directory}"}))
    return str(directory)


async def first(events: AsyncIterator[Any]) -> Any:
    """What the first event says."""
    async for event in events:
        return event.payload
    raise AssertionError("there was no event")


def seen(monkeypatch: pytest.MonkeyPatch, *answers: Lag | Exception) -> None:
    """Makes the looks of triggers give these answers, the last one for ever."""
    left = list(answers)

    def answer(*_: object) -> Lag:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Exception):
            raise now
        return now

    monkeypatch.setattr(lag_module, "look", answer)


def lag(**ends: tuple[int, int]) -> Lag:
    """A lag by partition: the position and the end."""
    behind = sum(end - at for at, end in ends.values())
    return Lag(behind, {name: end for name, (_, end) in ends.items()}, {name: at for name, (at, _) in ends.items()})


def test_lag_is_what_is_not_committed(store: str) -> None:
    before = look("conn:store", "conn:store")
    assert (before.behind, sum(before.ends.values()), set(before.positions.values())) == (ROWS, ROWS, {0})
    assert before.last_commit is None and "last commit none" in str(before)
    cleaned = recruitment.clean(from_=Path(store), to=Path(store))
    after = look("conn:store", "conn:store")
    assert (after.behind, after.positions) == (0, cleaned.positions)
    assert after.last_commit is not None and after.last_commit.endswith(" UTC")
    assert json.loads(json.dumps(after.values())) == after.values()
    assert "positions" not in Lag(1, dict.fromkeys(map(str, range(1_000)), 1), {}).values()


def test_a_trigger_ends_when_enough_wait_or_when_none_does(store: str) -> None:
    waiting = LagTrigger("conn:store", "conn:store", above=ROWS - 1)
    assert asyncio.run(first(waiting.run()))["behind"] == ROWS
    recruitment.clean(from_=Path(store), to=Path(store))
    assert asyncio.run(first(LagTrigger("conn:store", "conn:store", drained=True).run()))["behind"] == 0


def test_a_trigger_looks_again_after_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, lag(a=(0, 5)), lag(a=(0, 6)), lag(a=(0, 7)))
    started = time.monotonic()
    assert asyncio.run(first(LagTrigger("a:", "b:", above=6, interval=0.1).run()))["behind"] == 7
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(("error", "is_final"), [(headrace.ConfigError("e"), True), (headrace.ExternalError("e"), False)])
def test_an_error_ends_a_trigger_and_its_kind_reaches_the_task(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_final: bool
) -> None:
    seen(monkeypatch, error)
    event = asyncio.run(first(LagTrigger("a:", "b:").run()))
    assert event == {"error": "e", "is_final": is_final}
    sensor = LagSensor(task_id="t", from_="a:", to="b:")
    with pytest.raises(AirflowFailException if is_final else AirflowException) as caught:
        sensor.execute_complete({}, event)
    assert (type(caught.value) is AirflowFailException) == is_final


def test_a_connection_that_is_not_there_is_final() -> None:
    event = asyncio.run(first(LagTrigger("conn:absent", "conn:absent").run()))
    assert event["is_final"] and "no connection `absent`" in event["error"]


def test_the_loop_goes_on_while_a_look_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(*_: object) -> Lag:
        inside.set()
        assert leave.wait(60)
        return lag(a=(0, 1))

    monkeypatch.setattr(lag_module, "look", slow)

    async def watch() -> Any:
        looking = asyncio.create_task(first(LagTrigger("a:", "b:").run()))
        while not inside.is_set():
            await asyncio.sleep(0.01)
        # The loop still does other things, and only now lets the look end.
        leave.set()
        return await looking

    assert asyncio.run(watch())["behind"] == 1


def test_a_cancelled_trigger_gives_its_question_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[headrace.CancellationToken] = []
    inside = threading.Event()

    def slow(_from: str, _to: str, _system: str, token: headrace.CancellationToken) -> Lag:
        tokens.append(token)
        inside.set()
        while not token.cancelled:
            time.sleep(0.01)
        return lag(a=(0, 0))

    monkeypatch.setattr(lag_module, "look", slow)

    async def cancel() -> None:
        looking = asyncio.create_task(first(LagTrigger("a:", "b:").run()))
        while not inside.is_set():
            await asyncio.sleep(0.01)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    asyncio.run(cancel())
    assert [token.cancelled for token in tokens] == [True]


def test_the_doorbell_rings_once_for_what_it_has_seen() -> None:
    bell = DoorbellTrigger("a:", "b:", again=100)
    assert not bell.hears(lag(a=(0, 0), b=(7, 7)), 0)
    assert bell.hears(lag(a=(0, 10), b=(7, 7)), 1)
    # More comes, some is committed: the run that was woken drains what is there.
    assert not any(bell.hears(state, at) for at, state in enumerate((lag(a=(0, 12)), lag(a=(5, 20)), lag(a=(9, 30))), 2))
    # What it rang for is done, and there is more.
    assert bell.hears(lag(a=(10, 30), b=(7, 7)), 5)
    assert not bell.hears(lag(a=(30, 30), b=(7, 7)), 6)
    assert not any(bell.hears(lag(a=(30, 30), b=(7, 7)), at) for at in range(7, 1_000, 50))
    assert bell.hears(lag(a=(30, 31), b=(7, 7)), 1_001)


def test_the_doorbell_rings_again_when_nobody_answers() -> None:
    bell = DoorbellTrigger("a:", "b:", again=100)
    rings = [at for at in range(0, 301, 10) if bell.hears(lag(a=(0, 10)), at)]
    assert rings == [0, 100, 200, 300]
    # It is answered, and there is far more. Somebody is at work: silence until nothing was committed for so long.
    rings = [at for at in range(310, 801, 10) if bell.hears(lag(a=(min(at, 500), 10_000)), at)]
    assert rings == [310, 600, 700, 800]


def test_the_doorbell_waits_for_enough() -> None:
    bell = DoorbellTrigger("a:", "b:", at_least=5)
    assert not bell.hears(lag(a=(0, 4)), 0)
    assert bell.hears(lag(a=(0, 5)), 1)


def test_the_doorbell_outlives_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, headrace.ExternalError("down"), AirflowFailException("no connection"), lag(a=(0, 3)))
    assert asyncio.run(first(DoorbellTrigger("a:", "b:", interval=0.01).run()))["behind"] == 3


@pytest.mark.parametrize("kind", [LagTrigger, DoorbellTrigger])
def test_what_a_trigger_keeps_makes_the_same_one(kind: Callable[..., Any]) -> None:
    trigger = kind("conn:log/t", "mysql://u@h/d/t?password_env=P", interval=7.0)
    path, values = trigger.serialize()
    assert path == f"headrace.airflow.triggers.{kind.__name__}" and hasattr(triggers, kind.__name__)
    assert kind(**values).serialize() == (path, values)
    assert values["from_"] == "conn:log/t" and json.loads(json.dumps(values)) == values


@pytest.mark.parametrize("kind", [LagTrigger, DoorbellTrigger])
@pytest.mark.parametrize("url", ["kafka://u:c4n4ry@h/t", "mysql://:c4n4ry@h/d", "mysql://u:a/c4n4ry@h"])
def test_a_trigger_keeps_no_password(kind: Callable[..., Any], url: str) -> None:
    for places in ((url, "conn:b"), ("conn:b", url)):
        with pytest.raises(ValueError, match="use a connection") as caught:
            kind(*places)
        assert "c4n4ry" not in str(caught.value)
    with pytest.raises(AirflowFailException, match="use a connection"):
        LagSensor(task_id="t", from_=url, to="conn:b").execute({})
    assert not has_password("conn:c/t?a=b:c@d") and not has_password("embedded:/a:b@c") and not has_password("kafka://u@h:1/t")


def test_a_watched_asset_is_serialized_without_secrets() -> None:
    watcher = AssetWatcher(name="w", trigger=DoorbellTrigger("conn:log/t", "conn:result/d/t"))
    assert Asset("a", watchers=[watcher]).watchers == [watcher]
    encoded = encode_trigger(watcher.trigger)
    assert "conn:log/t" in json.dumps(encoded)
    assert isinstance(BaseEventTrigger.hash(encoded["classpath"], encoded["kwargs"]), int)


def test_a_sensor_waits_in_the_triggerer_with_its_own_words(store: str) -> None:
    sensor = LagSensor(task_id="t", from_="{{ a }}", to="conn:store", above="{{ b }}", poke_interval=7, timeout=60)
    sensor.render_template_fields({"a": "conn:store", "b": ROWS})
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    _, values = deferred.value.trigger.serialize()
    assert values == {
        "from_": "conn:store", "to": "conn:store", "above": ROWS, "drained": False, "interval": 7.0, "system": "recruitment"
    }  # fmt: skip
    assert (deferred.value.method_name, deferred.value.timeout.total_seconds()) == ("execute_complete", 60)
    event = asyncio.run(first(LagTrigger(**values | {"above": 0}).run()))
    assert sensor.execute_complete({}, event)["behind"] == ROWS
    assert "- `above`: The number" in sensor.doc_md


def test_a_sensor_does_not_wait_for_what_is_there(store: str) -> None:
    assert LagSensor(task_id="t", from_="conn:store", to="conn:store").execute({})["behind"] == ROWS
    recruitment.clean(from_=Path(store), to=Path(store))
    for deferrable in (True, False):
        sensor = LagSensor(task_id="t", from_="conn:store", to="conn:store", drained="true", deferrable=deferrable)
        assert sensor.execute({})["behind"] == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [({"above": "many"}, "many"), ({"drained": "perhaps"}, "true or false"), ({"from_": "embedded:/dev/null/x"}, "/dev/null/x")],
)
def test_a_sensor_that_is_set_up_wrongly_fails_at_once(store: str, values: dict[str, str], words: str) -> None:
    sensor = LagSensor(task_id="t", **{"from_": "conn:store", "to": "conn:store"} | values)
    with pytest.raises(AirflowFailException, match=words):
        sensor.execute({})
