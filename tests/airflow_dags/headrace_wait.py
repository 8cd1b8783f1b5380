"""A DAG for tests: a sensor waits for messages, then they are cleaned."""

from __future__ import annotations

from airflow.sdk import dag

from headrace.airflow.operators.recruitment import RecruitmentCleanOperator
from headrace.airflow.sensors import LagSensor

STORE = "conn:wait_store"


@dag(schedule=None)
def headrace_wait() -> None:
    """Connects the tasks."""
    wait = LagSensor(task_id="wait", from_=STORE, to=STORE, above=100, poke_interval=1)
    wait >> RecruitmentCleanOperator(task_id="clean", from_=STORE, to=STORE)


headrace_wait()
