"""The DAGs in a real Airflow of four daemons, over REST: to their end, marked as failed, cleared, and searched for passwords."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import recruitment
from headrace.airflow import splits

HERE = Path(__file__).parent
ROWS = 5_000
CANARY = "c4n4ry-1234567890"


class Airflow:
    """The REST API of a running Airflow."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.url, self.token = home, f"http://127.0.0.1:{port}", ""
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def text(self, method: str, path: str, body: object = None) -> str:
        """What a request is answered with."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, data=data, headers=headers)
        with self.opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The same, as values."""
        return json.loads(self.text(method, path, body) or "null")

    def log_in(self) -> None:
        """Takes a token for the only user."""
        password = json.loads((self.home / "passwords.json").read_text())["admin"]
        self.token = self.call("POST", "/auth/token", {"username": "admin", "password": password})["access_token"]

    def unpause(self, dag: str) -> None:
        """Lets a DAG run, once Airflow has found it."""
        until(lambda: any(found["dag_id"] == dag for found in self.call("GET", "/api/v2/dags")["dags"]), dag)
        self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, object]) -> str:
        """Starts a run; gives its path in the API."""
        self.unpause(dag)
        run = self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
        return f"/api/v2/dags/{dag}/dagRuns/{run}"

    def state(self, path: str) -> str:
        """The state of a run or a task."""
        return str(self.call("GET", path)["state"])

    def log(self, task: str, attempt: int) -> str:
        """The log of a try."""
        return self.text("GET", f"{task}/logs/{attempt}?full_content=true")

    def states(self, run: str) -> dict[str, str]:
        """The states of a run's tasks, by task and map index."""
        tasks = self.call("GET", f"{run}/taskInstances")["task_instances"]
        return {task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else ""): task["state"] for task in tasks}

    def ended(self, run: str, seconds: float = 300) -> str:
        """Waits for a run; gives its state."""
        until(lambda: self.state(run) in ("success", "failed"), run, seconds)
        return self.state(run)

    def clear(self, run: str, *tasks: Any) -> None:
        """Clears tasks of a run and what comes after them."""
        dag, _, run_id = run.removeprefix("/api/v2/dags/").partition("/dagRuns/")
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(tasks), "only_failed": False}
        self.call("POST", f"/api/v2/dags/{dag}/clearTaskInstances", body | {"include_downstream": True, "reset_dag_runs": True})

    def events(self, asset: str) -> list[Any]:
        """The events of an asset, oldest first."""
        events = self.call("GET", "/api/v2/assets/events?order_by=timestamp&limit=100")["asset_events"]
        return [event for event in events if event["name"] == asset]

    def xcom(self, task: str, index: int = -1) -> Any:
        """What a task returned."""
        return self.call("GET", f"{task}/xcomEntries/return_value?deserialize=true&map_index={index}")["value"]


def until(condition: Any, what: str, seconds: float = 180) -> None:
    """Waits for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come in {seconds} s"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded store whose topic holds all rows, none of them cleaned."""
    directory = tmp_path_factory.mktemp("live")
    fill(directory, 1)
    return directory / "store"


def fill(directory: Path, seed: int, until: str | None = None) -> None:
    """Sends rows through the raw store into the topic; only those before a day, if one is given."""
    recruitment.simulate(directory, rows=ROWS, seed=seed)
    recruitment.load(directory / "tracking.csv", to=directory / "store")
    recruitment.jobs(directory / "job.csv", to=directory / "store")
    replayed = recruitment.replay(from_=directory / "store", to=directory / "store", until=until)
    assert replayed.written == (0 if until else ROWS)


@pytest.fixture(scope="module")
def airflow(store: Path) -> Iterator[Airflow]:
    """Airflow with the DAGs of the repository and of the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(os.environ["AIRFLOW_HOME"]) / "live"
    dags = home / "dags"
    shutil.copytree(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], dags, dirs_exist_ok=True)
    shutil.copytree(HERE / "airflow_dags", dags, dirs_exist_ok=True)
    report = (dags / "recruitment_report.py").read_text()
    assert 'Param("/tmp"' in report
    (dags / "recruitment_report.py").write_text(report.replace('Param("/tmp"', f'Param("{home}"'))
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_PORT": str(port),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_EMBEDDED_STORE": json.dumps({"conn_type": "headrace", "host": f"embedded:{store}"}),
        "AIRFLOW_CONN_DOORBELL_STORE": json.dumps({"conn_type": "headrace", "host": f"embedded:{home}/doorbell/store"}),
        "AIRFLOW_CONN_CLOSED": json.dumps({"conn_type": "mysql", "host": "127.0.0.1", "port": 1, "login": "app", "password": CANARY}),
    }
    try:
        subprocess.run([HERE / "airflow_up.sh", "start"], env=environment, check=True, timeout=400)
        found = Airflow(home, port)
        found.log_in()
        yield found
    finally:
        subprocess.run([HERE / "airflow_up.sh", "stop"], env=environment, check=True, timeout=120)


def test_the_defaults_of_the_form_run_to_success(airflow: Airflow, tmp_path: Path) -> None:
    conf: dict[str, object] = dict.fromkeys(("raw", "log", "dimension", "result"), f"embedded:{tmp_path / 'store'}")
    airflow.unpause("recruitment_report")
    run = airflow.trigger("recruitment", conf | {"rows": ROWS, "directory": str(tmp_path / "files")})
    airflow.ended(run, 400)
    tasks = airflow.call("GET", f"{run}/taskInstances")["task_instances"]
    assert {task["task_id"]: task["state"] for task in tasks} == dict.fromkeys(
        ("simulate", "load", "jobs", "replay", "clean", "verify"), "success"
    )
    assert {task["operator_name"] for task in tasks} >= {"headrace recruitment load", "headrace recruitment verify"}
    cleaned = airflow.xcom(f"{run}/taskInstances/clean")
    assert (cleaned["outcome"], cleaned["read"]) == ("complete", ROWS)
    links = airflow.call("GET", f"{run}/taskInstances/clean/links")["extra_links"]
    assert links["Report"].endswith("/tasks/clean/xcom")
    progress = airflow.call("GET", f"{run}/taskInstances/clean/state-store/progress")["value"]
    assert progress["rows"] == ROWS

    # The report was started by the event of `clean`, which says where the result is.
    runs = "/api/v2/dags/recruitment_report/dagRuns"
    until(lambda: [one["state"] for one in airflow.call("GET", runs)["dag_runs"]] in (["success"], ["failed"]), "the report", 120)
    (one,) = airflow.call("GET", runs)["dag_runs"]
    assert (one["state"], one["run_type"]) == ("success", "asset_triggered")
    written = airflow.xcom(f"{runs}/{one['dag_run_id']}/taskInstances/export")["written"]
    assert written == len((airflow.home / "recruitment_hourly.csv").read_text().splitlines()) - 1 > 0
    (event,) = airflow.events("recruitment_result")
    assert event["extra"]["read"] == ROWS and sum(event["extra"]["positions"].values()) == ROWS
    assert {name: ends[1] for name, ends in event["extra"]["range"].items()} == event["extra"]["positions"]


def test_a_task_marked_as_failed_stops_and_a_cleared_one_goes_on(airflow: Airflow, store: Path, tmp_path: Path) -> None:
    run = airflow.trigger("headrace_follow", {"store": f"embedded:{store}", "out": str(tmp_path)})
    task = f"{run}/taskInstances/clean"
    until(lambda: airflow.state(task) == "running", "the task")

    def progress() -> Any:
        entries = airflow.call("GET", f"{task}/state-store")["task_state_store"]
        return {entry["key"]: entry["value"] for entry in entries}.get("progress", {})

    until(lambda: progress().get("rows") == ROWS, "progress in the state store", 60)
    assert progress()["rejected"] == 0 and progress()["text"]

    airflow.call("PATCH", task, {"new_state": "failed"})
    until(lambda: "position is committed" in airflow.log(task, 1), "the end of the step", 60)
    assert airflow.state(task) == "failed"
    until(lambda: "asked to stop" in airflow.log(task, 1), "the line about the stop", 10)
    (seconds,) = re.findall(r"ended ([0-9.]+) s after it was asked to stop", airflow.log(task, 1))
    assert float(seconds) < 4
    # Nobody holds the store any more, and nothing is left to do.
    assert recruitment.clean(from_=store, to=store).read == 0

    fill(store.parent, 2)
    airflow.clear(run, "clean")
    assert airflow.ended(run) == "success"
    assert airflow.xcom(task)["read"] == ROWS
    assert airflow.xcom(f"{run}/taskInstances/verify")["outcome"] == "complete"
    assert airflow.xcom(f"{run}/taskInstances/letters")["step"] == "recruitment dead-letters list"
    mapped = airflow.call("GET", f"{run}/taskInstances/export/listMapped")["task_instances"]
    assert {one["rendered_map_index"] for one in mapped} == {"hourly", "unattributed"}
    assert (tmp_path / "hourly.csv").stat().st_size > 0


def test_a_function_marked_as_failed_stops_with_its_position_committed(airflow: Airflow, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    store = tmp_path / "store"
    task = f"{airflow.trigger('headrace_function', {'store': f'embedded:{store}'})}/taskInstances/clean"
    until(lambda: f'"rows":{ROWS}' in airflow.text("GET", f"{task}/state-store").replace(" ", ""), "progress in the state store", 90)
    airflow.call("PATCH", task, {"new_state": "failed"})
    until(lambda: "position is committed" in airflow.log(task, 1), "the end of the step", 60)
    assert recruitment.clean(from_=store, to=store).read == 0


def test_a_part_that_was_killed_is_done_again_alone_and_doubles_nothing(airflow: Airflow, tmp_path: Path) -> None:
    recruitment.simulate(tmp_path, rows=ROWS, seed=4)
    conf: dict[str, object] = dict.fromkeys(("raw", "log", "dimension", "result"), f"embedded:{tmp_path / 'store'}")
    conf |= {"tracking": str(tmp_path / "tracking.csv"), "jobs": str(tmp_path / "job.csv"), "break": True}
    run = airflow.trigger("headrace_parts", conf)
    for step, broken, names in (("load", 1, "bytes {}"), ("replay", 0, "part {}")):
        assert airflow.ended(run) == "failed"
        states = {name: state for name, state in airflow.states(run).items() if name.startswith(step)}
        assert states == {f"{step}[{index}]": "failed" if index == broken else "success" for index in range(3)}
        airflow.clear(run, [step, broken])
        until(lambda: airflow.state(run) != "failed", "the run to go on")
        until(lambda: airflow.states(run)[f"{step}[{broken}]"] == "success", step, 120)
        parts = airflow.call("GET", f"{run}/taskInstances/{step}/listMapped?order_by=map_index")["task_instances"]
        assert [part["rendered_map_index"] for part in parts] == [names.format(split) for split in splits(3)]
        assert [part["try_number"] for part in parts] == [2 if index == broken else 1 for index in range(3)]
        # What the second try did is only what the first had not committed.
        kept = [airflow.xcom(f"{run}/taskInstances/{step}", index) for index in range(3)]
        assert sum(report["read"] for report in kept) < ROWS
    assert airflow.ended(run) == "success"
    assert airflow.xcom(f"{run}/taskInstances/clean")["read"] == ROWS
    verified = airflow.xcom(f"{run}/taskInstances/verify")
    assert verified["facts"]["raw rows"] == verified["facts"]["topic messages"] == ROWS
    assert (verified["outcome"], verified["facts"]["topic doubled"]) == ("complete", 0)


def test_a_sensor_waits_in_the_triggerer_until_messages_come(airflow: Airflow, tmp_path: Path) -> None:
    store = tmp_path / "store"
    fill(tmp_path, 5, until="2000-01-01")
    # Kept in Airflow's database, and asked for by the trigger's thread.
    connection = {"connection_id": "wait_store", "conn_type": "headrace", "host": f"embedded:{store}", "password": CANARY}
    airflow.call("POST", "/api/v2/connections", connection)
    run = airflow.trigger("headrace_wait", {})
    task = f"{run}/taskInstances/wait"
    until(lambda: airflow.state(task) == "deferred", "the wait in the triggerer")
    until(lambda: "0 messages behind" in airflow.log(task, 1), "the first look", 60)
    assert airflow.call("GET", task)["trigger"]["classpath"] == "headrace.airflow.triggers.LagTrigger"
    assert recruitment.replay(from_=store, to=store).written == ROWS
    assert airflow.ended(run) == "success"
    assert airflow.xcom(task)["behind"] == airflow.xcom(f"{run}/taskInstances/clean")["read"] == ROWS


def test_messages_ring_the_doorbell_once(airflow: Airflow) -> None:
    runs = "/api/v2/dags/headrace_doorbell/dagRuns"

    def ended() -> list[Any]:
        found = airflow.call("GET", f"{runs}?order_by=id")["dag_runs"]
        return [one["dag_run_id"] for one in found if one["state"] in ("success", "failed")]

    directory = airflow.home / "doorbell"
    for ring, seed in enumerate((6, 7), 1):
        fill(directory, seed)
        airflow.unpause("headrace_doorbell")
        until(lambda: len(ended()) == ring, "the run", 120)
        # Everything is committed, and the bell is silent: some looks later there is no other event.
        time.sleep(5)
        assert len(airflow.call("GET", runs)["dag_runs"]) == len(airflow.events("headrace_messages")) == ring
        run = f"{runs}/{ended()[-1]}"
        assert (airflow.state(run), airflow.call("GET", run)["run_type"]) == ("success", "asset_triggered")
        assert airflow.xcom(f"{run}/taskInstances/clean")["read"] == ROWS
        assert airflow.events("headrace_messages")[-1]["extra"]["payload"]["behind"] == ROWS
        assert airflow.xcom(f"{run}/taskInstances/drained")["behind"] == 0


def test_a_person_in_front_of_the_pages_sees_and_does_the_same(airflow: Airflow) -> None:
    password = json.loads((airflow.home / "passwords.json").read_text())["admin"]
    folder = Path(os.environ["HEADRACE_HOME"]) / "airflow" / "ui"
    line = [HERE / "ui" / "run", airflow.url, "admin", "-", folder]
    subprocess.run(line, env=os.environ | {"HEADRACE_UI_PASSWORD": password}, check=True, timeout=1500)


def test_the_form_of_connections_knows_the_type(airflow: Airflow) -> None:
    (form,) = [kind for kind in airflow.call("GET", "/ui/connections/hook_meta") if kind["connection_type"] == "headrace"]
    assert form["standard_fields"]["host"]["title"] == "Store URL" and form["standard_fields"]["url_schema"]["hidden"]


def test_a_password_is_nowhere(airflow: Airflow, tmp_path: Path) -> None:
    conf: dict[str, object] = dict.fromkeys(("raw", "log", "result"), f"embedded:{tmp_path / 'store'}")
    conf |= {"rows": 100, "directory": str(tmp_path / "files"), "dimension": "conn:closed/d/job"}
    run = airflow.trigger("recruitment", conf)
    task = f"{run}/taskInstances/jobs"
    # An external error is tried again.
    until(lambda: airflow.state(task) == "up_for_retry", "the second try")
    log = airflow.log(task, 1)
    assert "cannot connect to MySQL" in log
    airflow.call("PATCH", run, {"state": "failed"})
    shown = [log, airflow.text("GET", task), airflow.text("GET", f"{run}/taskInstances"), airflow.text("GET", run)]
    shown += [path.read_text(errors="replace") for path in airflow.home.rglob("*.log")]
    assert len(shown) > 5
    assert not [text for text in shown if CANARY in text]
    assert not [path for path in airflow.home.glob("airflow.db*") if CANARY.encode() in path.read_bytes()]

    # What all runs have left for people and programs to see: XComs, tasks with their triggers, assets, connections.
    everything = "/api/v2/dags/~/dagRuns/~/taskInstances"
    places = [everything, "/api/v2/assets", "/api/v2/assets/events", "/api/v2/connections", "/api/v2/eventLogs"]
    shown = [airflow.text("GET", f"{place}?limit=1000") for place in places]
    for entry in airflow.call("GET", f"{everything}/~/xcomEntries?limit=1000")["xcom_entries"]:
        task = f"/api/v2/dags/{entry['dag_id']}/dagRuns/{entry['run_id']}/taskInstances/{entry['task_id']}"
        shown.append(airflow.text("GET", f"{task}/xcomEntries/{entry['key']}?map_index={entry['map_index']}"))
    assert len(shown) > 20 and any("doorbell_store" in text for text in shown)
    assert not [text for text in shown if CANARY in text]
