"""A DAG for tests: one file is loaded and replayed in three parts by mapped tasks; on demand one of each is killed after a commit."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag

from headrace.airflow import splits
from headrace.airflow.operators.recruitment import (
    RecruitmentCleanOperator,
    RecruitmentJobsOperator,
    RecruitmentLoadOperator,
    RecruitmentReplayOperator,
    RecruitmentVerifyOperator,
)


def commits(store: str) -> int:
    """How many commits an embedded store has seen."""
    file = Path(store.removeprefix("embedded:")) / "headrace.sqlite"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        return int(database.execute("SELECT sum(sequence) FROM headrace_scopes").fetchone()[0] or 0)


def kill_after_commits(store: str, count: int) -> None:
    """Kills this process, without warning, as soon as the store has seen so many commits."""
    while commits(store) < count:
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGKILL)


class Breaking:
    """One part is killed in its first try, as soon as it has committed something."""

    split: str
    broken: str

    def execute(self, context: Any) -> Any:
        """Runs the step, with somebody in the background who wants it dead."""
        store = context["params"]["raw"]
        if context["params"]["break"] and self.split == self.broken and context["ti"].try_number == 1:
            threading.Thread(target=kill_after_commits, args=(store, commits(store) + 1), daemon=True).start()
        return super().execute(context)  # type: ignore[misc]


class BreakingLoad(Breaking, RecruitmentLoadOperator):
    """A load that may break."""

    broken = "2/3"


class BreakingReplay(Breaking, RecruitmentReplayOperator):
    """A replay that may break; all rows of a small table are in its first part."""

    broken = "1/3"


PARAMS = {name: Param("absent", type="string") for name in ("tracking", "jobs", "raw", "log", "dimension", "result")}


@dag(schedule=None, params=PARAMS | {"break": Param(False, type="boolean")})
def headrace_parts() -> None:
    """Connects the tasks."""
    raw, log, dimension, result = ("{{ params.%s }}" % name for name in ("raw", "log", "dimension", "result"))
    # The embedded store belongs to one process at a time.
    alone = {"max_active_tis_per_dagrun": 1}
    jobs = RecruitmentJobsOperator(task_id="jobs", file="{{ params.jobs }}", to=dimension)
    load = BreakingLoad.partial(
        task_id="load", file="{{ params.tracking }}", to=raw, batch_rows=100, map_index_template="bytes {{ task.split }}", **alone
    ).expand(split=splits(3))
    replay = BreakingReplay.partial(task_id="replay", from_=raw, to=log, order="token", batch_rows=100, **alone).expand(split=splits(3))
    clean = RecruitmentCleanOperator(task_id="clean", from_=log, jobs=dimension, to=result)
    jobs >> load >> replay >> clean >> RecruitmentVerifyOperator(task_id="verify", raw=raw, log_=log, result=result)


headrace_parts()
