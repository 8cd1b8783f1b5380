"""What a person does in Airflow's pages: trigger with a form, read the log, mark a task as failed, clear it. Started by tests/ui/run."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import PATIENCE, Person, logged_in
from playwright.sync_api import expect

from headrace import recruitment

ROWS = 4_000
TASKS = ("simulate", "load", "jobs", "replay", "clean", "verify")


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    """Somebody who is logged in."""
    names = (os.environ[f"HEADRACE_UI_{name}"] for name in ("URL", "USER", "PASSWORD", "FOLDER"))
    url, user, password, folder = names
    with logged_in(url, user, password, Path(folder)) as one:
        yield one


@pytest.fixture(autouse=True)
def picture_of_failure(request: pytest.FixtureRequest, person: Person) -> Iterator[None]:
    """Keeps what was to be seen when a test failed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        person.shot(f"failed_{request.node.name}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the embedded store that the connection made in the UI leads to."""
    return tmp_path_factory.mktemp("ui") / "store"


@pytest.fixture(scope="module")
def run(person: Person, store: Path) -> str:
    """The page of a finished run of `recruitment`, started with the form; its stores are a connection that was made in the UI."""
    name = f"ui_{os.getpid()}"
    person.open("/connections")
    person.button("Add Connection").click()
    form = person.dialog()
    form.get_by_role("textbox", name="Connection ID").fill(name)
    kind = form.get_by_role("combobox", name="Connection Type")
    kind.click()
    kind.press_sequentially("headrace")
    person.page.get_by_role("option", name="Headrace store").wait_for()
    kind.press("Enter")
    expect(form.get_by_role("textbox", name="Password")).to_have_attribute("placeholder", "kept here, not in the URL")
    person.shot("connection_form")
    form.get_by_role("textbox", name="Store URL").fill(f"embedded:{store}")
    person.button("Save", form).click()
    person.page.get_by_role("cell", name=name, exact=True).wait_for()
    person.shot("connections")

    person.open_dag("recruitment")
    person.button("Dag Docs").click()
    expect(person.dialog()).to_contain_text("Every task is safe to repeat")
    person.shot("dag_docs")
    person.button("Close", person.dialog()).click()
    fields = {"rows": str(ROWS), "seed": "7", "directory": str(store.parent / "files")}
    started = person.trigger("recruitment", fields | dict.fromkeys(("raw", "log", "dimension", "result"), f"conn:{name}"))
    person.shot("run_started")
    assert person.wait_for(started, "Success", "Failed") == "Success"
    person.shot("run_finished")
    return f"/dags/recruitment/runs/{started}"


def test_a_run_triggered_with_the_form_shows_the_rows_it_wrote(person: Person, run: str, store: Path) -> None:
    assert person.tasks() == dict.fromkeys(TASKS, "Success")
    person.log(f"{run}/tasks/load", f"{ROWS:,} read, {ROWS:,} written, 0 duplicate, 0 dead-lettered")
    person.shot("load_log")
    person.open(f"{run}/tasks/clean/xcom")
    person.button("Expand all extra JSON").click()
    report = person.value("return_value")
    assert (report["step"], report["outcome"], report["read"]) == ("recruitment clean", "complete", ROWS)
    assert report["read"] == report["written"] + report["ignored"] and report["written"] > 0
    person.shot("clean_xcom")
    person.page.get_by_role("link", name="Task State Store").click()
    assert person.value("progress")["rows"] == ROWS
    person.shot("clean_progress")
    # What is read in the pages is in the store.
    assert recruitment.verify(raw=store, log=store, result=store).outcome == "complete"

    person.open("/dags/recruitment/tasks/clean")
    person.button("Documentation").click()
    expect(person.dialog()).to_contain_text("Clean a topic into the hourly table")
    person.shot("task_docs")


def test_a_finished_task_can_be_cleared_and_nothing_changes(person: Person, run: str, store: Path, tmp_path: Path) -> None:
    def table(name: str) -> str:
        recruitment.export(from_=store, out=tmp_path / name)
        return (tmp_path / name).read_text()

    before = table("before.csv")
    person.open(f"{run}/tasks/load")
    person.wait_for("load", "Success")
    person.clear()
    # It and all that follow it run again.
    person.page.get_by_role("heading", name="Try Number").wait_for()
    person.open(run)
    heading = run.rpartition("/")[2]
    assert person.wait_for(heading, "Success", "Failed") == "Success"
    person.shot("run_cleared")
    tries = [row.split("\t") for row in person.page.locator("tbody tr").all_inner_texts()]
    assert {cells[1].strip(): cells[5].strip() for cells in tries} == dict.fromkeys(TASKS, "2") | {"simulate": "1", "jobs": "1"}
    person.log(f"{run}/tasks/verify", "Right: the result equals a recount of the topic")
    person.shot("verify_log")
    assert table("after.csv") == before
    assert recruitment.verify(raw=store, log=store, result=store).outcome == "complete"


@contextmanager
def messages_coming(store: Path) -> Iterator[None]:
    """Sends the days from the second on, one a second, as long as this lasts."""
    enough = threading.Event()

    def send() -> None:
        for day in range(3, 28):
            recruitment.replay(from_=store, to=store, until=f"2022-07-{day:02}")
            if enough.wait(1):
                break

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def test_a_running_task_marked_as_failed_commits_and_goes_on_when_cleared(person: Person, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for seed in (1, 2):
        recruitment.simulate(tmp_path / str(seed), rows=ROWS, seed=seed)
        recruitment.load(tmp_path / str(seed) / "tracking.csv", to=store)
    recruitment.jobs(tmp_path / "1" / "job.csv", to=store)
    assert recruitment.replay(from_=store, to=store, until="2022-07-02").written > 0

    person.open_dag("headrace_follow")
    run = person.trigger("headrace_follow", {"store": f"embedded:{store}", "out": str(tmp_path)})
    page = f"/dags/headrace_follow/runs/{run}/tasks/clean"
    person.open(page)
    person.wait_for("clean", "Running")
    with messages_coming(store):
        person.open(f"{page}/task-state-store")
        person.page.get_by_text("progress", exact=True).wait_for()
        person.shot("follow_progress")
        person.open(f"{page}/details")
        row = person.page.get_by_role("row").filter(has_text="PID")
        expect(row).to_have_text(re.compile(r"\d"))
        (process,) = re.findall(r"\d+", row.inner_text())
        assert Path(f"/proc/{process}").exists()
        person.mark_failed()
        person.wait_for("clean", "Failed")
        person.log(page, "position is committed")
        (seconds,) = re.findall(r"ended ([0-9.]+) s after it was asked to stop", person.log(page, "asked to stop"))
        person.shot("follow_stopped")
        assert float(seconds) < 4
        end = time.monotonic() + PATIENCE / 1000
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < end, "the process is still there"
            time.sleep(0.1)
    assert recruitment.replay(from_=store, to=store).written > 0
    facts = recruitment.lag(from_=store, to=store).facts
    left = facts["messages behind"]
    assert 0 < left < 2 * ROWS
    assert sum(partition["committed"] or 0 for partition in facts["partitions"]) == 2 * ROWS - left

    person.clear()
    assert person.wait_for("clean", "Success") == "Success"
    person.open(page.replace("/clean", "/verify"))
    assert person.wait_for("verify", "Success", "Failed") == "Success"
    person.shot("follow_verified")
    person.open(f"{page}/xcom")
    person.button("Expand all extra JSON").click()
    assert person.value("return_value")["read"] == left
    person.shot("follow_xcom")
    assert recruitment.verify(raw=store, log=store, result=store).outcome == "complete"
