"""A step stops within four seconds with its position committed: by token, Ctrl-C and SIGTERM; and it works after a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROWS

import headrace
from headrace import recruitment

Start = Callable[..., "subprocess.Popen[str]"]

FOLLOW = """
import sys
from pathlib import Path
from headrace import recruitment
def tell(progress):
    if progress.rows:
        print("READY", flush=True)
store = Path(sys.argv[1])
recruitment.clean(from_=store, to=store, follow=True, interval="100ms", on_progress=tell)
"""

FORK = """
import os, sys
from pathlib import Path
from headrace import recruitment
sent, first, second = map(Path, sys.argv[1:])
def clean(directory):
    return recruitment.clean(from_=sent, to=directory).read
assert clean(first) == int(os.environ["ROWS"])
child = os.fork()
if child == 0:
    assert clean(second) == int(os.environ["ROWS"])
    assert recruitment.verify(raw=sent, log=sent, result=second).outcome == "complete"
    grandchild = os.fork()
    if grandchild == 0:
        assert clean(second) == 0
        os._exit(7)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), clean(first))
"""


def went_on(store: Path) -> None:
    """All rows had been committed before the stop, so that nothing is left."""
    report = recruitment.clean(from_=store, to=store)
    assert (report.outcome, report.read) == ("complete", 0)
    assert recruitment.verify(raw=store, log=store, result=store).outcome == "complete"


def test_a_token_stops_a_step(store: Path) -> None:
    token, asked = headrace.CancellationToken(), []

    def cancel() -> None:
        asked.append(time.monotonic())
        token.cancel()

    timer = threading.Timer(2, cancel)
    timer.start()
    with pytest.raises(headrace.Stopped, match="position is committed") as caught:
        recruitment.clean(from_=store, to=store, follow=True, interval=0.1, token=token)
    assert time.monotonic() - asked[0] < 4
    assert caught.value.report is not None and caught.value.report.read == ROWS
    went_on(store)


def test_a_cancelled_token_stops_at_once_and_nothing_is_lost(store: Path) -> None:
    token = headrace.CancellationToken()
    token.cancel()
    started = time.monotonic()
    with pytest.raises(headrace.Stopped):
        recruitment.clean(from_=store, to=store, follow=True, interval=0.1, token=token)
    assert time.monotonic() - started < 4
    recruitment.clean(from_=store, to=store)
    went_on(store)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, 143, "")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_stops_a_program(store: Path, program: Start, number: int, code: int, word: str) -> None:
    process = program(FOLLOW, store)
    assert process.stdout is not None and process.stdout.readline() == "READY\n", process.communicate()[1]
    asked = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - asked < 4, errors
    assert process.returncode == code and word in errors, errors
    went_on(store)


def test_someone_elses_handler_of_sigterm_stays(store: Path) -> None:
    token, seen = headrace.CancellationToken(), []

    def mine(number: int, _: object) -> None:
        seen.append(number)
        token.cancel()

    before = signal.signal(signal.SIGTERM, mine)
    timer = threading.Timer(2, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    try:
        with pytest.raises(headrace.Stopped):
            recruitment.clean(from_=store, to=store, follow=True, interval=0.1, token=token)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
    went_on(store)


def test_the_default_of_sigterm_is_put_back(files: Path, tmp_path: Path) -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    recruitment.load(files / "tracking.csv", to=tmp_path / "store")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_steps_run_after_a_fork(store: Path, tmp_path: Path, program: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", str(ROWS))
    process = program(FORK, store, tmp_path / "first", tmp_path / "second")
    output, errors = process.communicate(timeout=90)
    assert output.split() == ["7", "0"], errors


def test_other_threads_run_while_a_step_does(store: Path) -> None:
    token, ticks, done = headrace.CancellationToken(), 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    threading.Timer(2, token.cancel).start()
    try:
        with pytest.raises(headrace.Stopped):
            recruitment.clean(from_=store, to=store, follow=True, interval=0.1, token=token)
    finally:
        done.set()
        thread.join()
    assert ticks > 50
