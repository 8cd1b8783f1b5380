"""Steps from Python: reports, errors, progress, logs, threads."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import ROWS

import headrace
from headrace import recruitment


def test_the_whole_job_and_its_typed_reports(store: Path, tmp_path: Path) -> None:
    cleaned = recruitment.clean(from_=store, to=store, refresh=timedelta(seconds=1))
    assert isinstance(cleaned, headrace.Report)
    assert (cleaned.step, cleaned.outcome, cleaned.read) == ("recruitment clean", "complete", ROWS)
    assert cleaned.read == cleaned.written + cleaned.duplicate + cleaned.dead_lettered + cleaned.ignored
    assert sum(cleaned.positions.values()) == ROWS and cleaned.seconds > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        cleaned.read = 0  # type: ignore[misc]
    assert recruitment.verify(raw=store, log=store, result=store).outcome == "complete"
    out = tmp_path / "out.csv"
    assert recruitment.export(from_=f"embedded:{store}", out=out).written == len(out.read_text().splitlines()) - 1


def test_errors_are_typed_and_name_the_thing(tmp_path: Path) -> None:
    with pytest.raises(headrace.ConfigError, match="absent.csv"):
        recruitment.load(tmp_path / "absent.csv", to=tmp_path / "store")
    with pytest.raises(headrace.ConfigError, match="no store URL"):
        recruitment.load(tmp_path / "absent.csv", to="store")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    with pytest.raises((headrace.DataError, headrace.ConfigError), match="header"):
        recruitment.load(wrong, to=tmp_path / "store")
    with pytest.raises(headrace.ConfigError, match="invalid value 'many'"):
        recruitment.load(wrong, to=tmp_path / "store", batch_rows="many")  # type: ignore[arg-type]
    assert issubclass(headrace.ConfigError, headrace.HeadraceError)


def test_passwords_are_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "headrace")
    (tmp_path / "job.csv").write_text("id,company_id\n1,1\n")
    for url in ("mysql:/u:c4n4ry@h", "mysql://u:c4n4ry@127.0.0.1:1/db/job"):
        with pytest.raises(headrace.HeadraceError) as caught:
            recruitment.jobs(tmp_path / "job.csv", to=url)
        assert "c4n4ry" not in str(caught.value) + repr(caught.value) + caplog.text


def test_exceptions_can_be_pickled() -> None:
    stopped = pickle.loads(pickle.dumps(headrace.Stopped("text")))
    assert (str(stopped), stopped.report) == ("text", None)


def test_logs_reach_python_in_the_calling_thread(store: Path, tmp_path: Path) -> None:
    lines: list[tuple[str, int]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.getMessage(), threading.get_ident()))

    recruitment.clean(from_=store, to=store)
    other = tmp_path / "job.csv"
    other.write_text("id,company_id\n" + "".join(f"{number},77\n" for number in range(1, 3000)))
    recruitment.jobs(other, to=store)
    logger, handler = logging.getLogger("headrace"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        recruitment.clean(from_=store, to=store)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert any("got another company" in text for text, _ in lines), lines
    assert {thread for _, thread in lines} == {threading.get_ident()}


def test_progress_is_told_in_the_calling_thread(store: Path) -> None:
    seen: list[tuple[headrace.Progress, int]] = []
    token = headrace.CancellationToken()

    def tell(progress: headrace.Progress) -> None:
        seen.append((progress, threading.get_ident()))
        if progress.rows == ROWS:
            token.cancel()

    with pytest.raises(headrace.Stopped):
        recruitment.clean(from_=store, to=store, follow=True, interval=0.1, token=token, on_progress=tell)
    progress, thread = seen[-1]
    assert progress.rows == ROWS and thread == threading.get_ident() and "rows/s" in str(progress)


def test_an_exception_of_a_callback_stops_the_step(store: Path) -> None:
    def fail(_: headrace.Progress) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        recruitment.clean(from_=store, to=store, follow=True, on_progress=fail)


def test_eight_threads_at_once(files: Path, tmp_path: Path) -> None:
    barrier, reports = threading.Barrier(8), {}
    logging.getLogger("headrace").setLevel(logging.DEBUG)

    def work(number: int) -> None:
        barrier.wait()
        reports[number] = recruitment.load(files / "tracking.csv", to=tmp_path / str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    logging.getLogger("headrace").setLevel(logging.NOTSET)
    assert [reports[number].written for number in range(8)] == [ROWS] * 8
