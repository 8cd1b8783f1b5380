"""A DAG for tests: the raw store is replayed by mapped tasks, each with its part of the token ranges."""

from __future__ import annotations

from airflow.sdk import Param, dag

from headrace.airflow.operators.recruitment import RecruitmentCleanOperator, RecruitmentReplayOperator, RecruitmentVerifyOperator


@dag(schedule=None, params={name: Param("embedded:absent", type="string") for name in ("raw", "log", "dimension", "result")})
def headrace_mapped() -> None:
    """Connects the tasks."""
    raw, log, dimension, result = ("{{ params.%s }}" % name for name in ("raw", "log", "dimension", "result"))
    replay = RecruitmentReplayOperator.partial(
        task_id="replay", from_=raw, to=log, order="token", map_index_template="part {{ task.split }}"
    ).expand(split=["1/3", "2/3", "3/3"])
    clean = RecruitmentCleanOperator(task_id="clean", from_=log, jobs=dimension, to=result)
    replay >> clean >> RecruitmentVerifyOperator(task_id="verify", raw=raw, log_=log, result=result)


headrace_mapped()
